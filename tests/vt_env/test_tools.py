"""Tools: one function gives schema, prompt line and method; arguments are checked once, and errors teach."""

# ruff: noqa: D417  The episode is not an argument that a model gives to a tool.

import importlib.util
import inspect
import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vt_env.config import BudgetConfig
from vt_env.errors import ConfigError, ToolError
from vt_env.tools.builtin import DEFAULT_TOOLS, PAPER_TOOLS, Playing, frame_zoom, tools_for
from vt_env.tools.check_arguments import check_arguments
from vt_env.tools.tool import Tool, ToolFunction
from vt_env.types import Interval

ALL_TOOLS = {tool.name: tool for perception in ("frames", "captions") for tool in tools_for(perception)}
DURATION_S = 600.4


def brightness(episode: Playing, start_s: float, end_s: float) -> str:
    """Mean brightness of an interval.

    Args:
        start_s: Start of the interval in seconds.
        end_s: End of the interval in seconds.
    """
    return f"{start_s} {end_s}"


def everything(
    episode: Any,
    text: str,
    count: int,
    share: float,
    flag: bool,
    mode: Literal["fast", "slow"],
    names: list[str],
    sizes: list[int],
    top_k: int = 4,
    time_s: float = 0.0,
) -> str:
    """Take one argument of each type.

    A second paragraph
    on two lines.

    Args:
        text: A text.
        count: A count that is
            described on two lines.
        share: A share: between 0 and 1.
        flag: A flag.
        mode: A mode.

        names: Names.
        sizes: Sizes.
        top_k: How many.
        time_s: When.

    Returns:
        A text.
    """
    return "done"


def check(tool: Tool | str, arguments: dict[str, object]) -> dict[str, object]:
    return check_arguments(
        ALL_TOOLS[tool] if isinstance(tool, str) else tool, arguments, DURATION_S, BudgetConfig(top_k_max=8)
    )


@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="needs transformers")
@pytest.mark.parametrize("function", [*(tool.function for tool in ALL_TOOLS.values()), brightness, everything])
def test_the_schema_is_the_one_that_transformers_makes_of_the_method(function: ToolFunction):
    from transformers.utils import get_json_schema

    tool = Tool.of(function)
    holder = type("Holder", (), {tool.name: tool.method(lambda self, name, arguments: None)})
    bound = getattr(holder(), tool.name)
    assert json.dumps(tool.schema) == json.dumps(get_json_schema(bound))


def test_a_method_passes_on_its_name_and_all_arguments_even_wrong_ones():
    holder = type("Holder", (), {"brightness": Tool.of(brightness).method(lambda *call: call)})
    instance = holder()
    assert instance.brightness(start_s=1, wrong="x") == (instance, "brightness", {"start_s": 1, "wrong": "x"})


def test_a_method_looks_like_the_tool_without_the_episode():
    method = Tool.of(everything).method(lambda *call: call)
    assert inspect.isfunction(method) and method.__name__ == "everything"
    names = list(inspect.signature(method).parameters)
    assert names == ["self", "text", "count", "share", "flag", "mode", "names", "sizes", "top_k", "time_s"]
    assert inspect.signature(method).parameters["top_k"].default == 4
    assert method.__annotations__["names"] == list[str] and "return" not in method.__annotations__


def test_the_prompt_line_names_all_arguments():
    assert [tool.line for tool in tools_for("frames")] == [
        "clip_retrieval(query, top_k)",
        "subtitle_retrieval(query, top_k)",
        "subtitle_summary(query)",
        "frame_zoom(start_s, end_s)",
        "subtitle_zoom(start_s, end_s)",
        "spatial_zoom(time_s, box)",
    ]


def _undocumented(episode: Any, a: int) -> str: ...


def _undescribed(episode: Any, a: int) -> str:
    """Do something."""
    ...


def _untyped(episode, a) -> str:
    """Do something.

    Args:
        a: A thing.
    """
    ...


def _object(episode: Any, a: dict[str, int]) -> str:
    """Do something.

    Args:
        a: A thing.
    """
    ...


