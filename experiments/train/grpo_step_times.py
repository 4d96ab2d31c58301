"""Seconds of a GRPO step by its parts, as `vt_env.integrations.trl.step_parts` names them."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

from experiments.runs.run_dir import Stopwatch
from experiments.train.grpo_log import STEP_PARTS
from vt_env.integrations.trl import TrlEnvironment
from vt_env.integrations.trl.step_parts import StepPart


class StepTimes:
    """Adds up seconds by part; while a part is open inside another, only the inner one counts."""

    def __init__(self) -> None:
        self._watch = Stopwatch()
        self._open: list[StepPart] = []
        self._since_s = 0.0
        self._seconds: dict[StepPart, float] = dict.fromkeys((*STEP_PARTS, "tokens"), 0.0)

    @contextmanager
    def measure(self, part: StepPart) -> Iterator[None]:
        """Count the time until the end of the block to this part."""
        self.enter(part)
        try:
            yield
        finally:
            self.leave()

    def enter(self, part: StepPart) -> None:
        """Open a part."""
        self._count()
        self._open.append(part)

    def leave(self) -> None:
        """Close the innermost part."""
        self._count()
        self._open.pop()

    def take(self) -> Mapping[str, float]:
        """Return the seconds since the last time, by part, and begin anew."""
        self._count()
        taken = {name: round(seconds, 3) for name, seconds in self._seconds.items()}
        self._seconds = dict.fromkeys(self._seconds, 0.0)
        return taken

    def _count(self) -> None:
        now_s = self._watch.elapsed_s
        if self._open:
            self._seconds[self._open[-1]] += now_s - self._since_s
        self._since_s = now_s


def timed_environment(environment: type[TrlEnvironment], times: StepTimes) -> type[TrlEnvironment]:
    """Return a subclass whose public methods, its tools and `reset`, count to `environment`."""

    def timed(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            with times.measure("environment"):
                return method(*args, **kwargs)

        return call

    methods = inspect.getmembers(environment, inspect.isfunction)
    return type(
        environment.__name__,
        (environment,),
        {name: timed(method) for name, method in methods if not name.startswith("_")},
    )


def update_callback(times: StepTimes) -> Any:
    """Return a `TrainerCallback` that counts whatever of a step lies in no other part to `update`."""
    from transformers import TrainerCallback

    class Update(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            times.enter("update")

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            times.leave()

    return Update()
