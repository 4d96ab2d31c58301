"""Chat completions with transformers, one request at a time, on CPU or GPU; same records as from a server."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

from agents.backends.chat_wire import ChatReply, ChatRequest, ReplyStatus, Usage
from agents.backends.logits import sampling_processors
from agents.backends.own_sampling import check_local
from agents.backends.transformers_generate import stopped_length


class TransformersChat:
    """Chat model on `model.generate`. Thread-safe; concurrent requests run one after another.

    Args:
        model: A checkpoint folder or hub name.
    """

    def __init__(self, model: str | Path) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = "auto" if device == "cuda" else torch.float32
        self._processor = AutoProcessor.from_pretrained(model, trust_remote_code=False)
        loaded: Any = AutoModelForImageTextToText.from_pretrained(model, dtype=dtype, trust_remote_code=False)
        self._model: Any = loaded.to(device).eval()
        # As in vLLM, the request alone decides the sampling.
        self._model.generation_config = GenerationConfig()
        self._lock = Lock()
        self.used = Usage()
        """Prompt and completion tokens so far."""

    def complete_each(self, requests: Iterable[ChatRequest]) -> Iterator[ChatReply]:
        """Answer requests in order.

        Raises:
            ConfigError: A request holds fields for servers.
        """
        for request in requests:
            with self._lock:
                reply = self._complete(request)
                self.used += reply.usage
            yield reply

    def _complete(self, request: ChatRequest) -> ChatReply:
        check_local(request.sampling)
        inputs = self._processor.apply_chat_template(
            list(request.messages),
            tools=list(request.tools) or None,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        ).to(self._model.device)
        read = inputs["input_ids"].shape[1]
        longest, stops = request.sampling.reply_tokens, list(request.sampling.stop or ())
        if read + longest > self._model.config.get_text_config().max_position_embeddings:
            return ChatReply(ReplyStatus.TOO_LONG, error=f"{read} tokens are more than the model reads")
        tokenizer = self._processor.tokenizer
        end = tokenizer.eos_token_id
        with torch.inference_mode():
            output = self._model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=longest,
                eos_token_id=end,
                pad_token_id=tokenizer.pad_token_id,
                logits_processor=sampling_processors(request.sampling, [request.seed or 0], [0], read),
                stop_strings=stops or None,
                tokenizer=tokenizer if stops else None,
            )
        written = output[0, read:].tolist()
        is_cut = end not in written and stopped_length(written, stops, tokenizer) is None
        text = tokenizer.decode(written, skip_special_tokens=True)
        usage = Usage(read, len(written), tries=1)
        status = ReplyStatus.TRUNCATED if is_cut else ReplyStatus.OK
        return ChatReply(status, text, usage=usage, error="cut off at max_tokens" if is_cut else "")
