"""Parts of a GRPO step, and a hook that is opened around each of them."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

StepPart = Literal["generation", "environment", "tokens", "logprobs", "update", "sync"]
"""| part | what it holds |
|---|---|
| generation | sampling, from token ids to token ids |
| environment | opening videos, resets, tool calls and rewards |
| tokens | chat templates, image processing and padding between turns |
| logprobs | the trainer's own log-probabilities of the samples |
| update | forward passes with a gradient |
| sync | handing the weights to the sampler |
"""
Measure = Callable[[StepPart], AbstractContextManager[object]]
"""Opened around each part of a step; parts lie within each other."""


def unmeasured(part: StepPart) -> AbstractContextManager[object]:
    """Measure nothing."""
    return nullcontext()
