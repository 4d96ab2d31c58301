r"""Reads the calls that public video agents write, so that their checkpoints can play without being trained anew.

| agent | writes | becomes |
|---|---|---|
| VideoThinker (arXiv 2601.15724) | `topk`, `interval`, `video_path` | `top_k`, `start_s` and `end_s`, nothing |
| LongVT (2511.20785), ParaVT (2605.20342) | `crop_video(video_path, start_time, end_time)` | the zoom |
| Deep Video Discovery (2505.18079) | `clip_search_tool(event_description, top_k)` | clip retrieval |
| | `global_browse_tool(query)` | clip retrieval |
| | `finish(answer)` | the answer |
| FrameThinker (2509.24304) | `<action>choose frames between 320 and 340</action>` | the zoom |
| | `<action>output answer: B</action>` | the answer |
| Video-MTR (Xyuan13/Video-MTR) | `<retrieve>320, 340</retrieve>`, also spelt `<retrive>` | the zoom |
| VideoZoomer | `<video_zoom>{"segment": [320, 340], "fps": 2}</video_zoom>` | the zoom |
| LongVideoAgent (2512.20618) | `<search>red car</search>`, `<visual_query>` | clip retrieval |
| | `<request_grounding>the talk</request_grounding>` | subtitle retrieval |
| any | `<answer>\boxed{B}</answer>` | the answer `B` |

The zoom is `frame_zoom` or `caption_zoom`, as the perception has it. Frame numbers are taken for seconds, since frames
are stored once a second and shown by their times; a frame rate is ignored, since the budget decides. Tools that are
offered under such a name are left alone. Not read: LongVideo-R1's addresses in a tree of captions, since there is no
tree; several calls in one turn; lists of ranges.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from vt_env.actions.parse import after_thinking, parse_action
from vt_env.tools.tool import Tool
from vt_env.types import Action, Answer, Malformed, ToolCall, parse_time

_ZOOM = "(zoom)"
"""Stands for the perception's zoom tool in the tables below."""
_OWN = re.compile(r"<(tool_call|answer)>")
_BOXED = re.compile(r"\\+boxed\{(?:\\+text\{)?([^{}]*)\}{1,2}")
_TIME = r"(\d+(?:\.\d+)?|\d+(?::\d{1,2}){1,2})"
_CHOOSE = re.compile(rf"choose frames between {_TIME} and {_TIME}\.?")
_OUTPUT = re.compile(r"output answer:\s*(\S.*)", re.DOTALL)
_PAIR = re.compile(rf"{_TIME}\s*,\s*{_TIME}")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_MAX_BODY_CHARS = 2000
"""Longest call that is read."""


@dataclass(frozen=True, slots=True)
class _Call:
    """How another agent's tool is called here."""

    name: str
    arguments: Mapping[str, str] = field(default_factory=lambda: {})
    """Their name of an argument to ours; others keep theirs."""


_CALLS: Mapping[str, _Call] = {
    "crop_video": _Call(_ZOOM, {"start_time": "start_s", "end_time": "end_s"}),
    "clip_search_tool": _Call("clip_retrieval", {"event_description": "query"}),
    "global_browse_tool": _Call("clip_retrieval"),
}


def parse_dialects(text: str, tools: Sequence[Tool], zoom_tool: str) -> Action:
    """Read one action in this package's own form or in one of the dialects above; never raises.

    Args:
        text: What a model wrote.
        tools: Those on offer; their own names and arguments go first.
        zoom_tool: Name of the perception's zoom tool.
    """
    action = parse_action(text)
    if isinstance(action, Answer):
        boxed = _BOXED.fullmatch(action.text)
        return replace(action, text=boxed[1].strip()) if boxed and boxed[1].strip() else action
    if (
        isinstance(action, Malformed)
        and not _OWN.search(text, after_thinking(text, _TAG))
        and not _SURROGATE.search(text)
    ):
        action = _read_tags(text, action)
    if isinstance(action, ToolCall):
        return _translated(action, {tool.name: tool for tool in tools}, zoom_tool)
    return action