def _clock(episode: Any, a_s: str) -> str:
    """Do something.

    Args:
        a_s: A time.
    """
    ...


def _rest(episode: Any, *a: int) -> str:
    """Do something.

    Args:
        a: Things.
    """
    ...


def _alone() -> str:
    """Do something."""
    ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_undocumented, "no docstring"),
        (_undescribed, "not described"),
        (_untyped, "type None"),
        (_object, "allowed are str, int"),
        (_clock, "declare it float"),
        (_rest, "by name"),
        (_alone, "need the episode"),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_refused_with_the_reason(function: ToolFunction, message: str):
    function.__name__ = function.__name__.strip("_")
    with pytest.raises(ConfigError, match=message):
        Tool.of(function)


@pytest.mark.parametrize("name", ["reset", "close", "<lambda>", "Look"])
def test_names_that_the_doors_need_or_that_are_no_plain_names_are_refused(name: str):
    def function(episode: Any) -> str:
        """Do something."""
        ...

    function.__name__ = name
    with pytest.raises(ConfigError, match="function name"):
        Tool.of(function)


def test_modes_offer_the_tools_of_their_perception():
    assert [tool.name for tool in tools_for("frames", "default")] == [n for n in DEFAULT_TOOLS if n != "caption_zoom"]
    assert [tool.name for tool in tools_for("captions", "default")] == [n for n in DEFAULT_TOOLS if n != "frame_zoom"]
    assert "spatial_zoom" not in PAPER_TOOLS
    assert [tool.name for tool in tools_for("frames", "paper")] == [n for n in PAPER_TOOLS if n != "caption_zoom"]


def test_functions_alone_are_added_to_the_default_and_names_choose():
    assert [tool.name for tool in tools_for("frames", [brightness])] == [
        *(tool.name for tool in tools_for("frames")),
        "brightness",
    ]
    assert [tool.name for tool in tools_for("frames", ["frame_zoom", brightness])] == ["frame_zoom", "brightness"]
    assert tools_for("frames", [Tool.of(brightness), "paper"])[0].name == "brightness"
    assert [tool.name for tool in tools_for("captions", "caption_zoom")] == ["caption_zoom"]
    assert tools_for("frames", brightness) == tools_for("frames", [brightness])


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        (["frame_zom"], "did you mean 'frame_zoom'"),
        (["caption_zoom"], "needs perception='captions'"),
        (["frame_zoom", "default"], "names must differ"),
        ([frame_zoom], "names must differ"),
        ([], "'none' offers no tool"),
    ],
)
def test_tools_that_cannot_be_offered_are_refused(tools: list[Any], message: str):
    with pytest.raises(ConfigError, match=message):
        tools_for("frames", tools)


GOOD = {"text": "a", "count": 1, "share": 0.5, "flag": True, "mode": "fast", "names": ["a"], "sizes": [1]}


def test_arguments_arrive_as_their_declared_types_with_defaults_filled_in():
    given_ = {**GOOD, "text": " a ", "count": 3.0, "share": 1, "names": [], "sizes": [2.0], "time_s": "01:05"}
    checked = check(Tool.of(everything), given_)
    assert checked == {**GOOD, "count": 3, "share": 1.0, "names": [], "sizes": [2], "top_k": 4, "time_s": 65.0}
    assert [type(checked[name]) for name in ("count", "share", "time_s")] == [int, float, float]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"text": 5}, "text=5: need a text"),
        ({"text": "  "}, "text='  ': need a text that is not empty"),
        ({"text": None}, "need a text"),
        ({"count": 1.5}, "count=1.5: need a whole number"),
        ({"count": "1"}, "need a whole number"),
        ({"count": True}, "count=True: need a whole number"),
        ({"count": 10**400}, "need a whole number"),
        ({"share": float("nan")}, "share=nan: need a number"),
        ({"share": float("inf")}, "need a number"),
        ({"share": False}, "need a number"),
        ({"flag": 1}, "flag=1: need true or false"),
        ({"mode": "slw"}, "mode='slw': need one of 'fast', 'slow'"),
        ({"names": "a"}, "need a list, each a text"),
        ({"names": ["a", 1]}, "need a list"),
        ({"sizes": [1, True]}, "need a list, each a whole number"),
        ({"top_k": 0}, "top_k=0: need 1 to 8"),
        ({"top_k": 9}, "top_k=9: need 1 to 8"),
        ({"time_s": "soon"}, "time_s='soon': need a time, as mm:ss or seconds"),
        ({"time_s": True}, "need a time"),
        ({"time_s": "9" * 5000 + ":00"}, "need a time"),
        ({"time_s": -1}, "time_s=-1: the video is 10:00 long; give a time inside it"),
        ({"time_s": 600.4}, "time_s=600.4: the video is 10:00 long"),
        ({"time_s": "10:01"}, "time_s=10:01: the video is 10:00 long"),
        ({"nmaes": []}, "has no argument 'nmaes'; call everything(text, count"),
    ],
)
def test_a_wrong_argument_is_answered_with_what_was_got_and_what_is_allowed(wrong: dict[str, object], message: str):
    with pytest.raises(ToolError) as error:
        check(Tool.of(everything), {**GOOD, **wrong})
    assert message in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 200


