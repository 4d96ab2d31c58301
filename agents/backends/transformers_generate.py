"""Generation with transformers on CPU or GPU, in left-padded batches."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import (
    AutoModelForImageTextToText,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    SuppressTokensLogitsProcessor,
)

from agents.backends.generator import Completion, TokenSequence


class TransformersGenerator:
    """Generator on `model.generate`: fp32 on the CPU, the dtype of the checkpoint on a GPU.

    Args:
        model_path: A checkpoint folder or hub name.
        processor: Processor of the checkpoint; its image processor prepares the images.
        max_new_tokens: Maximum length of a reply in tokens.
        temperature: 0 decodes greedily.
    """

    def __init__(self, model_path: str | Path, processor: Any, max_new_tokens: int, temperature: float = 0.0) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = "auto" if device == "cuda" else torch.float32
        model: Any = AutoModelForImageTextToText.from_pretrained(model_path, dtype=dtype)
        self._model: Any = model.to(device).eval()
        # Qwen2.5's default has a repetition penalty: replies would differ from vLLM's, and scores be no probabilities.
        self._model.generation_config = GenerationConfig()
        self._processor = processor
        self._temperature = temperature
        self.max_new_tokens = max_new_tokens
        self.context_tokens = self._model.config.get_text_config().max_position_embeddings

    def generate(self, sequences: Sequence[TokenSequence], seeds: Sequence[int]) -> list[Completion]:
        """Generate one reply per sequence; see `agents.backends.generator.Generator`."""
        inputs = {name: tensor.to(self._model.device) for name, tensor in self._inputs(sequences).items()}
        watched = _ChosenLogprobs()
        suppressed = SuppressTokensLogitsProcessor(sorted(self._image_tokens()), device=self._model.device)
        sampling = [SeededSampling(seeds, self._temperature)] if self._temperature else []
        with torch.inference_mode():
            output = self._model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=self.max_new_tokens,
                eos_token_id=self._processor.tokenizer.eos_token_id,
                pad_token_id=self._processor.tokenizer.pad_token_id,
                logits_processor=LogitsProcessorList([watched, suppressed, *sampling]),
            )
            written = output[:, inputs["input_ids"].shape[1] :]
            logprobs = watched.of(written)
        replies = [self._until_end(ids) for ids in written.tolist()]
        return [Completion(ids, row[: len(ids)]) for ids, row in zip(replies, logprobs, strict=True)]

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
        return {self._model.config.image_token_id, self._model.config.video_token_id}

    def _until_end(self, ids: list[int]) -> list[int]:
        end = self._processor.tokenizer.eos_token_id
        return ids[: ids.index(end) + 1] if end in ids else ids


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


class SeededSampling(LogitsProcessor):
    """Gumbel-max sampling with one random stream per row; use with greedy decoding.

    Adding Gumbel noise to `logits / temperature` and taking the maximum samples from the softmax (Gumbel, 1954;
    Maddison et al., NeurIPS 2014). PyTorch's own sampling has one stream for the batch, so a reply would depend on its
    neighbours.

    Args:
        seeds: One per row.
        temperature: Sampling temperature, above 0.
    """

    def __init__(self, seeds: Sequence[int], temperature: float) -> None:
        self._streams = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._temperature = temperature

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Scale float[B, V] scores by the temperature and add Gumbel noise."""
        uniform = torch.stack([torch.rand(scores.shape[1], generator=stream) for stream in self._streams])
        return scores / self._temperature - torch.log(-torch.log(uniform)).to(scores.device)
