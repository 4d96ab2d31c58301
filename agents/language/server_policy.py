"""Policy backed by a language model on an OpenAI-compatible server.

Each conversation is its own request, so many threads may play at once (`agents.rollout.play_in_threads`) and the server
never waits for the slowest of a batch.

Calls take one of two forms:

* `text`: the model writes `<tool_call>` itself, and tool results are messages of the role `tool` with their frames
  inside. Checkpoints of this repository were trained on this form, through the server's own chat template.
* `native`: the server parses the calls, and the frames of a result follow in a user message, since OpenAI's own service
  takes no images in tool messages. After the last call, calls are forbidden (`tool_choice="none"`), as in synthesis.

Thoughts that the server returns apart from the text are kept in `ReplyRecord.reasoning` and not sent again. Thoughts
inside a text are sent as they were written; the chat template of the server leaves them out or not.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from agents.backends.chat_client import OpenAIClient
from agents.backends.chat_wire import ChatReply, ChatRequest, ReplyStatus, image_url
from agents.backends.sampling import Sampling
from agents.base import Conversation, Reply, Unanswerable
from agents.language.confidence import answer_logprob, mean
from agents.language.tool_calling_chat import action_text
from agents.seeds import reply_seed
from vt_env.actions.parse import ActionReader
from vt_env.actions.parsed_reply import ParsedReply
from vt_env.actions.thoughts import UNCLOSED_THOUGHT, split_thoughts
from vt_env.episode.messages import (
    ContentBlock,
    Message,
    content_blocks,
    conversation_messages,
    joined_message,
    message,
    result_messages,
)
from vt_env.episode.reply_record import ReplyEnd, ReplyRecord
from vt_env.errors import ConfigError
from vt_env.prompts import PromptSet
from vt_env.types import Observation, ToolCall
from vt_env.valid_text import as_valid_text

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
class ServedSettings:
    """How a server is asked, besides sampling."""

    calls: CallForm = "text"
    """Form of tool calls."""
    logprobs: bool = True
    """Request log-probabilities, from which the confidence is computed. Some servers refuse such requests."""
    has_tools_in_text: bool = False
    """Describe the tools in the system message, for servers that drop unparsed tools from the prompt; see
    `agents.backends.server_probe`."""
    has_tools: bool | None = None
    """Whether the policy is offered tools; `None` where it is sent the schemas of all that it is offered."""


class ServedPolicy:
    """Batch policy over a chat-completions server.

    Args:
        client: Client of the server; may be shared between policies, and is not closed here.
        tools: JSON schemas of the tools.
        sampling: Sampling settings; what is not given is left to the server.
        settings: Form of the requests.
        seeds: One per episode.
    """

    def __init__(
        self,
        client: OpenAIClient,
        tools: Sequence[Mapping[str, Any]],
        sampling: Sampling,
        settings: ServedSettings,
        seeds: Sequence[int],
    ) -> None:
        self._client = client
        # Same order as `agents.language.token_policy.ChatTokens`, so that both send the same prompt.
        self._tools = sorted(tools, key=lambda tool: tool["function"]["name"])
        self._reader = ActionReader.for_schemas(tools)
        self._sampling = sampling
        self._settings = settings
        self._seeds = seeds
        self._call_ids: dict[int, dict[int, list[str]]] = {}
        """Ids that the server gave to its calls, by episode and turn."""
        self._sent: dict[int, list[dict[str, Any]]] = {}
        """Wire messages of open episodes, kept so that each image is encoded once."""

    def act(self, conversations: Sequence[Conversation]) -> list[Reply]:
        """Ask for the next reply of each conversation.

        Raises:
            Unanswerable: The server works but rejects this request.
            ServerLost: The server fails or cannot be reached, after all retries.
        """
        requests = [self._request(it) for it in conversations]
        pending = [self._client.submit(request) for request in requests]
        answers = [it.result() for it in pending]
        for conversation, answer in zip(conversations, answers, strict=True):
            ids = self._call_ids.setdefault(conversation.episode_idx, {})
            ids[len(conversation.replies)] = [call.call_id for call in answer.calls]
        return [self._reply(it, request.seed or 0) for it, request in zip(answers, requests, strict=True)]

    def forget(self, episode_idx: int) -> None:
        """Drop the messages of an episode."""
        self._sent.pop(episode_idx, None)
        self._call_ids.pop(episode_idx, None)

    def _request(self, conversation: Conversation) -> ChatRequest:
        calls_left = conversation.observations[-1].remaining.calls
        # In text form the server must render the tools into the prompt but not parse the reply.
        is_unparsed = self._settings.calls == "text" or not calls_left
        tools = () if self._settings.has_tools_in_text else self._tools
        return ChatRequest(
            messages=self._messages(conversation),
            tools=tools,
            sampling=self._sampling,
            # Some servers take no more than 31 bits.
            seed=reply_seed(self._seeds[conversation.episode_idx], len(conversation.replies)) >> 1,
            logprobs=self._settings.logprobs,
            parallel_calls=conversation.has_parallel_calls,
            extra={"tool_choice": "none"} if tools and is_unparsed else {},
        )

    def _messages(self, conversation: Conversation) -> list[dict[str, Any]]:
        sent = self._sent.setdefault(conversation.episode_idx, [])
        if not sent:
            given = self._settings.has_tools
            system_text = conversation.prompts.system_text(has_tools=bool(self._tools) if given is None else given)
            if self._tools and self._settings.has_tools_in_text:
                system_text = f"{system_text}\n\n{tools_text(self._tools)}"
            opening = conversation_messages(system_text, conversation.observations[:1], ())
            sent += [_wire(message) for message in opening]
        known = sum(message["role"] == "assistant" for message in sent)
        for number in range(known, len(conversation.replies)):
            reply, result = conversation.replies[number], conversation.observations[number + 1]
            if self._settings.calls == "native":
                ids = self._call_ids.get(conversation.episode_idx, {}).get(number, [])
                sent += _native_turn(number, ids, self._reader.read(reply), result)
            else:
                sent += _text_turn(self._reader.read(reply), result, conversation.prompts)
        return list(sent)

    def _reply(self, answer: ChatReply, seed: int) -> Reply:
        if answer.status not in _ENDS:
            raise self._failure(answer)
        text, reasoning = self._text(answer)
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
                reasoning=reasoning,
            ),
        )

    def _text(self, answer: ChatReply) -> tuple[str, str]:
        """Return the text of an action, and the thoughts that the server returned apart from it."""
        reasoning = answer.reasoning.strip()
        if reasoning and not answer.text.strip() and not answer.calls:
            # The thought never ended; read as such, and not sent again.
            return UNCLOSED_THOUGHT, reasoning
        if self._settings.calls == "text":
            return answer.text, reasoning
        thoughts, said = split_thoughts(answer.text)
        spoken = replace(answer, text=said if thoughts else answer.text, reasoning="")
        return action_text(spoken, self._reader), "\n".join(filter(None, (reasoning, thoughts.strip())))

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


def tools_text(tools: Sequence[Mapping[str, Any]]) -> str:
    """Describe tools in a system message: one schema a line, and the form of a call, as Qwen's templates have them."""
    lines = "\n".join(json.dumps(tool) for tool in tools)
    form = 'as a JSON object with the keys "name" and "arguments", between <tool_call> and </tool_call>'
    return f"# Tools\n\nThese functions are offered:\n<tools>\n{lines}\n</tools>\n\nWrite a call {form}."


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


