r"""Dialects: call and answer forms of public video agents, so that their checkpoints play without retraining.

| agent | writes | becomes |
|---|---|---|
| VideoThinker (arXiv 2601.15724) | `topk`, `interval`, `video_path` | `top_k`, `start_s` and `end_s`, nothing |
| LongVT (2511.20785), ParaVT (2605.20342) | `crop_video(video_path, start_time, end_time)` | the zoom |
| EVA (2603.22918) | `frame_select(start_time, end_time, nframes, resize)` | the zoom |
| Deep Video Discovery (2505.18079) | `clip_search_tool(event_description, top_k)` | clip retrieval |
| | `global_browse_tool(query)` | clip retrieval |
| | `finish(answer)` | the answer |
| FrameThinker (2509.24304) | `<action>choose frames between 320 and 340</action>` | the zoom |
| | `<action>get frame number at time 05:20</action>` | `frame_number` |
| | `<action>output answer: B</action>` | the answer |
| Video-MTR (Xyuan13/Video-MTR) | `<retrieve>320, 340</retrieve>`, also spelt `<retrive>` | the zoom |
| VideoZoomer | `<video_zoom>{"segment": [320, 340], "fps": 2}</video_zoom>` | the zoom |
| LongVideo-R1 (2602.20913) | `<tool>get_caption((2,3))</tool>` | `get_caption(segment)` |
| | `<tool>video_qa((2,3,1), "Who enters?")</tool>` | `video_qa(segment, query)` |
| LongVideoAgent (2512.20618) | `<search>red car</search>`, `<visual_query>` | clip retrieval |
| | `<request_grounding>the talk</request_grounding>` | subtitle retrieval |
| any | `<answer>\boxed{B}</answer>` | the answer `B` |

The zoom is `frame_zoom` or `caption_zoom`, whichever is offered. Frame numbers are read as seconds, since frames are
stored once a second and shown by their times; frame rates, numbers of frames and sizes are ignored where the tool does
not take them, since the budget decides. A tool on offer keeps its name and its arguments. Not read: several tags in one
turn; lists of ranges. The forms of general models are in `vt_env.actions.model_forms`, and the prompts in which these
agents play in `vt_env.prompts.peers`.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from vt_env.actions.canonical import OPENING_TAG
from vt_env.actions.parsed_reply import CharSpan, ParsedAction
from vt_env.types import Answer, Malformed, ToolCall, parse_time
from vt_env.valid_text import is_valid_text

FRAME_ZOOM, CAPTION_ZOOM = "frame_zoom", "caption_zoom"
"""Built-in tools that look at an interval."""
RENAMED, BOXED, FINISH = "renamed", "boxed", "finish"
"""Forms, as `vt_env.types.ToolCall.form`: another agent's name of a tool or argument, an answer in `\\boxed{}`, an
answer as a call of `finish`. What another agent writes in a tag has the tag's name."""
_ZOOM = "(zoom)"
"""Placeholder for the zoom on offer in the tables below."""
_BOXED = re.compile(r"\\+boxed\{(?:\\+text\{)?([^{}]*)\}{1,2}")
_TIME = r"(\d+(?:\.\d+)?|\d+(?::\d{1,2}){1,2})"
_FRAME_NUMBER = re.compile(r"get frame number at time (\d+(?::\d{1,2}){1,2})\.?")
_SEGMENT_CALL = re.compile(
    r"(get_caption|video_qa)\(\s*\(\s*(\d{1,4}(?:\s*,\s*\d{1,4}){0,2})\s*,?\s*\)\s*(?:,\s*(\S.*?))?\s*\)", re.DOTALL
)
_CHOOSE = re.compile(rf"choose frames between {_TIME} and {_TIME}\.?")
_OUTPUT = re.compile(r"output answer:\s*(\S.*)", re.DOTALL)
_PAIR = re.compile(rf"{_TIME}\s*,\s*{_TIME}")
_ANSWER_FIELD = re.compile(r'"answer"\s*:\s*"((?:[^"\\]|\\.)*)"', re.DOTALL)
_MAX_BODY_CHARS = 2000
"""Longest call that is read."""


@dataclass(frozen=True, slots=True)
class _Call:
    """Translation of another agent's tool."""

    name: str
    arguments: Mapping[str, str] = field(default_factory=lambda: {})
    """Names of arguments, theirs to ours; others are kept."""
    optional: Collection[str] = ()
    """Names of our arguments that are left out where the tool on offer does not have them."""