def _translated(call: ToolCall, tools: Mapping[str, Tool], zoom_tool: str) -> Action:
    if call.name == "finish" and call.name not in tools:
        answer = call.arguments.get("answer")
        if isinstance(answer, str) and answer.strip():
            return Answer(answer.strip(), call.thought)
        return Malformed("finish", 'the answer is missing; write {"name": "finish", "arguments": {"answer": "..."}}')
    theirs = _Call(call.name) if call.name in tools else _CALLS.get(call.name, _Call(call.name))
    name = zoom_tool if theirs.name == _ZOOM else theirs.name
    known = {parameter.name for parameter in tools[name].parameters} if name in tools else set[str]()
    arguments: dict[str, object] = {}
    for key, value in call.arguments.items():
        arguments |= {key: value} if key in known else _argument(theirs.arguments.get(key, key), value, known)
    return ToolCall(name, {key: _seconds(key, value) for key, value in arguments.items()}, call.thought)


def _seconds(name: str, value: object) -> object:
    seconds = parse_time(value) if isinstance(value, str) and name.endswith("_s") else None
    return value if seconds is None else seconds


def _argument(name: str, value: object, known: set[str]) -> dict[str, object]:
    """Spell an argument that the tool does not have as it is spelt here, if it is one of theirs."""
    if name == "video_path":
        return {}
    if name == "topk" and "top_k" in known:
        return {"top_k": value}
    if name == "interval" and isinstance(value, list) and {"start_s", "end_s"} <= known:
        pair = cast("list[object]", value)
        return {"start_s": pair[0], "end_s": pair[1]} if len(pair) == 2 else {name: value}
    return {name: value}


def _read_tags(text: str, unread: Malformed) -> Action:
    """Read the one tag of another agent in `text`; `unread` where there is none."""
    opening = _TAG.search(text, after_thinking(text, _TAG))
    if opening is None:
        return unread
    tag, thought = opening[1], text[: opening.start()].strip()
    reader = _READERS[tag]
    body, closed, rest = text[opening.end() :].partition(f"</{tag}>")
    if not closed:
        return Malformed(text, f"the call does not end; write {reader.form}")
    if _TAG.search(body + rest):
        return Malformed(text, "more than one call or answer; write exactly one")
    action = reader.read(body.strip()) if len(body) <= _MAX_BODY_CHARS else None
    if action is None:
        return Malformed(text, f"the call cannot be read; write {reader.form}")
    return replace(action, thought=thought)


def _zoom(start: object, end: object) -> ToolCall:
    return ToolCall(_ZOOM, {"start_s": start, "end_s": end})


def _read_action(body: str) -> ToolCall | Answer | None:
    chosen, output = _CHOOSE.fullmatch(body), _OUTPUT.fullmatch(body)
    if chosen:
        return _zoom(chosen[1], chosen[2])
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


def _read_search(body: str) -> ToolCall | None:
    return ToolCall("clip_retrieval", {"query": body}) if body else None


def _read_grounding(body: str) -> ToolCall | None:
    return ToolCall("subtitle_retrieval", {"query": body}) if body else None


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads what stands between a tag and its end."""

    form: str
    """How a call is written, for the model."""
    read: Callable[[str], ToolCall | Answer | None]


_RETRIEVE = _Reader("<retrieve>start, end</retrieve> with times in seconds", _read_pair)
_SEARCH = _Reader("<search>what to look for</search>", _read_search)
_READERS: Mapping[str, _Reader] = {
    "action": _Reader("<action>choose frames between START and END</action> with times in seconds", _read_action),
    "retrieve": _RETRIEVE,
    "retrive": _RETRIEVE,
    "video_zoom": _Reader('<video_zoom>{"segment": [start, end]}</video_zoom> with times in seconds', _read_segment),
    "search": _SEARCH,
    "visual_query": _SEARCH,
    "request_grounding": _Reader("<request_grounding>what to look for</request_grounding>", _read_grounding),
}
_TAG = re.compile(rf"<({'|'.join(_READERS)})>")