def _text_turn(reply: ParsedReply, result: Observation, prompts: PromptSet) -> list[dict[str, Any]]:
    """Write a reply as text, and its results as one message a call; what answers no call is of the role of hints."""
    has_calls = bool(reply.calls) and len(reply.calls) == len(result.parts)
    hint_role = prompts.hints if prompts.calls == "template" else "user"
    answers = result_messages(result, prompts.result_role) if has_calls else [joined_message(hint_role, result)]
    return [_wire(it) for it in (message("assistant", reply.text), *answers)]


def _native_turn(turn: int, given_ids: Sequence[str], reply: ParsedReply, result: Observation) -> list[dict[str, Any]]:
    """Write a reply and its results as native calls, one tool message a call.

    A reply without calls stays text, and so does one that was malformed as a whole; a user message answers it.
    """
    calls = reply.calls
    if len(calls) != len(result.parts):
        return [_wire(message("assistant", reply.text)), _wire(joined_message("user", result))]
    # A policy may have replaced what the server called, and servers of Mistral's models take nine letters and digits.
    known = given_ids if len(given_ids) == len(calls) else [""] * len(calls)
    ids = [call_id or f"call{turn:03d}{number:02d}" for number, call_id in enumerate(known)]
    written = {"role": "assistant", "content": as_valid_text(reply.thought)}
    native = [_native_call(call_id, call) for call_id, call in zip(ids, calls, strict=True)]
    results = [
        {"role": "tool", "tool_call_id": call_id, "content": content_blocks(part.text)}
        for call_id, part in zip(ids, result.parts, strict=True)
    ]
    pictures = [_wire({"role": "user", "content": _pictures(it)}) for it in (result,) if it.pictures]
    return [{**written, "tool_calls": native}, *results, *pictures]


def _native_call(call_id: str, call: ToolCall) -> dict[str, Any]:
    arguments = json.dumps(dict(call.arguments))
    return {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _pictures(result: Observation) -> list[ContentBlock]:
    """Return the frames of all results, where there are several each after a line that says whose they are."""
    parts = [it for it in result.parts if it.frames is not None]
    blocks: list[ContentBlock] = []
    for part in parts:
        named = content_blocks(part.text.partition("\n")[0]) if len(result.parts) > 1 else []
        blocks += [*named, *content_blocks("", () if part.frames is None else part.frames.data)[:-1]]
    return blocks
