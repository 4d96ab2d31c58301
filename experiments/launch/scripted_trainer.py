"""GRPO without a sampler: replies are written out, so that tools are called and images come back. Imports TRL."""

from collections.abc import Sequence
from typing import Any

from vt_env.integrations.trl import EpisodeGRPOTrainer


class ScriptedTrainer(EpisodeGRPOTrainer):
    """`EpisodeGRPOTrainer` whose rollouts take the same scripted turns in every step.

    Args:
        args: As `EpisodeGRPOTrainer`.
        turns: Replies by turn; the rollouts of a batch take those of a turn in order, again and again.
        kwargs: As `EpisodeGRPOTrainer`.
    """

    def __init__(self, *args: Any, turns: Sequence[Sequence[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._turns = turns
        self._turn = 0

    def _generate_single_turn(self, prompt_ids: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        processor: Any = self.processing_class
        tokenizer = processor.tokenizer
        texts = self._turns[self._turn % len(self._turns)]
        self._turn += 1
        replies = [texts[row % len(texts)] for row in range(len(prompt_ids))]
        return [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in replies], None
