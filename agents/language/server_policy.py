"""Policy backed by a language model on an OpenAI-compatible server.

Each conversation is its own request, so many threads may play at once (`agents.rollout.play_in_threads`) and the server
never waits for the slowest of a batch.

Calls take one of two forms:

* `text`: the model writes `<tool_call>` itself, and tool results are messages of the role `tool` with their frames
  inside. Checkpoints of this repository were trained on this form, through the server's own chat template.
* `native`: the server parses the calls, and the frames of a result follow in a user message, since OpenAI's own service
  takes no images in tool messages.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agents.backends.chat_client import OpenAIClient
from agents.backends.chat_wire import ChatReply, ChatRequest, ReplyStatus, image_url
from agents.base import Conversation, Reply, Unanswerable
from agents.language.confidence import answer_logprob, mean
from agents.language.tool_calling_chat import action_text
from agents.seeds import reply_seed
from vt_env.actions.parse import ActionReader
from vt_env.episode.messages import Message
from vt_env.episode.reply_record import ReplyEnd, ReplyRecord
from vt_env.errors import ConfigError
from vt_env.types import Action, ToolCall

CallForm = Literal["text", "native"]

_ENDS: Mapping[ReplyStatus, ReplyEnd] = {
    ReplyStatus.OK: ReplyEnd.STOP,
    ReplyStatus.TRUNCATED: ReplyEnd.LENGTH,
    ReplyStatus.REFUSED: ReplyEnd.REFUSED,
    ReplyStatus.TOO_LONG: ReplyEnd.CONTEXT,
}


class ServerLost(ConfigError):
    """The server no longer answers. Recorded episodes are kept; the same command resumes the run."""


@dataclass(frozen=True)
class Sampling:
    """Sampling settings of replies."""

    max_new_tokens: int
    """Maximum length of a reply in tokens."""
    temperature: float = 0.0
    """0 decodes greedily."""
    logprobs: bool = True
    """Request log-probabilities, from which the confidence is computed. Some servers refuse such requests."""


class ServedPolicy:
    """Batch policy over a chat-completions server.

    Args:
        client: Client of the server; may be shared between policies, and is not closed here.
        tools: JSON schemas of the tools.
        sampling: Sampling settings.
        form: Form of tool calls.
        seeds: One per episode.
    """

    def __init__(
        self,
        client: OpenAIClient,
        tools: Sequence[Mapping[str, Any]],
        sampling: Sampling,
        form: CallForm,
        seeds: Sequence[int],
    ) -> None:
        self._client = client
        # Same order as `agents.language.token_policy.ChatTokens`, so that both send the same prompt.
        self._tools = sorted(tools, key=lambda tool: tool["function"]["name"])
        self._reader = ActionReader.for_schemas(tools)
        self._sampling = sampling
        self._form = form
        self._seeds = seeds
        self._sent: dict[int, list[dict[str, Any]]] = {}
        """Wire messages of open episodes, kept so that each image is encoded once."""

    def act(self, conversations: Sequence[Conversation]) -> list[Reply]:
        """Ask for the next reply of each conversation.

        Raises:
            Unanswerable: The server works but rejects this request.
            ServerLost: The server fails or cannot be reached, after all retries.
        """
        requests = [self._request(it) for it in conversations]
        answers = [self._client.submit(request) for request in requests]
        return [
            self._reply(answer.result(), request.seed or 0) for answer, request in zip(answers, requests, strict=True)
        ]

    def forget(self, episode_idx: int) -> None:
        """Drop the messages of an episode."""
        self._sent.pop(episode_idx, None)

    def _request(self, conversation: Conversation) -> ChatRequest:
        # In text form the server must render the tools into the prompt but not parse the reply.
        unparsed = {"tool_choice": "none"} if self._tools and self._form == "text" else {}
        return ChatRequest(
            messages=self._messages(conversation),
            tools=self._tools,
            max_tokens=self._sampling.max_new_tokens,
            temperature=self._sampling.temperature,
            # Some servers take no more than 31 bits.
            seed=reply_seed(self._seeds[conversation.episode_idx], len(conversation.replies)) >> 1,
            logprobs=self._sampling.logprobs,
            extra=unparsed,
        )

    def _messages(self, conversation: Conversation) -> list[dict[str, Any]]:
        sent = self._sent.setdefault(conversation.episode_idx, [])
        messages = conversation.messages(conversation.prompts.system_text(has_tools=bool(self._tools)))
        if not sent:
            sent += [_wire(message) for message in messages[:2]]
        known = sum(message["role"] == "assistant" for message in sent)
        for number in range(known, len(conversation.replies)):
            reply, result = messages[2 + 2 * number], messages[3 + 2 * number]
            if self._form == "native":
                action = self._reader.read(conversation.replies[number]).action
                sent += _native_turn(f"call-{number}", conversation.replies[number], action, result)
            else:
                sent += [_wire(reply), _wire(result)]
        return list(sent)

    def _reply(self, answer: ChatReply, seed: int) -> Reply:
        if answer.status not in _ENDS:
            raise self._failure(answer)
        text = action_text(answer, self._reader) if self._form == "native" else answer.text
        logprobs = [token.logprob for token in answer.logprobs]
        pieces = [token.token for token in answer.logprobs]
        return Reply(
            text,
            ReplyRecord(
                ended=_ENDS[answer.status],
                prompt_tokens=answer.usage.prompt_tokens or None,
                completion_tokens=answer.usage.completion_tokens if answer.usage.prompt_tokens else None,
                mean_logprob=mean(logprobs),
                answer_logprob=answer_logprob(
                    logprobs, lambda count: len("".join(pieces[:count])), self._reader.read("".join(pieces)).answer_span
                ),
                seed=seed,
                cost_usd=answer.usage.cost_usd,
            ),
        )

    def _failure(self, answer: ChatReply) -> Exception:
        """Classify a failure as one of the request or of the server."""
        url = self._client.config.base_url
        if answer.status is ReplyStatus.REJECTED:
            return Unanswerable(f"the server rejects the request: {answer.error}")
        lost = ServerLost(f"{url} does not answer any more ({answer.error}): start it and run the same command again")
        if answer.status is ReplyStatus.RATE_LIMITED:
            return ServerLost(f"{url} limits the rate ({answer.error}): wait, lower --batch, and run the command again")
        try:
            self._client.served_models()
        except ConfigError:
            return lost
        return Unanswerable(f"the server answers others but not this request: {answer.error}")


def _wire(message: Message) -> dict[str, Any]:
    """Encode the images of a message as data URIs."""
    content = message["content"]
    if isinstance(content, str):
        return dict(message)
    blocks = [
        {"type": "image_url", "image_url": {"url": image_url(block["image"])}} if block["type"] == "image" else block  # pyright: ignore
        for block in content
    ]
    return {**message, "content": blocks}


def _native_turn(call_id: str, reply: str, action: Action, result: Message) -> list[dict[str, Any]]:
    """Write a reply and its result as a native call; a reply without a call stays text, answered by a user message."""
    wire = _wire(result)
    texts = [block for block in wire["content"] if block["type"] == "text"]
    pictures = [block for block in wire["content"] if block["type"] == "image_url"]
    if not isinstance(action, ToolCall):
        return [{"role": "assistant", "content": reply}, {"role": "user", "content": [*pictures, *texts]}]
    arguments = json.dumps(dict(action.arguments))
    call = {"id": call_id, "type": "function", "function": {"name": action.name, "arguments": arguments}}
    shown = [{"role": "user", "content": pictures}] if pictures else []
    return [
        {"role": "assistant", "content": action.thought, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": texts},
        *shown,
    ]
