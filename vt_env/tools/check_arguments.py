"""Argument checks: one pass against the tool's signature before the tool runs.

A mistake of the model becomes a `ToolError` that names the value, the allowed values and the remedy. A tool therefore
runs only with arguments of its declared types, and a `TypeError` inside it is a bug. Some rules go by name:
arguments that end in `_s` are times in the video, `start_s` and `end_s` bound an interval, `box` is a part of the
frame, `top_k` has the budget's limit, and the default of `frames` is no more than the budget's `frames_per_zoom`.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast, get_args, get_origin

from vt_env.config import BudgetConfig
from vt_env.errors import ToolError
from vt_env.tools.tool import REQUIRED, Parameter, Tool
from vt_env.types import Box, format_time, parse_time

_LARGEST = 2.0**53

_SHORTEST_S = 0.001

ROUNDING_S = 1.0
"""Tolerance of `end_s` past the end of the video, in seconds. `mm:ss` is rounded, so the last second has no exact
name."""


def check_arguments(
    tool: Tool, arguments: Mapping[str, object], duration_s: float, budget: BudgetConfig
) -> dict[str, object]:
    """Return the arguments with defaults filled in, converted to their declared types and inside their ranges.

    Raises:
        ToolError: An argument is unknown, missing, of another type or out of range.
    """
    known = [parameter.name for parameter in tool.parameters]
    for name in arguments:
        if name not in known:
            raise ToolError(f"{tool.name} has no argument {show(name)}; call {tool.line}")
    checked = {it.name: _checked(tool, it, arguments, budget) for it in tool.parameters}
    _check_times(checked, [it.name for it in tool.parameters if it.is_time], duration_s)
    if isinstance(checked.get("box"), list):
        _check_box(cast("list[Any]", checked["box"]))
    return checked


def show(value: object) -> str:
    """Quote what a model wrote, shortened so that an error cannot flood the context."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]}...{text[-1]}"


def _checked(tool: Tool, parameter: Parameter, arguments: Mapping[str, object], budget: BudgetConfig) -> object:
    if parameter.name not in arguments:
        if parameter.default is REQUIRED:
            raise ToolError(f"{tool.name} needs {parameter.name}; call {tool.line}")
        # A default must not break a limit that the model never chose.
        limits = {"top_k": budget.top_k_max, "frames": budget.frames_per_zoom}
        is_limited = parameter.name in limits and parameter.kind is int
        return min(parameter.default, limits[parameter.name]) if is_limited else parameter.default
    got = arguments[parameter.name]
    value = _convert(parameter, got)
    if value is None:
        raise ToolError(f"{parameter.name}={show(got)}: need {_wanted(parameter)}")
    if parameter.name == "top_k" and not 1 <= cast("int", value) <= budget.top_k_max:
        raise ToolError(f"top_k={show(got)}: need 1 to {budget.top_k_max}")
    return value


def _convert(parameter: Parameter, got: object) -> object | None:
    kind = parameter.kind
    if get_origin(kind) is Literal:
        return got if any(got == choice and type(got) is type(choice) for choice in get_args(kind)) else None
    if get_origin(kind) is list:
        if not isinstance(got, list | tuple):
            return None
        parts = [_convert_one(get_args(kind)[0], part) for part in cast("list[object]", got)]
        return None if None in parts else parts
    if parameter.is_time and isinstance(got, str):
        return parse_time(got)
    value = _convert_one(kind, got)
    return None if value == "" and parameter.default is REQUIRED else value


def _convert_one(kind: object, got: object) -> object | None:
    if kind is bool or isinstance(got, bool):
        return got if kind is bool and isinstance(got, bool) else None
    if kind is str:
        return got.strip() if isinstance(got, str) else None
    # Comparing works for whole numbers too large for a float, where `isfinite` raises; NaN compares false.
    if not isinstance(got, int | float) or not abs(got) <= _LARGEST:
        return None
    if kind is int:
        return int(got) if got == math.floor(got) else None
    return float(got)


def _wanted(parameter: Parameter) -> str:
    if parameter.is_time:
        return "a time, as mm:ss or seconds"
    if get_origin(parameter.kind) is Literal:
        return f"one of {', '.join(map(repr, get_args(parameter.kind)))}"
    words: Mapping[object, str] = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    if get_origin(parameter.kind) is list:
        return f"a list, each {words[get_args(parameter.kind)[0]]}"
    return f"{words[parameter.kind]}{' that is not empty' if parameter.kind is str else ''}"


def _check_times(checked: dict[str, object], names: Iterable[str], duration_s: float) -> None:
    long = f"the video is {format_time(duration_s)} long"
    for name in names:
        time_s = cast("float", checked[name])
        if name == "end_s" and duration_s < time_s <= duration_s + ROUNDING_S:
            checked[name] = time_s = duration_s
        is_end = name == "end_s" and time_s == duration_s
        if not 0 <= time_s < duration_s and not is_end:
            raise ToolError(f"{name}={_time(time_s)}: {long}; give a time inside it")
    if "start_s" in checked and "end_s" in checked:
        start_s, end_s = cast("float", checked["start_s"]), cast("float", checked["end_s"])
        if start_s == end_s and start_s == int(start_s):
            # What is shorter than a second is shown as 03:10-03:10, and so it is copied.
            checked["end_s"] = end_s = min(start_s + 1, duration_s)
        # Below a millisecond, rounding would decide which moments lie inside the interval.
        if end_s - start_s < _SHORTEST_S:
            got = f"start_s={_time(start_s)} is not before end_s={_time(end_s)}"
            raise ToolError(f"{got}; {long}; give the earlier time first")


def _time(time_s: float) -> str:
    mark = format_time(time_s)
    return mark if parse_time(mark) == time_s else f"{time_s:g}"


def _check_box(box: list[Any]) -> None:
    try:
        Box(*box)
    except (TypeError, ValueError):
        wanted = "[left, top, right, bottom] as fractions of the frame, 0 <= left < right <= 1, 0 <= top < bottom <= 1"
        raise ToolError(f"box={show(box)}: need {wanted}") from None
