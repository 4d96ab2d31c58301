"""Generation with vLLM's offline engine, with prefix caching of earlier turns.

Runs in fp32 with a KV cache of 1 GiB on the CPU, and in the dtype of the checkpoint on a GPU.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.backends.generator import Completion, TokenSequence
from agents.backends.sampling import Sampling
from vt_env.integrations.trl.vllm_repairs import collapse_runs

CPU_SETTINGS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}
"""Environment variables read when vLLM is imported; values already set take precedence."""


@dataclass(frozen=True)
class EngineLimits:
    """Capacity limits of a vLLM engine."""

    max_images: int = 64
    """Maximum number of images in a conversation."""
    context_tokens: int | None = None
    """Maximum sequence length in tokens; `None` takes the checkpoint's limit, which may not fit into a GPU."""
    tensor_parallel: int = 1
    """Number of GPUs for tensor parallelism."""


class VllmGenerator:
    """Generator on `vllm.LLM`.

    Args:
        model_path: A checkpoint folder or hub name.
        processor: Processor of the checkpoint, as `agents.backends.load.load_processor` returns it.
        sampling: How replies are sampled, with their length; the checkpoint's own settings are not read.
        limits: Capacity limits of the engine.
    """

    def __init__(
        self,
        model_path: str | Path,
        processor: Any,
        sampling: Sampling,
        limits: EngineLimits = EngineLimits(),
    ) -> None:
        for name, value in CPU_SETTINGS.items():
            os.environ.setdefault(name, value)
        from vllm import LLM
        from vllm.platforms import current_platform

        on_cpu = current_platform.is_cpu()
        self._engine = LLM(
            model=str(model_path),
            dtype="float32" if on_cpu else "auto",
            enforce_eager=on_cpu,
            # On the CPU, chunked prefill fails for requests with a seed (vLLM 0.32).
            enable_chunked_prefill=not on_cpu,
            limit_mm_per_prompt={"image": limits.max_images, "video": 0} if processor.image_token else {},
            max_model_len=limits.context_tokens,
            tensor_parallel_size=limits.tensor_parallel,
            seed=0,
        )
        config = self._engine.model_config
        names = ("image_token_id", "video_token_id") if processor.image_token else ()
        self._image_token_ids: list[int] = [getattr(config.hf_config, name) for name in names]
        self._end_token_id: int = processor.tokenizer.eos_token_id
        self._sampling = sampling
        self.max_new_tokens = sampling.reply_tokens
        self.context_tokens: int = config.max_model_len

    def generate(self, sequences: Sequence[TokenSequence], seeds: Sequence[int]) -> list[Completion]:
        """Generate one reply per sequence; see `agents.backends.generator.Generator`.

        Raises:
            ValueError: vLLM changed the prompt ids.
        """
        from vllm import SamplingParams

        prompts = [self._prompt(sequence) for sequence in sequences]
        sampling = [
            SamplingParams(
                **vllm_settings(self._sampling),
                seed=seed,
                stop_token_ids=[self._end_token_id],
                logit_bias=dict.fromkeys(self._image_token_ids, -100.0) or None,
                # Stop texts are found in the text.
                detokenize=bool(self._sampling.stop),
                # 0 returns only the chosen token's log-probability.
                logprobs=0,
            )
            for seed in seeds
        ]
        outputs = self._engine.generate(prompts, sampling, use_tqdm=False)
        if [list(output.prompt_token_ids or ()) for output in outputs] != [sequence.ids for sequence in sequences]:
            raise ValueError("vLLM changed the prompt ids: the model needs one run of image tokens per image")
        return [_completion(output.outputs[0]) for output in outputs]

    def _prompt(self, sequence: TokenSequence) -> Any:
        # vLLM expands each image token to the length of the image's features, expanded ones too (trl issue 6294).
        ids = collapse_runs(sequence.ids, self._image_token_ids[0]) if self._image_token_ids else sequence.ids
        prompt: dict[str, Any] = {"prompt_token_ids": ids}
        if sequence.images:
            prompt["multi_modal_data"] = {"image": sequence.images}
        return prompt


def vllm_settings(sampling: Sampling) -> dict[str, Any]:
    """Return settings as arguments of `vllm.SamplingParams`; greedy without a temperature."""
    found = sampling.body()
    return {"temperature": 0.0, **found, "include_stop_str_in_output": bool(sampling.stop)}


def _completion(output: Any) -> Completion:
    if output.finish_reason not in ("stop", "length"):
        raise RuntimeError(f"vLLM broke a reply off (finish_reason={output.finish_reason!r}): run the command again")
    ids = list(output.token_ids)
    logprobs = [step[token].logprob for token, step in zip(ids, output.logprobs, strict=True)]
    return Completion(ids, logprobs, is_stopped=isinstance(output.stop_reason, str))
