"""Generation with transformers on CPU or GPU, in left-padded batches."""

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    SuppressTokensLogitsProcessor,
)

from agents.backends.generator import Completion, TokenSequence
from agents.backends.logits import sampling_processors
from agents.backends.sampling import Sampling


class TransformersGenerator:
    """Generator on `model.generate`: fp32 on the CPU, the dtype of the checkpoint on a GPU.

    Args:
        model_path: A checkpoint folder or hub name.
        processor: Processor of the checkpoint, as `agents.backends.load.load_processor` returns it.
        sampling: How replies are sampled, with their length; the checkpoint's own settings are not read.
    """

    def __init__(self, model_path: str | Path, processor: Any, sampling: Sampling) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = "auto" if device == "cuda" else torch.float32
        kind: Any = AutoModelForImageTextToText if processor.image_token else AutoModelForCausalLM
        model: Any = kind.from_pretrained(model_path, dtype=dtype, trust_remote_code=False)
        self._model: Any = model.to(device).eval()
        # `sampling` alone decides, as in vLLM.
        self._model.generation_config = GenerationConfig()
        self._processor = processor
        self._sampling = sampling
        self.max_new_tokens = sampling.reply_tokens
        self.context_tokens = self._model.config.get_text_config().max_position_embeddings

    def generate(self, sequences: Sequence[TokenSequence], seeds: Sequence[int]) -> list[Completion]:
        """Generate one reply per sequence; see `agents.backends.generator.Generator`."""
        inputs = {name: tensor.to(self._model.device) for name, tensor in self._inputs(sequences).items()}
        watched = _ChosenLogprobs()
        images = sorted(self._image_tokens())
        suppressed = [SuppressTokensLogitsProcessor(images, device=self._model.device)] if images else []
        length = inputs["input_ids"].shape[1]
        starts = [length - len(sequence.ids) for sequence in sequences]
        stops = list(self._sampling.stop or ()) or None
        with torch.inference_mode():
            output = self._model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=self.max_new_tokens,
                eos_token_id=self._processor.tokenizer.eos_token_id,
                pad_token_id=self._processor.tokenizer.pad_token_id,
                logits_processor=LogitsProcessorList(
                    [watched, *suppressed, *sampling_processors(self._sampling, seeds, starts, length)]
                ),
                stop_strings=stops,
                tokenizer=self._processor.tokenizer if stops else None,
            )
            written = output[:, length:]
            logprobs = watched.of(written)
        replies = [self._until_end(ids) for ids in written.tolist()]
        return [
            Completion(ids, row[: len(ids)], is_stopped=is_stopped)
            for (ids, is_stopped), row in zip(replies, logprobs, strict=True)
        ]

    def _inputs(self, sequences: Sequence[TokenSequence]) -> dict[str, torch.Tensor]:
        """Batch sequences: int64[B, T] ids, mask and modality, and the image processor's tensors of all images."""
        length = max(len(sequence.ids) for sequence in sequences)
        rows = [torch.tensor(sequence.ids) for sequence in sequences]
        ids = torch.stack(
            [pad(row, (length - len(row), 0), value=self._processor.tokenizer.pad_token_id) for row in rows]
        )
        mask = torch.stack([pad(torch.ones_like(row), (length - len(row), 0)) for row in rows])
        inputs = {"input_ids": ids, "attention_mask": mask}
        images = [image for sequence in sequences for image in sequence.images]
        if images:
            inputs["mm_token_type_ids"] = (ids == self._model.config.image_token_id).long()
            inputs |= self._processor.image_processor(images=images, return_tensors="pt")
        return inputs

    def _image_tokens(self) -> set[int]:
        config: Any = self._model.config
        return {config.image_token_id, config.video_token_id} if self._processor.image_token else set()

    def _until_end(self, ids: list[int]) -> tuple[list[int], bool]:
        """Cut the padding behind a reply; also tells whether a stop text ended it."""
        end = self._processor.tokenizer.eos_token_id
        whole = ids[: ids.index(end) + 1] if end in ids else ids
        stopped = stopped_length(whole, self._sampling.stop or (), self._processor.tokenizer)
        return (whole, False) if stopped is None else (whole[:stopped], True)


class _ChosenLogprobs(LogitsProcessor):
    """Recorder of the log-probability of each chosen token, read one step later from its id."""

    def __init__(self) -> None:
        self._previous: torch.Tensor | None = None
        self._chosen: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Record float[B, V] scores of the model, and return them unchanged."""
        self._gather(input_ids[:, -1])
        self._previous = torch.log_softmax(scores.float(), dim=-1)
        return scores

    def of(self, written: torch.Tensor) -> list[list[float]]:
        """Return the log-probabilities of int64[B, T] generated tokens; values after the end of a row are undefined."""
        self._gather(written[:, -1])
        return torch.stack(self._chosen, dim=1).tolist()

    def _gather(self, ids: torch.Tensor) -> None:
        if self._previous is not None:
            self._chosen.append(self._previous.gather(1, ids[:, None])[:, 0])


def stopped_length(ids: Sequence[int], stops: Sequence[str], tokenizer: Any) -> int | None:
    """Return the number of tokens with which the first stop text is complete; `None` without one."""

    def holds_one(count: int) -> bool:
        text = tokenizer.decode(ids[:count], skip_special_tokens=True)
        return any(stop in text for stop in stops)

    if not stops or not holds_one(len(ids)):
        return None
    return 1 + bisect_left(range(1, len(ids) + 1), x=True, key=holds_one)
