"""Calls in the forms of models are read as vLLM reads them, and no reply of any form fails the reader."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.model_replies import WRITERS

from vt_env.actions.model_forms import FORMS, IN_ANSWER
from vt_env.actions.parse import ActionReader, parse_action, render_action, render_actions
from vt_env.tools.builtin import tools_for
from vt_env.types import Answer, Malformed, ToolCall

READER = ActionReader.for_tools(tools_for("frames"), max_calls=8)
STRICT = ActionReader(READER.tools, READER.zoom_tool, READER.texts, 8, strict=True)
# Every form can hold these; a tag or a quote of its own inside a text ends it in some.
QUERIES = st.text("abc XYZ09.,:;?!'-\u00e9\u4e2d", min_size=1, max_size=12).map(str.strip).filter(bool)
CALLS = st.one_of(
    st.builds(lambda query, k: ToolCall("clip_retrieval", {"query": query, "top_k": k}), QUERIES, st.integers(1, 9)),
    st.builds(lambda a, b: ToolCall("frame_zoom", {"start_s": a, "end_s": b}), st.integers(0, 9999), st.floats(0, 1e4)),
    st.builds(lambda query: ToolCall("subtitle_summary", {"query": query}), QUERIES),
    st.builds(
        lambda a, box: ToolCall("spatial_zoom", {"time_s": a, "box": box}),
        st.floats(0, 1e4),
        st.lists(st.floats(0, 1), min_size=4, max_size=4),
    ),
)
ZOOM = ToolCall("frame_zoom", {"start_s": 320, "end_s": 340})


@pytest.mark.parametrize("model", WRITERS)
@settings(max_examples=25)
@given(st.lists(CALLS, min_size=1, max_size=8))
def test_a_list_of_calls_written_as_a_model_writes_it_is_read_back(model: str, calls: list[ToolCall]):
    form, write = WRITERS[model]
    reply = READER.read(f"I look there.\n{write(calls)}")
    first, *others = calls
    assert list(reply.calls) == [ToolCall(first.name, first.arguments, "I look there."), *others]
    assert {it.form for it in reply.calls} == {form}
    assert all(it.span is not None for it in reply.actions)
    strict = STRICT.read(write(calls)).actions
    assert isinstance(strict[0].action, Malformed) if form else [it.action for it in strict] == calls


@given(st.lists(CALLS, min_size=1, max_size=8), st.lists(QUERIES, min_size=8, max_size=8))
def test_calls_of_our_own_form_keep_their_thoughts(calls: list[ToolCall], thoughts: list[str]):
    thinking = [ToolCall(it.name, it.arguments, thought) for it, thought in zip(calls, thoughts, strict=False)]
    reply = READER.read(render_actions(thinking))
    assert list(reply.calls) == thinking and all(it.is_canonical for it in reply.actions)


def test_every_form_of_the_table_is_written_by_some_model():
    assert {it.name for it in FORMS} - {form for form, _ in WRITERS.values()} == {"python_tag"}


@pytest.mark.parametrize(
    "inside",
    [write([ZOOM]) for form, write in WRITERS.values() if form not in ("", "pythonic", "fenced_python")]
    + ['{"name": "clip_retrieval", "arguments": {"query": "x"}}'],
)
def test_a_call_inside_an_answer_is_a_call_or_malformed(inside: str):
    text = f"so <answer>{inside}</answer>"
    action = READER.read(text).action
    assert isinstance(action, Malformed) or (isinstance(action, ToolCall) and action.form == IN_ANSWER)
    assert isinstance(STRICT.read(text).action, Malformed)


@pytest.mark.parametrize(
    "inside",
    [
        '{"name": "clip_retrieval", "arguments": {"que',
        "frame_zoom(start_s=1, end_s=2)",
        "[frame_zoom(start_s",
        render_action(ZOOM),
        "<function=frame_zoom>",
    ],
)
def test_half_a_call_inside_an_answer_is_malformed(inside: str):
    assert isinstance(READER.read(f"<answer>{inside}</answer>").action, Malformed)


@pytest.mark.parametrize("answer", ["B", '{"result": "B"}', "[1, 2]", "a dog (brown)", '"names" of places', "f(x)"])
def test_what_is_no_call_is_an_answer(answer: str):
    for reader in (READER, STRICT, ActionReader()):
        assert reader.read(f"<answer>{answer}</answer>").action == Answer(answer)


@pytest.mark.parametrize("model", WRITERS)
def test_more_calls_than_allowed_are_malformed_as_a_whole(model: str):
    text = WRITERS[model][1]([ZOOM] * 64)
    (found,) = READER.read(text).actions
    assert isinstance(found.action, Malformed) and "more than 8 calls in one reply" in found.action.reason
    assert isinstance(parse_action(WRITERS[model][1]([ZOOM] * 2)), Malformed)
    assert len(ActionReader(READER.tools).read(text).calls) == 64


@pytest.mark.parametrize("model", WRITERS)
def test_a_call_beside_an_answer_is_malformed_where_tags_mark_the_call(model: str):
    form, write = WRITERS[model]
    for text in (f"{write([ZOOM])}\n<answer>B</answer>", f"<answer>B</answer>\n{write([ZOOM])}"):
        action = READER.read(text).action
        is_marked = not form or next(it for it in FORMS if it.name == form).is_marked
        assert isinstance(action, Malformed | Answer)
        if is_marked and "<tool_call>" in text:
            assert isinstance(action, Malformed)


@pytest.mark.parametrize("model", WRITERS)
def test_of_half_a_call_nothing_is_played(model: str):
    _, write = WRITERS[model]
    whole = write([ZOOM, ZOOM])
    for end in range(len(whole) // 2, len(whole) - 1, 3):
        calls = READER.read(whole[:end]).calls
        assert all((it.name, it.arguments) == (ZOOM.name, ZOOM.arguments) for it in calls), whole[:end]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 3000,
        "```json\n" + "[" * 3000,
        '{"name": "a", "arguments": ' + '{"a": ' * 3000,
        '<tool_call>{"name": "a", "arguments": "' + "[" * 3000 + '"}</tool_call>',
        "[clip_retrieval(query=" + "(" * 3000,
        "[clip_retrieval(query=" + "-" * 3000 + "1)]",
        "[clip_retrieval(query=" + "9" * 6000 + ")]",
        "[clip_retrieval(" + "a." * 2000 + ")]",
        "<start_function_call>call:f{a:" + "[" * 3000,
        "[TOOL_CALLS]" * 3000,
        "<tool_call>" * 3000,
        "<function=f>" * 3000,
        '<tool_call>{"name": "f", "arguments": {"a": {"b": 1}}}</tool_call>',
        '<tool_call>{"name": "clip_retrieval", "arguments": {"query": "' + "a" * 30_000 + '"}}</tool_call>',
        '{"name": "clip_retrieval", "arguments": {"query": "\ud83d"}}',
        "[clip_retrieval(query=1e999)]",
        "[clip_retrieval('a')]",
        "[__import__(name='os')]",
        "```tool_code\nimport os\n```",
    ],
)
def test_nested_long_and_hostile_replies_are_malformed(text: str):
    assert isinstance(READER.read(text).action, Malformed)


PIECES = st.sampled_from(
    [write([ZOOM]) for _, write in WRITERS.values()]
    + ["<answer>", "</answer>", "B", "<tool_call>", "</tool_call>", "```", "[", "{", '"', "</think>", "\ud800", "\\"]
)


@given(st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=6).map("".join))
def test_any_mixture_is_read_without_an_error(text: str):
    for reader in (READER, STRICT, ActionReader()):
        found = reader.read(text).actions
        assert found and (len(found) == 1 or all(isinstance(it.action, ToolCall) for it in found))
        for it in found:
            assert not isinstance(it.action, ToolCall) or json.dumps(it.action.arguments, allow_nan=False)


def test_bare_text_arguments_have_the_types_of_the_tool():
    number = ToolCall("clip_retrieval", {"query": "42", "top_k": 3})
    for model in ("qwen3-coder", "glm-4.5"):
        assert READER.read(WRITERS[model][1]([number])).action == number
    time = ToolCall("frame_zoom", {"start_s": "05:20", "end_s": "05:40"})
    for _, write in WRITERS.values():
        assert READER.read(write([time])).action == ZOOM


def test_python_that_names_no_tool_on_offer_is_no_call():
    assert isinstance(READER.read("[print(a=1), open(file='x')]").action, Malformed)
