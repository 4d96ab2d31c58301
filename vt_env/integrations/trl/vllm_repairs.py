"""Parts of the repairs of TRL's vLLM that need neither TRL nor vLLM.

With TRL 1.16 and vLLM 0.32 seven things go wrong without an error or far from their cause (all probed, the empty list
on TRL's own lines alone; the repairs ask how the parts behave, not which versions they are). `EpisodeGRPOTrainer`
repairs them all, and stops a run in which one of them is not:

* In colocate mode vLLM expands image tokens that TRL has expanded already (trl issue 6294), so the sampler reads other
  prompts than those that are trained on.
* On the CPU vLLM repacks linear weights, so TRL's weight sync crashes; and with tied embeddings a reload leaves the
  output head behind.
* After an update, features of images that were encoded with the old weights may be used again.
* A sampled image or video token matches no image: TRL then drops the images of the whole batch, or crashes.
* A rollout whose question holds no image beside others whose do gets an empty list of images, at which TRL crashes.
* Where some rollouts looked at frames and a whole micro-batch of others did not, TRL hands the model an empty tensor of
  pixels, at which the model crashes.
* Processes that share a server get each other's replies, and hang, once they have different numbers of rollouts left
  (`vt_env.integrations.trl.shared_server`).
"""

import os
import socket
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

CPU_ENGINE_ARGUMENTS: Mapping[str, object] = {
    "dtype": "float32",
    "enforce_eager": True,
    "kv_cache_memory_bytes": 2**30,
    "mm_processor_cache_gb": 0.25,
}
"""Arguments of `vllm.LLM` on the CPU, for a small model in fp32; vLLM would take bf16 and most of the memory."""


@contextmanager
def engine_arguments(arguments: Mapping[str, object]) -> Generator[None]:
    """While this is open, TRL builds its colocated vLLM engine with these arguments of `vllm.LLM` besides its own.

    TRL hands over neither `dtype` nor `enforce_eager`, `limit_mm_per_prompt` or cache sizes, and has no hook for them:
    the name that it builds from is replaced. On the CPU vLLM also takes `torch.set_num_threads` away from the whole
    process; it is given back here. The engine gets a port of its own, since TRL tries the same few in every process and
    two runs that start together would take the same.
    """
    import torch
    from trl.generation import vllm_generation

    set_num_threads = torch.set_num_threads
    module: Any = vllm_generation
    stock = module.LLM

    def build(**own: object) -> Any:
        return stock(**{**own, **arguments})

    os.environ.setdefault("MASTER_PORT", str(_free_port()))
    module.LLM = build
    try:
        yield
    finally:
        module.LLM = stock
        torch.set_num_threads = set_num_threads


def allow_batches_without_images(model: Any) -> None:
    """Make a model take an empty tensor of pixels, float[0, D], as no pixels at all.

    Args:
        model: A `torch.nn.Module` whose forward takes `pixel_values` and `image_grid_thw`.
    """

    def drop_empty(
        module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        pixels = kwargs.get("pixel_values")
        if pixels is not None and not len(pixels):
            kwargs = {name: value for name, value in kwargs.items() if name not in ("pixel_values", "image_grid_thw")}
        return args, kwargs

    model.register_forward_pre_hook(drop_empty, with_kwargs=True)


def collapse_runs(ids: Sequence[int], token_id: int) -> list[int]:
    """Shorten every run of a token to one; ids without runs come back as they are."""
    runs = ((token, list(run)) for token, run in groupby(ids))
    return [kept for token, run in runs for kept in (run[:1] if token == token_id else run)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]