_INTERVAL = {"start_time": "start_s", "end_time": "end_s", "start": "start_s", "end": "end_s"}
_CALLS: Mapping[str, _Call] = {
    "crop_video": _Call(_ZOOM, _INTERVAL),
    "frame_select": _Call(_ZOOM, {**_INTERVAL, "nframes": "frames", "resize": "detail"}, ("frames", "detail")),
    "clip_search_tool": _Call("clip_retrieval", {"event_description": "query"}),
    "global_browse_tool": _Call("clip_retrieval"),
}


_DETAILS = (("high", 0.86), ("medium", 0.6))
"""Details with the least shares of the sides that are nearer to them than to the next; they have all, half and a
quarter of the pixels."""
CALL_NAMES = tuple(_CALLS)
"""Names of other agents' tools that are read as ours."""


def zoom_tool_of(tools: Iterable[str]) -> str:
    """Return the first built-in zoom among names of tools; `frame_zoom` without one."""
    return next((name for name in tools if name in (FRAME_ZOOM, CAPTION_ZOOM)), FRAME_ZOOM)


def break_tags(text: str) -> str:
    """Put a space into every tag of an action, so that a thought about one is not read as one."""
    return _ANY_TAG.sub("< ", text)


def read_tags(text: str, start: int, unread: ParsedAction) -> ParsedAction:
    """Read the one tag of another agent in a reply; the zoom has a placeholder for a name, see `translate`.

    Args:
        text: Reply of a model.
        start: Position from which tags count, see `vt_env.actions.thoughts.after_thinking`.
        unread: The reply as read in canonical form: malformed. Returned where there is no tag of another agent, or a
            canonical one beside it.
    """
    opening = _TAG.search(text, start)
    if opening is None or OPENING_TAG.search(text, start) or not is_valid_text(text):
        return unread
    tag, thought = opening[1], text[: opening.start()].strip()
    reader = _READERS[tag]
    inside, closed, rest = text[opening.end() :].partition(f"</{tag}>")
    if not closed:
        return _malformed(text, f"the call does not end; write {reader.form}")
    if _TAG.search(inside + rest):
        return _malformed(text, "more than one call or answer; write exactly one")
    body = inside.strip()
    action = reader.read(body) if len(inside) <= _MAX_BODY_CHARS else None
    if action is None:
        return _malformed(text, f"the call cannot be read; write {reader.form}")
    end = opening.end() + len(inside.rstrip())
    # An answer is what stands last in its tag.
    size = len(action.text) if isinstance(action, Answer) else len(body)
    return ParsedAction(replace(action, thought=thought, form=tag), (end - size, end))


def translate(text: str, found: ParsedAction, tools: Mapping[str, Collection[str]], zoom_tool: str) -> ParsedAction:
    r"""Spell a call of another agent with the names of the tools on offer, and take an answer out of `\boxed{}`.

    Args:
        text: Reply of a model.
        found: Its action, as read.
        tools: Names of the arguments of each tool on offer, which are left alone. Empty assumes the built-in tools.
        zoom_tool: Tool that looks at an interval.
    """
    action, span = found.action, found.span
    if span is None or isinstance(action, Malformed):
        return found
    if isinstance(action, Answer):
        return _unboxed(found, action, span) if found.is_canonical else found
    if action.name == "finish" and action.name not in tools:
        return _finished(text, action, span)
    theirs = _Call(action.name) if action.name in tools else _CALLS.get(action.name, _Call(action.name))
    name = zoom_tool if theirs.name == _ZOOM else theirs.name
    known = tools.get(name, ()) if tools else None
    arguments: dict[str, object] = {}
    for key, value in action.arguments.items():
        ours = theirs.arguments.get(key, key)
        is_known = known is not None and key in known
        if ours in theirs.optional and ours not in (known or ()):
            continue
        value = _detail(value) if ours == "detail" and not is_known else value
        arguments |= {key: value} if is_known else _argument(ours, value, known)
    call = ToolCall(name, {key: _seconds(key, value) for key, value in arguments.items()}, action.thought)
    return ParsedAction(replace(call, form=action.form or ("" if call == action else RENAMED)), span)


def _unboxed(found: ParsedAction, answer: Answer, span: CharSpan) -> ParsedAction:
    boxed = _BOXED.fullmatch(answer.text)
    inside = boxed[1].strip() if boxed else ""
    if boxed is None or not inside:
        return found
    start = span[0] + answer.text.index(inside, boxed.start(1))
    return ParsedAction(replace(answer, text=inside, form=BOXED), (start, start + len(inside)))


