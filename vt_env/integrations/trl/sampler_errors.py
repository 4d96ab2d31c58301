"""Says in one line that the sampler of a run is gone: a vLLM server that stopped, or an engine that died.

A run whose sampler is gone cannot go on, but nothing is lost: started again it goes on from its last checkpoint.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from vt_env.errors import ConfigError, VtEnvError, first_line

_REMEDIES = {
    "colocate": "start the same command again, with another --gpu-memory-utilization if memory ran out",
    "server": "start the server again, then the same command, with another --server-url if it has moved",
}


class SamplerLost(VtEnvError):
    """vLLM no longer answers. The message says what to start."""


@contextmanager
def sampler_needed(where: str) -> Generator[None]:
    """While this is open, a sampler that cannot be reached or used is a wrong configuration.

    Args:
        where: The sampler, as the message names it.

    Raises:
        ConfigError: It cannot.
    """
    from requests.exceptions import RequestException

    try:
        yield
    except (RequestException, ConnectionError, NotImplementedError) as error:
        raise ConfigError(
            f"{where}: {first_line(error)}; start it first, as docs/training.md says, or give --vllm-mode colocate"
        ) from error


def name_lost_sampler(trainer: Any) -> None:
    """Make the trainer raise `SamplerLost` where its vLLM dies; to be called before `trainer.train`.

    Args:
        trainer: A `trl.GRPOTrainer` that samples with vLLM.
    """
    generation = trainer.vllm_generation

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                if not _is_loss(error):
                    raise
                raise SamplerLost(
                    f"step {trainer.state.global_step}: vLLM ({trainer.vllm_mode}) no longer answers "
                    f"({first_line(error)}); {_REMEDIES[trainer.vllm_mode]}; the run goes on from its last checkpoint"
                ) from error

        return call

    generation.generate = watched(generation.generate)
    generation.sync_weights = watched(generation.sync_weights)


def _is_loss(error: Exception) -> bool:
    from requests.exceptions import RequestException
    from vllm.v1.engine.exceptions import EngineDeadError

    # TRL's client raises a bare Exception where the server answers with an error; 4xx says that the request is wrong.
    answered = type(error) is Exception and str(error).startswith("Request failed: 5")
    return answered or isinstance(error, RequestException | ConnectionError | EngineDeadError)
