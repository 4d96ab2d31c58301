"""Errors of a sampler: it samples from other prompts or weights than are trained, or it no longer answers."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from vt_env.errors import VtEnvError, first_line

LOGP_DIFFERENCE = "sampling/sampling_logp_difference/mean"
"""TRL's metric: mean absolute difference between the log-probabilities of the sampler and of the trainer."""
FP32_LIMIT = 1e-4
"""Difference allowed where both compute in fp32; about 1e-6 is usual, and above 1e-2 what a broken sampler causes.
Between them lies what a policy gives to image tokens: the sampler never samples those, so the others gain it. After 12
steps of supervised training that was 1.0e-3 a token, after 450 steps 1.8e-6 (`docs/lab_log.md`)."""
BF16_LIMIT = 5e-2
"""Difference allowed elsewhere: rounding alone makes about 3e-2."""
_REMEDIES = {
    "colocate": "start the same command again, with another --gpu-memory-utilization if memory ran out",
    "server": "start the server again, then the same command, with another --server-url if it has moved",
}


class SamplingMismatch(VtEnvError):
    """The sampler and the trainer do not see the same prompts or weights, so training on its samples would be wrong."""


class SamplerLost(VtEnvError):
    """vLLM no longer answers. The message says what to start; training resumes from its last checkpoint."""


def check_logp_difference(step: int, differences: Sequence[float], limit: float) -> None:
    """Refuse samples that the sampler and the trainer scored differently.

    Args:
        step: Updates done so far.
        differences: Mean absolute differences of log-probabilities, one a batch.
        limit: Largest difference allowed.

    Raises:
        SamplingMismatch: A difference is above the limit or NaN.
    """
    for difference in differences:
        # NaN is above every limit.
        if not difference <= limit:
            raise SamplingMismatch(
                f"step {step}: sampler and trainer differ by {difference:.1e} in mean log-probability, allowed "
                f"{limit:.0e}: the sampler reads other prompts or weights than are trained (compare the dtypes), or "
                "the policy gives that much probability to image tokens, which are never sampled, as a model does that "
                "was hardly trained (train it longer with vt-env sft)"
            )


def logp_difference_limit(trainer: Any) -> float:
    """Return `FP32_LIMIT` where sampler and trainer both compute in fp32, else `BF16_LIMIT`.

    Args:
        trainer: A `trl.GRPOTrainer` that samples with vLLM.
    """
    import torch

    # The type that a server computes in is not known here.
    engine = trainer.vllm_generation.llm.model_config.dtype if trainer.vllm_mode == "colocate" else None
    full = {engine, trainer.model.dtype} == {torch.float32} and not (trainer.args.bf16 or trainer.args.fp16)
    return FP32_LIMIT if full else BF16_LIMIT


@contextmanager
def lost_sampler_named(mode: str, step: int) -> Generator[None]:
    """While this is open, an error of a sampler that is gone is raised as `SamplerLost`.

    Args:
        mode: `"colocate"` or `"server"`.
        step: Updates done so far.

    Raises:
        SamplerLost: The engine died, or the server does not answer.
    """
    try:
        yield
    except Exception as error:
        if not _is_loss(error):
            raise
        raise SamplerLost(
            f"step {step}: vLLM ({mode}) no longer answers ({first_line(error)}); {_REMEDIES[mode]}; the run goes on "
            "from its last checkpoint"
        ) from error


def _is_loss(error: Exception) -> bool:
    from requests.exceptions import RequestException
    from vllm.v1.engine.exceptions import EngineDeadError

    # TRL's client raises a bare Exception where the server answers with an error; 4xx says that the request is wrong.
    answered = type(error) is Exception and str(error).startswith("Request failed: 5")
    return answered or isinstance(error, RequestException | ConnectionError | EngineDeadError)