def _finished(text: str, call: ToolCall, span: CharSpan) -> ParsedAction:
    answer = call.arguments.get("answer")
    if not isinstance(answer, str) or not answer.strip():
        form = '{"name": "finish", "arguments": {"answer": "..."}}'
        return _malformed(text, f"the answer is missing; write {form}")
    found = span
    for written in _ANSWER_FIELD.finditer(text, *span):
        # Of keys that repeat, JSON keeps the last.
        inside = written[1].strip()
        start = text.index(inside, written.start(1))
        found = start, start + len(inside)
    return ParsedAction(Answer(answer.strip(), call.thought, FINISH), found)


def _malformed(text: str, reason: str) -> ParsedAction:
    return ParsedAction(Malformed(text, reason), None)


def _seconds(name: str, value: object) -> object:
    seconds = parse_time(value) if isinstance(value, str) and name.endswith("_s") else None
    return value if seconds is None else seconds


def _argument(name: str, value: object, known: Collection[str] | None) -> dict[str, object]:
    """Translate an argument that the tool does not have; `known=None` assumes that it has ours."""
    if name == "video_path":
        return {}
    if name == "topk" and (known is None or "top_k" in known):
        return {"top_k": value}
    if name == "interval" and isinstance(value, list) and (known is None or {"start_s", "end_s"} <= set(known)):
        pair = cast("list[object]", value)
        return {"start_s": pair[0], "end_s": pair[1]} if len(pair) == 2 else {name: value}
    return {name: value}


def _detail(resize: object) -> object:
    """Return the nearest of the sizes of `vt_env.tools.adaptive` to a share of the sides; other values as they are."""
    if isinstance(resize, bool) or not isinstance(resize, int | float):
        return resize
    return next((name for name, least in _DETAILS if resize >= least), "low")


def _zoom(start: object, end: object) -> ToolCall:
    return ToolCall(_ZOOM, {"start_s": start, "end_s": end})


def _read_action(body: str) -> ToolCall | Answer | None:
    chosen, output, asked = _CHOOSE.fullmatch(body), _OUTPUT.fullmatch(body), _FRAME_NUMBER.fullmatch(body)
    if chosen:
        return _zoom(chosen[1], chosen[2])
    if asked:
        return ToolCall("frame_number", {"time_s": asked[1]})
    return Answer(output[1].strip()) if output else None


def _read_pair(body: str) -> ToolCall | None:
    pair = _PAIR.fullmatch(body)
    return _zoom(pair[1], pair[2]) if pair else None


def _read_segment(body: str) -> ToolCall | None:
    try:
        segment: Any = json.loads(body)["segment"]
        start_s, end_s = (parse_time(str(time)) for time in segment)
    except (KeyError, RecursionError, TypeError, ValueError):
        return None
    return None if start_s is None or end_s is None else _zoom(start_s, end_s)


def _read_segment_call(body: str) -> ToolCall | None:
    call = _SEGMENT_CALL.fullmatch(body)
    if call is None or (call[3] is None) != (call[1] == "get_caption"):
        return None
    segment: list[object] = [int(it) for it in call[2].split(",")]
    if call[3] is None:
        return ToolCall(call[1], {"segment": segment})
    return ToolCall(call[1], {"segment": segment, "query": call[3].strip("\"'")})


def _read_search(body: str) -> ToolCall | None:
    return ToolCall("clip_retrieval", {"query": body}) if body else None


def _read_grounding(body: str) -> ToolCall | None:
    return ToolCall("subtitle_retrieval", {"query": body}) if body else None


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reader of the text between a tag and its end."""

    form: str
    """Form of a call, shown to the model."""
    read: Callable[[str], ToolCall | Answer | None]


_RETRIEVE = _Reader("<retrieve>start, end</retrieve> with times in seconds", _read_pair)
_SEARCH = _Reader("<search>what to look for</search>", _read_search)
_READERS: Mapping[str, _Reader] = {
    "action": _Reader("<action>choose frames between START and END</action> with times in seconds", _read_action),
    "tool": _Reader("<tool>get_caption((1,2))</tool> with the numbers of a segment", _read_segment_call),
    "retrieve": _RETRIEVE,
    "retrive": _RETRIEVE,
    "video_zoom": _Reader('<video_zoom>{"segment": [start, end]}</video_zoom> with times in seconds', _read_segment),
    "search": _SEARCH,
    "visual_query": _SEARCH,
    "request_grounding": _Reader("<request_grounding>what to look for</request_grounding>", _read_grounding),
}
_TAG = re.compile(rf"<({'|'.join(_READERS)})>")
ANY_OPENING_TAG = re.compile(rf"<(?:tool_call|answer|{'|'.join(_READERS)})>")
"""Start of an action, in canonical form or another agent's."""
_ANY_TAG = re.compile(rf"<(?=/?(?:tool_call|answer|{'|'.join(_READERS)})>)")
