"""TRL's vLLM sampler, repaired for images and for the CPU; `vt_env.integrations.trl.vllm_repairs` lists the faults."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from PIL import Image
from trl.generation.vllm_generation import VLLMGeneration

from vt_env.integrations.trl.sampler_errors import SamplingMismatch
from vt_env.integrations.trl.shared_server import sample_in_step
from vt_env.integrations.trl.step_parts import Measure, unmeasured
from vt_env.integrations.trl.vllm_repairs import CPU_ENGINE_ARGUMENTS, collapse_runs, engine_arguments

_NEVER = -100.0
"""Logit bias of a token that is not to be sampled."""


class RepairedVLLMGeneration(VLLMGeneration):
    """TRL's sampler; it reads each image once, never samples image tokens, and takes over every weight.

    Args:
        args: As TRL takes them.
        engine: Further arguments of `vllm.LLM`, for a colocated engine; on the CPU beside `CPU_ENGINE_ARGUMENTS`.
        kwargs: As TRL takes them.

    Attributes:
        collapses_images: Whether each run of image tokens is shortened to one before vLLM expands it.
        measure: Opened while it samples and takes over weights.

    Raises:
        SamplingMismatch: vLLM reads other prompts than those that are trained on.
    """

    def __init__(self, *args: Any, engine: Mapping[str, object], **kwargs: Any) -> None:
        self._engine_arguments = engine
        self.collapses_images = False
        self.measure: Measure = unmeasured
        super().__init__(*args, **kwargs)
        config: Any = self.model.config
        self._image_token_id: int | None = getattr(config, "image_token_id", None)
        if self._image_token_id is not None:
            self._never_sample(self._image_token_id, getattr(config, "video_token_id", None))
            if self.mode == "colocate" and not self._reads_images():
                self.collapses_images = True
                self._reads_images()

    def _init_vllm(self) -> None:
        on_cpu = CPU_ENGINE_ARGUMENTS if self.accelerator.device.type == "cpu" else {}
        with engine_arguments({**on_cpu, **self._engine_arguments}):
            super()._init_vllm()

    def generate(
        self, prompts: list[list[int]], images: list[Any] | None, num_generations: int, profiler: Any = None
    ) -> tuple[Any, ...]:
        """Sample replies, as `VLLMGeneration.generate`; a prompt without images may have an empty list of them.

        Raises:
            SamplingMismatch: vLLM has read another prompt than it was given.
        """
        lists = None if images is None else [it or None for it in images]
        if self._is_shared and num_generations == 1:
            results = self._generate_in_step(prompts, lists, profiler)
            assert results is not None
            return results
        with self.measure("generation"):
            if not self.collapses_images or self._image_token_id is None:
                return super().generate(prompts, lists, num_generations, profiler)
            collapsed = [collapse_runs(ids, self._image_token_id) for ids in prompts]
            results = super().generate(collapsed, lists, num_generations, profiler)
        if [list(ids) for ids in results[0]] != prompts:
            raise SamplingMismatch(
                "vLLM read other prompts than it was given: the model needs one run of tokens an image"
            )
        return results

    def generate_for_others(self) -> None:
        """Take the turns of the other processes at a shared server until none of them has a rollout left."""
        while self._is_shared and self._generate_in_step([], None, None) is not None:
            pass

    @property
    def _is_shared(self) -> bool:
        return self.mode == "server" and self.accelerator.num_processes > 1

    def _generate_in_step(
        self, prompts: list[list[int]], images: list[Any] | None, profiler: Any
    ) -> tuple[Any, ...] | None:
        sample = partial(super().generate, num_generations=1, profiler=profiler)
        accelerator: Any = self.accelerator
        with self.measure("generation"):
            return sample_in_step(sample, prompts, images, accelerator.process_index, accelerator.num_processes)

    def sync_weights(self) -> None:
        """Hand every weight to the sampler, and drop what it computed with the old ones."""
        with self.measure("sync"):
            if self.mode != "colocate":
                super().sync_weights()
                return
            engine: Any = self.llm.llm_engine
            if engine.vllm_config.device_config.device_type == "cpu":
                # vLLM repacks linear weights on the CPU; only its own reload reaches them.
                runner = engine.model_executor.driver_worker.model_runner
                runner.reload_weights(weights_iterator=self._all_weights())
                self.llm.reset_prefix_cache()
            else:
                super().sync_weights()
            engine.reset_mm_cache()
            engine.reset_encoder_cache()

    def _all_weights(self) -> Iterator[tuple[str, Any]]:
        """Yield every weight under every name it has: TRL names a tied weight once, a repacked copy needs its own."""
        yield from self._iter_named_params()
        model: Any = self.model
        once = {name for name, _ in model.named_parameters()}
        for name, weight in model.named_parameters(remove_duplicate=False):
            if name not in once:
                yield name.removeprefix("base_model.model."), weight.data

    def _never_sample(self, *token_ids: int | None) -> None:
        """Keep vLLM from sampling tokens that stand for pixels, as TRL does for image tokens without vLLM."""
        bias = dict.fromkeys((it for it in token_ids if it is not None), _NEVER)
        given: Any = self.generation_kwargs
        self.generation_kwargs = {**given, "logit_bias": {**given.get("logit_bias", {}), **bias}}

    def _reads_images(self) -> bool:
        """Sample one token after an image, and compare the prompt that vLLM has read with the trainer's."""
        image = Image.new("RGB", (112, 112), "grey")
        blocks = [{"type": "image", "image": image}, {"type": "text", "text": "?"}]
        conversations = [[{"role": "user", "content": blocks}]]
        processor: Any = self.processing_class
        tokenized = processor.apply_chat_template(conversations, tokenize=True, return_dict=True)
        prompts = [list(ids) for ids in tokenized["input_ids"]]
        whole_length = self.max_completion_length
        self.max_completion_length = 1
        try:
            read = self.generate(prompts, [[image]], 1)[0]
        finally:
            self.max_completion_length = whole_length
        return [list(ids) for ids in read] == prompts
