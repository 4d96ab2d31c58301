"""Where the seconds of a GRPO step go, measured on the trainer's own methods without changing what they do.

| phase | what |
|---|---|
| generation | sampling, from token ids to token ids |
| environment | resets, tool calls and rewards |
| tokens | chat templates, image processing and padding between turns |
| logprobs | the trainer's own log-probabilities of the samples |
| sync | handing the weights to the sampler |
| update | forward, backward and optimiser |
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

from experiments.runs.run_dir import Stopwatch
from experiments.train.grpo_metrics import PHASES


class PhaseClock:
    """Adds up seconds by phase; while a phase is open inside another, only the inner one counts."""

    def __init__(self) -> None:
        self._watch = Stopwatch()
        self._open: list[str] = []
        self._since_s = 0.0
        self._seconds = dict.fromkeys((*PHASES, "tokens"), 0.0)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time until the end of the block to this phase."""
        self.enter(name)
        try:
            yield
        finally:
            self.leave()

    def enter(self, name: str) -> None:
        """Open a phase."""
        self._count()
        self._open.append(name)

    def leave(self) -> None:
        """Close the innermost phase."""
        self._count()
        self._open.pop()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, counting its time to this phase."""

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.phase(name):
                return function(*args, **kwargs)

        return call

    def take(self) -> Mapping[str, float]:
        """Return the seconds since the last time, by phase, and begin anew."""
        self._count()
        taken = {name: round(seconds, 3) for name, seconds in self._seconds.items()}
        self._seconds = dict.fromkeys(self._seconds, 0.0)
        return taken

    def _count(self) -> None:
        now_s = self._watch.elapsed_s
        if self._open:
            self._seconds[self._open[-1]] += now_s - self._since_s
        self._since_s = now_s


def time_environment(environment: type, clock: PhaseClock) -> None:
    """Count the environment's methods, which are its tools and `reset`, to `environment`."""
    for name, method in inspect.getmembers(environment, inspect.isfunction):
        if not name.startswith("_"):
            setattr(environment, name, clock.timed("environment", method))


def time_trainer(trainer: Any, clock: PhaseClock) -> None:
    """Count the phases of a `trl.GRPOTrainer` that samples with vLLM; to be called after it was patched."""
    import torch
    from transformers import TrainerCallback

    score = trainer._get_per_token_logps_and_entropies

    @wraps(score)
    def logprobs(*args: Any, **kwargs: Any) -> Any:
        # The same method scores the samples, without gradients, and computes the loss, with them.
        with clock.phase("update" if torch.is_grad_enabled() else "logprobs"):
            return score(*args, **kwargs)

    class Steps(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock.enter("update")

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock.leave()

    trainer._get_per_token_logps_and_entropies = logprobs
    trainer._prepare_inputs = clock.timed("tokens", trainer._prepare_inputs)
    if hasattr(trainer, "open_videos"):
        trainer.open_videos = clock.timed("environment", trainer.open_videos)
    trainer._calculate_rewards = clock.timed("environment", trainer._calculate_rewards)
    trainer.vllm_generation.generate = clock.timed("generation", trainer.vllm_generation.generate)
    trainer.vllm_generation.sync_weights = clock.timed("sync", trainer.vllm_generation.sync_weights)
    trainer.add_callback(Steps())
