"""Chat completions with vLLM's offline engine; same records as from a server."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from agents.backends.chat_wire import BrokenOff, ChatReply, ChatRequest, ReplyStatus, Usage, read_finish
from agents.backends.own_sampling import check_local
from agents.backends.vllm_generate import CPU_SETTINGS, vllm_settings


class VllmChat:
    """Chat model on vLLM in this process. Thread-safe; batches run one after another.

    Each turn renders the whole conversation with the model's own chat template; vLLM's prefix cache makes this cheap.
    Tool calls stay in the text of the reply.

    Args:
        model: A checkpoint folder or hub name.
        max_images: Maximum number of images in a conversation; 0 for text-only models.
    """

    def __init__(self, model: str | Path, max_images: int = 0) -> None:
        for name, value in CPU_SETTINGS.items():
            os.environ.setdefault(name, value)
        from vllm import LLM
        from vllm.platforms import current_platform

        on_cpu = current_platform.is_cpu()
        self._engine = LLM(
            model=str(model),
            dtype="float32" if on_cpu else "auto",
            enforce_eager=on_cpu,
            limit_mm_per_prompt={"image": max_images, "video": 0},
            seed=0,
        )
        # A concurrent call would also take the replies of another thread.
        self._lock = Lock()
        self._context_tokens: int = self._engine.model_config.max_model_len
        self.used = Usage()
        """Prompt and completion tokens so far."""

    def complete_each(self, requests: Iterable[ChatRequest]) -> Iterator[ChatReply]:
        """Answer requests in order, as one batch.

        Raises:
            ValueError: The requests offer different tools.
            ConfigError: A request holds fields for servers.
        """
        asked = list(requests)
        if not asked:
            return
        for request in asked:
            check_local(request.sampling)
        tools = [[dict(tool) for tool in request.tools] for request in asked]
        if any(it != tools[0] for it in tools):
            raise ValueError("requests of one batch offer different tools: give each list of tools its own batch")
        bodies = [request.body("")["messages"] for request in asked]
        fitting = [number for number, body in enumerate(bodies) if self._fits(body, asked[number])]
        with self._lock:
            _settle_threads()
            outputs = self._engine.chat(
                [bodies[number] for number in fitting],
                [_sampling(asked[number]) for number in fitting],
                use_tqdm=False,
                tools=tools[0] or None,
            )
            replies = dict(zip(fitting, map(_reply, outputs), strict=True))
            self.used = sum((it.usage for it in replies.values()), self.used)
        too_long = ChatReply(ReplyStatus.TOO_LONG, error=f"more than the model's {self._context_tokens} tokens")
        for number in range(len(asked)):
            yield replies.get(number, too_long)

    def _fits(self, messages: list[dict[str, Any]], request: ChatRequest) -> bool:
        tokenizer: Any = self._engine.get_tokenizer()
        ids = tokenizer.apply_chat_template(
            messages, tools=list(request.tools) or None, add_generation_prompt=True, return_dict=False
        )
        return len(ids) + request.sampling.reply_tokens <= self._context_tokens


def _settle_threads() -> None:
    """Apply PyTorch's thread count to OpenMP in the calling thread.

    PyTorch sets the count of OpenMP when a thread first asks for it; vLLM's attention for the CPU (0.32) reads the
    count before and after, and fails if the two differ.
    """
    import torch

    torch.get_num_threads()


def _sampling(request: ChatRequest) -> Any:
    from vllm import SamplingParams

    return SamplingParams(**vllm_settings(request.sampling), seed=request.seed)


def _reply(output: Any) -> ChatReply:
    written = output.outputs[0]
    usage = Usage(len(output.prompt_token_ids), len(written.token_ids), tries=1)
    try:
        status, error = read_finish(written.finish_reason)
    except BrokenOff as reason:
        return ChatReply(ReplyStatus.ERROR, usage=usage, error=str(reason))
    return ChatReply(status, written.text, usage=usage, error=error)
