"""Agent over a chat model with native tool calls, translated to and from the environment's action text.

Works on the records of `agents.backends.chat_wire`, so any backend that maps a `ChatRequest` to a `ChatReply` fits.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from agents.backends.chat_wire import ChatReply, ChatRequest, Complete, NativeCall, NoReply, ReplyStatus
from agents.backends.sampling import Sampling
from agents.base import CONTEXT_FULL, Reply
from agents.seeds import reply_seed
from vt_env.actions.dialects import break_tags
from vt_env.actions.parse import ActionReader, render_actions
from vt_env.actions.thoughts import split_thoughts
from vt_env.control_tokens import as_plain_text
from vt_env.episode.messages import content_blocks, joined_message, message, result_messages
from vt_env.prompts import DEFAULT
from vt_env.tools.builtin import ANSWER_TOOL
from vt_env.tools.tool import Tool
from vt_env.types import Item, Malformed, Observation
from vt_env.valid_text import as_valid_text


@dataclass(frozen=True)
class ChatSampling(Sampling):
    """Sampling settings of a teacher's replies."""

    temperature: float | None = 0.7
    """Sampling temperature; 0 is greedy (0.7 in the paper)."""
    force_answer: bool = True
    """Forbid calls when no call remains (`tool_choice="none"`), so that the last turn is an answer, as in the paper."""


class ChatTurns:
    """Chat of one episode: turns observations into requests, and replies into action texts.

    Args:
        tools: Available tools.
        sampling: Sampling settings.
        seed: Seed of the episode; the seed of each turn is derived from it.
        system: System message; empty takes the default for the tools.
        result_role: Role of the result of a call written as text. An engine with a tool-aware template takes
            `"tool"`; servers refuse a tool message that answers no native call.
    """

    def __init__(
        self,
        tools: Sequence[Tool],
        sampling: ChatSampling,
        seed: int,
        system: str = "",
        result_role: Literal["user", "tool"] = "user",
    ) -> None:
        self._schemas = [tool.schema for tool in tools]
        # Where the answer is a call, forbidding calls would forbid it.
        self._can_force = bool(tools) and ANSWER_TOOL not in tools
        self._reader = ActionReader.for_tools(tools)
        self._sampling = sampling
        self._seed = seed
        self._messages: list[Mapping[str, Any]] = [
            message("system", system or DEFAULT.system_text(has_tools=bool(tools)))
        ]
        self._text_role = result_role
        self._next_role = "user"
        """Role of the next observation if it answers no native call."""
        self._pending: tuple[str, ...] = ()
        """Ids of the native calls answered by the next observation."""
        self._turns = 0

    def request(self, observation: Observation) -> ChatRequest:
        """Append an observation and build the request for the next reply."""
        if self._pending:
            self._messages += self._native_results(observation)
        elif self._next_role == "tool":
            self._messages += result_messages(observation)
        else:
            self._messages.append(joined_message("user", observation))
        forced = self._can_force and self._sampling.force_answer and not observation.remaining.calls
        return ChatRequest(
            tuple(self._messages),
            self._schemas,
            self._sampling,
            # Some servers take no more than 31 bits.
            seed=reply_seed(self._seed, self._turns) >> 1,
            extra={"tool_choice": "none"} if forced else {},
        )

    def read(self, reply: ChatReply) -> str:
        """Append a reply and return its action as text.

        Raises:
            NoReply: The reply was cut off, refused or missing.
        """
        if reply.status is not ReplyStatus.OK:
            raise NoReply(reply)
        text = action_text(reply, self._reader)
        calls = self._reader.read(text).calls
        self._next_role = self._text_role if calls else "user"
        # Templates of servers read the arguments of earlier calls as JSON, so what cannot be read stays text.
        is_readable = bool(reply.calls) and len(calls) == len(reply.calls)
        ids = [call.call_id or f"call{self._turns:03d}{number:02d}" for number, call in enumerate(reply.calls)]
        turn: dict[str, Any] = {"role": "assistant", "content": reply.text if is_readable else text}
        if is_readable:
            turn["tool_calls"] = [_native(call, name) for call, name in zip(reply.calls, ids, strict=True)]
        self._messages.append(turn)
        self._pending = tuple(ids) if is_readable else ()
        self._turns += 1
        return text

    def _native_results(self, observation: Observation) -> list[Mapping[str, Any]]:
        """Answer each native call. One result for several calls says that they may not stand together."""
        parts = observation.parts
        if len(parts) != len(self._pending):
            parts = (observation,) * len(self._pending)
        # OpenAI's API requires one result per call and takes no images in tool messages.
        answered = zip(self._pending, parts, strict=True)
        results = [{"role": "tool", "tool_call_id": it, "content": as_valid_text(part.text)} for it, part in answered]
        shown = [it for it in observation.parts if it.frames is not None]
        blocks = [
            block
            for it in shown
            for block in content_blocks(it.text.partition("\n")[0], () if it.frames is None else it.frames.data)
        ]
        return [*results, *([{"role": "user", "content": blocks}] if blocks else [])]

    def skip(self) -> str:
        """Append an empty assistant turn in place of a missing reply."""
        self._messages.append({"role": "assistant", "content": ""})
        self._pending, self._next_role = (), "user"
        self._turns += 1
        return ""


class ChatAgent:
    """Agent over a chat model, for one episode at a time.

    Args:
        complete: Answers a request, such as `OpenAIClient.complete`.
        turns: Factory of the chat of each episode.
    """

    def __init__(self, complete: Complete, turns: Callable[[], ChatTurns]) -> None:
        self._complete = complete
        self._new_turns = turns

    def reset(self, task: Item, observation: Observation) -> None:
        """Begin a new chat."""
        self._turns = self._new_turns()

    def act(self, observation: Observation) -> str | Reply:
        """Ask the model for its next action.

        Raises:
            NoReply: The model gave no usable reply.
        """
        reply = self._complete(self._turns.request(observation))
        return CONTEXT_FULL if reply.status is ReplyStatus.TOO_LONG else self._turns.read(reply)


def action_text(reply: ChatReply, reader: ActionReader) -> str:
    """Convert the reply of a chat model to the text of its actions.

    Thoughts come first, from either field of the reply; tags inside them are broken, so that a thought about `<answer>`
    is not read as an answer. Valid calls and answers are written in canonical form, any other text unchanged.

    Args:
        reply: Text, thoughts and native calls.
        reader: Action reader for the available tools.
    """
    thoughts, rest = split_thoughts(reply.text)
    thought = _joined(break_tags(as_plain_text(part.strip())) for part in (reply.reasoning, thoughts))
    said = _joined((rest.strip(), *map(_call_text, reply.calls)))
    first, *others = (it.action for it in reader.read(said).actions)
    if isinstance(first, Malformed):
        both = _joined((thought, said))
        # A thought that names a call in a form without tags must not be played.
        return both if isinstance(reader.read(both).action, Malformed) else said
    return render_actions((replace(first, thought=_joined((thought, first.thought))), *others))


def _joined(parts: Iterable[str]) -> str:
    return "\n".join(part for part in parts if part)


def _call_text(call: NativeCall) -> str:
    # In JSON, "<" occurs only inside strings, so the escape is valid and no text can close the tag.
    name, arguments = (text.replace("<", "\\u003c") for text in (call.name.replace('"', "'"), call.arguments or "{}"))
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


def _native(call: NativeCall, call_id: str) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    return {"id": call_id, "type": "function", "function": function}
