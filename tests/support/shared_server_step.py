"""GRPO steps of two processes that share one vLLM server, whose rollouts need different numbers of turns.

`torchrun --nproc-per-node 2 tests/support/shared_server_step.py FOLDER`, where FOLDER holds a tiny model (`random`) and
`tasks.jsonl` of `support.small_training.write_training_folder`, writes to `FOLDER/seen.json` what each process played,
and the rewards, which are 1.0 if no process got a reply to another's prompt. Run by hand, since it takes a minute; the
suite runs `support.shared_server_turns`.
"""

import json
import math
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from support.small_training import texts
from trl.generation import vllm_generation

from experiments.train.grpo import GRPORun, build_trainer

COLOURS = ("red", "blue", "green", "white")


class ScriptedServer:
    """What TRL's client of a server does, with scripted replies: task k looks k times before it answers."""

    processor: Any = None

    def __init__(self, **address: Any) -> None:
        self.sampled: list[int] = []
        """Number of prompts of each request."""

    def init_communicator(self, device: Any) -> None:
        """Join no group: no weights are sent."""

    def update_named_params(self, metadata: Any, params: Any) -> None:
        """Take part in walking over the parameters."""
        list(params)

    def get_server_info(self) -> dict[str, Any]:
        """Say how log-probabilities are computed."""
        return {"model_config": {"logprobs_mode": "processed_logprobs"}}

    def reset_prefix_cache(self) -> None:
        """Do nothing."""

    def image_features(self, images: list[Any]) -> list[None]:
        """Return no features: replies do not depend on pictures."""
        return [None for _ in images]

    def generate(self, prompts: list[list[int]], n: int, **sampling: Any) -> dict[str, Any]:
        """Return `n` replies a prompt."""
        self.sampled.append(len(prompts))
        replies = [self._reply(ids) for ids in prompts for _ in range(n)]
        return {
            "prompt_ids": prompts,
            "completion_ids": replies,
            "logprobs": [[[-1.0] for _ in ids] for ids in replies],
        }

    def _reply(self, ids: list[int]) -> list[int]:
        tokenizer = self.processor.tokenizer
        read = tokenizer.decode(ids)
        number = next(it for it, colour in enumerate(COLOURS) if f"the {colour} square" in read)
        looks = read.count("<tool_call>\n{")
        *calls, answer = texts(number, 40 + number)
        text = calls[looks % 2] if looks < number else answer
        return [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]


def main(folder: Path) -> None:
    """Make two steps."""
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    torch.set_num_threads(1)
    vllm_generation.VLLMClient = ScriptedServer
    config = GRPORun(
        out=folder / "grpo",
        model=str(folder / "random"),
        tasks=str(folder / "tasks.jsonl"),
        profile="world",
        split="train",
        steps=2,
        prompts_per_step=4,
        group_size=2,
        micro_batch=4,
        drop_groups=False,
        max_completion_length=400,
        context_tokens=1280,
        vllm_mode="server",
        threads=1,
    )
    trainer, _ = build_trainer(config)
    ScriptedServer.processor = trainer.processing_class
    # The script has no log-probabilities.
    trainer._logp_limit = math.inf
    played: list[list[str]] = []
    play = trainer._tool_call_loop

    def play_and_keep(prompts: Any, *rest: Any) -> Any:
        outcome = play(prompts, *rest)
        played.append([trainer.processing_class.tokenizer.decode(ids) for ids in outcome[2]])
        return outcome

    trainer._tool_call_loop = play_and_keep
    trainer.train()
    gathered: list[Any] = [None, None]
    dist.all_gather_object(gathered, played)
    if dist.get_rank() == 0:
        rewards = [it["reward"] for it in trainer.state.log_history if "reward" in it]
        seen = {"played": gathered, "rewards": rewards, "sampled": trainer.vllm_generation.vllm_client.sampled}
        (folder / "seen.json").write_text(json.dumps(seen))
    dist.barrier()
    # Threads of gloo outlive the interpreter, see `support.sharded_step`.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