def test_a_missing_argument_is_named():
    with pytest.raises(ToolError, match=r"frame_zoom needs end_s; call frame_zoom\(start_s, end_s\)"):
        check("frame_zoom", {"start_s": 5})


def test_an_end_just_past_the_video_is_its_end_since_mm_ss_is_rounded():
    assert check("frame_zoom", {"start_s": "09:50", "end_s": "10:01"})["end_s"] == DURATION_S
    assert check("frame_zoom", {"start_s": "09:50", "end_s": DURATION_S})["end_s"] == DURATION_S
    with pytest.raises(ToolError, match="end_s=10:02: the video is 10:00 long"):
        check("frame_zoom", {"start_s": "09:50", "end_s": "10:02"})


@pytest.mark.parametrize("copied", ["03:10", 190, 190.0])
def test_an_interval_shorter_than_a_second_is_found_by_the_times_that_are_shown(copied: object):
    shown = str(Interval(190.2, 190.9))
    assert shown == "03:10-03:10"
    checked = check("frame_zoom", {"start_s": copied, "end_s": copied})
    assert (checked["start_s"], checked["end_s"]) == (190, 191)


@pytest.mark.parametrize(("start_s", "end_s"), [("05:40", "05:20"), (5.5, 5.5), (600.3, 600.2)])
def test_a_reversed_or_empty_interval_is_refused_with_the_duration(start_s: object, end_s: object):
    with pytest.raises(ToolError, match=r"is not before end_s=.*the video is 10:00 long; give the earlier time first"):
        check("frame_zoom", {"start_s": start_s, "end_s": end_s})


@pytest.mark.parametrize("box", [[], [0, 0, 1], [0, 0, 1, 1, 1], [0.5, 0, 0.5, 1], [0, 0, 1.1, 1], [-0.1, 0, 1, 1]])
def test_a_box_that_is_none_or_leaves_the_frame_is_refused(box: list[float]):
    with pytest.raises(ToolError, match=r"need \[left, top, right, bottom\] as fractions"):
        check("spatial_zoom", {"time_s": 5, "box": box})


def test_a_default_top_k_obeys_a_lower_limit():
    assert (
        check_arguments(ALL_TOOLS["clip_retrieval"], {"query": "a"}, DURATION_S, BudgetConfig(top_k_max=2))["top_k"]
        == 2
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(ALL_TOOLS)), st.data())
def test_whatever_is_given_is_either_checked_or_answered_with_one_short_line(name: str, data: st.DataObject):
    names = [*(parameter.name for parameter in ALL_TOOLS[name].parameters), "other"]
    arguments = data.draw(st.dictionaries(st.sampled_from(names), JSON | st.floats(0, 700) | st.just("05:20")))
    try:
        checked = check(name, arguments)
    except ToolError as error:
        assert "\n" not in str(error) and len(str(error)) < 300
    else:
        assert list(checked) == [parameter.name for parameter in ALL_TOOLS[name].parameters]
