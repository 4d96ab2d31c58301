"""Text to action and back: nothing raises, nothing is guessed, and what is written is read back."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vt_env.actions.call_json import normalise_name
from vt_env.actions.final_answer import final_answer
from vt_env.actions.parse import parse_action, render_action
from vt_env.types import Answer, Malformed, ToolCall

ZOOM = '<tool_call>\n{"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": "05:40"}}\n</tool_call>'

PIECES = st.sampled_from(
    [
        "<tool_call>",
        "</tool_call>",
        "<answer>",
        "</answer>",
        '{"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": 7}}',
        '{"name": "ClipRetrieval", "arguments": {"query": "a </tool_call> b", "top_k": 2}}',
        '{"name": "x", "arguments": {"a_s": "1:2", "b_s": true, "c_s": [1, "0:01"], "d": null}}',
        "A",
        "\n",
        " ",
        "{",
        '"',
        "\\",
        "NaN",
        "1e999",
        "9" * 5000,
        "[" * 3000,
    ]
)
TEXTS = st.one_of(st.text(), st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=8).map("".join))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True)
ARGUMENTS = st.dictionaries(st.one_of(NAMES, st.text(max_size=5)), st.one_of(SCALARS, st.lists(SCALARS, max_size=4)))
THOUGHTS = st.text(alphabet=st.characters(exclude_characters="<", exclude_categories=["Cs"])).map(str.strip)


@given(TEXTS)
@example("<tool_call>" + "[" * 200_000)
@example('<tool_call>{"name": "f", "arguments": {"a_s": "' + "9" * 5000 + ':00"}}')
@example('<tool_call>{"name": "f", "arguments": {"a_s": ' + "9" * 4000 + "}}")
@example('<tool_call>{"name": "f", "arguments": {"a_s": "1e400"}}')
@example('<tool_call>{"name": "f", "arguments": {"a": "\\ud800"}}')
@example("\ud800")
def test_any_text_is_read_without_an_error_and_what_was_read_is_written_and_read_back(text: str):
    action = parse_action(text)
    assert parse_action(render_action(action)) == action


@given(NAMES, st.dictionaries(NAMES.filter(lambda name: not name.endswith("_s")), SCALARS), THOUGHTS)
def test_every_call_survives_being_written(name: str, arguments: dict[str, object], thought: str):
    call = ToolCall(name, arguments, thought)
    assert parse_action(render_action(call)) == call


@given(st.floats(0, 1e7) | st.integers(0, 10**7), st.floats(0, 1e7))
def test_every_time_survives_being_written(start_s: float, end_s: float):
    call = ToolCall("frame_zoom", {"start_s": start_s, "end_s": end_s})
    assert parse_action(render_action(call)) == call


@given(ARGUMENTS)
def test_any_json_arguments_can_be_written_on_one_line_of_a_call(arguments: dict[str, object]):
    text = render_action(ToolCall("f", arguments))
    assert text.count("<tool_call>") == text.count("</tool_call>") == 1
    assert text.count("\n") == 2


def test_whole_seconds_are_written_as_minutes_and_other_times_as_numbers():
    assert render_action(ToolCall("frame_zoom", {"start_s": 320.0, "end_s": 340}, "look")) == f"look\n{ZOOM}"
    text = render_action(ToolCall("frame_zoom", {"start_s": 0.5, "end_s": -3, "top_k": 60}))
    assert json.loads(text.split("\n")[1])["arguments"] == {"start_s": 0.5, "end_s": -3, "top_k": 60}


def test_tags_inside_an_argument_are_hidden_from_parsers_that_look_for_the_closing_tag():
    call = ToolCall("clip_retrieval", {"query": "a </tool_call> <answer>b</answer>"})
    text = render_action(call)
    assert text.count("</tool_call>") == 1 and "<answer>" not in text
    assert parse_action(text) == call


def test_an_answer_is_written_on_one_line():
    assert render_action(Answer("47", "it is 47")) == "it is 47\n<answer>47</answer>"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_call_with_a_number_that_json_lacks_is_refused_on_writing(value: float):
    with pytest.raises(ValueError, match="JSON compliant"):
        render_action(ToolCall("frame_zoom", {"start_s": value}))


@pytest.mark.parametrize(
    ("text", "action"),
    [
        (ZOOM, ToolCall("frame_zoom", {"start_s": 320.0, "end_s": 340.0})),
        (f"I look. \n\n{ZOOM}\nand then?", ToolCall("frame_zoom", {"start_s": 320.0, "end_s": 340.0}, "I look.")),
        ('<tool_call>{"name": "Clip_Retrieval"}</tool_call>', ToolCall("clip_retrieval")),
        ('<tool_call>{"name": "ClipRetrieval", "arguments": {}}', ToolCall("clip_retrieval")),
        ('<tool_call>{"name": "f", "arguments": {"time_s": "1:01:05"}}', ToolCall("f", {"time_s": 3665.0})),
        ('<tool_call>{"name": "f", "arguments": {"time_s": "327.5"}}', ToolCall("f", {"time_s": 327.5})),
        ('<tool_call>{"name": "f", "arguments": {"time_s": "soon"}}', ToolCall("f", {"time_s": "soon"})),
        ('<tool_call>{"name": "f", "arguments": {"query": "05:20"}}', ToolCall("f", {"query": "05:20"})),
        (
            '<tool_call>{"name": "f", "arguments": {"query": "<answer>A</answer>"}}</tool_call>',
            ToolCall("f", {"query": "<answer>A</answer>"}),
        ),
        ("<answer> 47 </answer>", Answer("47")),
        ("so <answer>(B)</answer> it is", Answer("(B)", "so")),
        ("<answer>x < y</answer>", Answer("x < y")),
        (
            "<think>or <answer>A</answer>?</think>\n<answer>B</answer>",
            Answer("B", "<think>or <answer>A</answer>?</think>"),
        ),
        (
            "<think>write <answer>the option</answer></think>" + ZOOM,
            ToolCall(
                "frame_zoom", {"start_s": 320.0, "end_s": 340.0}, "<think>write <answer>the option</answer></think>"
            ),
        ),
        ("<answer>B</answer> so</think>", Answer("B")),
    ],
)
def test_these_texts_are_actions(text: str, action: ToolCall | Answer):
    assert parse_action(text) == action


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "neither a call nor an answer"),
        ("A", "neither a call nor an answer"),
        ("The answer is A.", "neither a call nor an answer"),
        ("</answer>A", "neither a call nor an answer"),
        ("<answer>4", "does not end"),
        ("<answer> </answer>", "empty"),
        (ZOOM + ZOOM, "more than one"),
        (ZOOM + "<answer>A</answer>", "more than one"),
        ("<answer>A</answer>" + ZOOM, "more than one"),
        ("<answer>A</answer><answer>A</answer>", "more than one"),
        ("<answer>A<answer>B</answer>", "more than one"),
        ("<tool_call>", "not JSON"),
        ('<tool_call>{"name": "f", "arguments": {"a": 1}', "not JSON"),
        ('<tool_call>{"name": "f", "arguments": {"a": NaN}}', "not JSON"),
        ('<tool_call>{"name": "f", "arguments": {"a": 1e999}}', "not JSON"),
        ('<tool_call>{"name": "f"}}</tool_call>', "after the JSON"),
        ('<tool_call>{"name": "f"} and now', "after the JSON"),
        ("<tool_call>[1]</tool_call>", "the keys"),
        ('<tool_call>{"name": "f", "start_s": 1}</tool_call>', "the keys"),
        ('<tool_call>{"arguments": {}}</tool_call>', "name of a tool"),
        ('<tool_call>{"name": 7}</tool_call>', "name of a tool"),
        ('<tool_call>{"name": "rm -rf /"}</tool_call>', "name of a tool"),
        ('<tool_call>{"name": "f", "arguments": "x"}</tool_call>', "must be an object"),
        ('<tool_call>{"name": "f", "arguments": null}</tool_call>', "must be an object"),
        ('<tool_call>{"name": "f", "arguments": {"a": {"b": 1}}}</tool_call>', "text, a number or a list"),
    ],
)
def test_these_texts_are_malformed_and_the_reason_says_why(text: str, reason: str):
    action = parse_action(text)
    assert isinstance(action, Malformed)
    assert action.text == text
    assert reason in action.reason and "\n" not in action.reason


@pytest.mark.parametrize(
    "name", ["clip_retrieval", "Clip_Retrieval", "ClipRetrieval", "clip-retrieval", "Clip retrieval"]
)
def test_spellings_of_a_name_are_one_name(name: str):
    assert normalise_name(name) == "clip_retrieval"


def test_a_reply_of_a_million_tags_is_read_at_once():
    opened = "</answer>" + "<answer>" * 20_000
    assert final_answer(f"<answer>B{opened}") == "B"
    assert final_answer(f"{'<answer>' * 20_000}B</answer>").endswith("B")
