"""One reader for every text: thoughts change nothing, spans hold what was read, and all ways of playing agree."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.small_media import SMALL_MEDIA

from agents.rollout import AgentBatch, Start, play_in_threads, run_episode
from vt_env.actions.parse import ActionReader, parse_action, render_action
from vt_env.actions.thoughts import split_thoughts
from vt_env.config import EnvConfig
from vt_env.envs.base import make_episode
from vt_env.envs.text_env import LongVideoQATextEnv
from vt_env.envs.tool_env import LongVideoQAEnv
from vt_env.testing import FakeLibrary, fake_tasks
from vt_env.tools.builtin import tools_for
from vt_env.types import Answer, Malformed, ToolCall

READER = ActionReader.for_tools(tools_for("frames"))
CALL = '<tool_call>{"name": "frame_zoom", "arguments": {"start_s": 1, "end_s": 2}}</tool_call>'
OTHERS = ("<search>car</search>", "<retrieve>1, 2</retrieve>", "<action>output answer: C</action>", "<search>")
OWN = (CALL, "<answer>D</answer>", "<answer>", "</answer>", "<tool_call>", "</tool_call>", r"<answer>\boxed{C}")
WORDS = st.text(alphabet=st.characters(exclude_characters="<", exclude_categories=["Cs"]), max_size=8)


def joined(*pieces: str) -> st.SearchStrategy[str]:
    return st.lists(st.one_of(st.sampled_from(pieces), WORDS), max_size=8).map("".join)


ANYTHING = joined(*OTHERS, *OWN, "<think>", "</think>")
THOUGHTS = st.one_of(
    ANYTHING.map(lambda inside: f"<think>{inside}</think>"),
    # Templates that write the opening tag leave it out of the reply.
    ANYTHING.map(lambda inside: f"{inside}</think>"),
    st.tuples(ANYTHING, joined(*OTHERS)).map(lambda it: f"<think>{it[0]}</think>{it[1]}"),
    joined(*OTHERS),
)
UNCLOSED = joined("<think>", *OTHERS, *OWN).map(lambda inside: f"<think>{inside}")
ANSWERS = WORDS.map(str.strip).filter(lambda text: text and "\\" not in text).map(Answer)
CALLS = st.one_of(
    st.builds(lambda query, k: ToolCall("clip_retrieval", {"query": query, "top_k": k}), st.text(), st.integers(1, 9)),
    st.builds(lambda a, b: ToolCall("frame_zoom", {"start_s": a, "end_s": b}), st.floats(0, 1e5), st.floats(0, 1e5)),
)


@given(THOUGHTS, ANSWERS | CALLS)
@example("<think>or <answer>B</answer>?</think>", Answer("A"))
@example("<think><think>a</think> <answer>B</answer></think>", Answer("A"))
def test_no_thought_changes_which_action_is_read_nor_where(thought: str, action: Answer | ToolCall):
    written = render_action(action)
    (alone,) = READER.read(written).actions
    (after,) = READER.read(f"{thought}\n{written}").actions
    assert after.action == replace(action, thought=thought.strip())
    assert alone.span and after.span == tuple(at + len(thought) + 1 for at in alone.span)
    assert alone.is_canonical and after.is_canonical


@given(UNCLOSED, ANSWERS | CALLS)
def test_a_thought_that_never_ends_holds_no_action(thought: str, action: Answer | ToolCall):
    found = READER.read(f" {thought}\n{render_action(action)}").action
    assert isinstance(found, Malformed)
    assert found.reason == "the thought does not end; write </think> before the call or the answer"


@given(
    ANYTHING, st.sampled_from(["<search>car</search>", "<retrieve>1, 2</retrieve>", "<video_zoom>nothing</video_zoom>"])
)
@example("<answer>B</answer>", "<search>car</search>")
def test_no_thought_is_played_instead_of_another_agents_call(inside: str, call: str):
    (alone,) = READER.read(call).actions
    (after,) = READER.read(f"<think>{inside}</think>{call}").actions
    if isinstance(alone.action, ToolCall):
        assert isinstance(after.action, ToolCall)
        assert (after.action.name, after.action.arguments) == (alone.action.name, alone.action.arguments)
    else:
        assert isinstance(after.action, Malformed)


@given(ANSWERS | CALLS)
def test_what_is_written_is_read_back_and_its_span_holds_it(action: Answer | ToolCall):
    text = render_action(action)
    reply = READER.read(text)
    assert reply.action == action
    held = text[slice(*reply.actions[0].span or ())]
    if isinstance(action, Answer):
        assert held == action.text and reply.answer_span == reply.actions[0].span
    else:
        assert json.loads(held)["name"] == action.name and reply.answer_span is None


FINISH = '<tool_call>{"name": "finish", "arguments": {"answer": "B"}}</tool_call>'


@given(st.one_of(st.text(), ANYTHING, joined(*OTHERS, *OWN, FINISH, "\ud800", "<think>", "</think>")))
def test_any_text_is_read_without_an_error_and_an_answers_span_is_its_text(text: str):
    for reader in (READER, ActionReader()):
        for found in reader.read(text).actions:
            assert (found.span is None) == isinstance(found.action, Malformed)
            if isinstance(found.action, Answer):
                assert text[slice(*found.span or ())] == found.action.text


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("<think><answer>A</answer></think><answer> B </answer>", "B"),
        (r"so <answer> $\boxed{B}$ </answer>", r"$\boxed{B}$"),
        (r"so <answer>\boxed{\text{ B }}</answer>", "B"),
        ("<think>B</think><action>output answer: B.</action>", "B."),
        ('B: <tool_call>{"name": "finish", "arguments": {"answer": " B "}}', "B"),
        ('<tool_call>{"name": "finish", "arguments": {"answer": "A", "answer": "B"}}', "B"),
        (r'<tool_call>{"name": "finish", "arguments": {"answer": "a \"B\""}}', r"a \"B\""),
        ("<answer>B", None),
        (CALL, None),
        ("<answer>A</answer><answer>B</answer>", None),
    ],
)
def test_the_answer_is_found_where_the_action_is_read(text: str, held: str | None):
    span = READER.read(text).answer_span
    assert (None if span is None else text[slice(*span)]) == held


@pytest.mark.parametrize(
    ("text", "is_canonical"),
    [
        (CALL, True),
        ("<answer>B</answer>", True),
        ("<retrieve>1, 2</retrieve>", False),
        (r"<answer>\boxed{B}</answer>", False),
        (CALL.replace("frame_zoom", "crop_video"), False),
        (CALL.replace('"start_s": 1', '"interval": [1, 2], "video_path": "v"'), False),
    ],
)
def test_what_other_agents_write_is_marked(text: str, is_canonical: bool):
    assert READER.read(text).actions[0].is_canonical is is_canonical


def test_a_reader_made_of_schemas_reads_as_one_made_of_tools():
    for perception in ("frames", "captions"):
        tools = tools_for(perception)
        assert ActionReader.for_schemas([tool.schema for tool in tools]) == ActionReader.for_tools(tools)


def test_without_tools_the_built_in_ones_are_assumed():
    text = '<tool_call>{"name": "ClipRetrieval", "arguments": {"query": "a", "topk": 3}}</tool_call>'
    assert parse_action(text) == READER.read(text).action == ToolCall("clip_retrieval", {"query": "a", "top_k": 3})


def test_a_reply_is_split_at_the_end_of_its_thoughts():
    assert split_thoughts("<think>a</think>b") == ("a", "b")
    assert split_thoughts("b") == ("", "b")


class Says:
    """An agent that writes one text, then an answer."""

    def __init__(self, text: str) -> None:
        self._texts = [text]

    def reset(self, *shown: object) -> None:
        """Begin."""

    def act(self, observation: object) -> str:
        """Write the text, then the answer."""
        return self._texts.pop() if self._texts else "<answer>12</answer>"


REPLIES = (
    CALL,
    "<answer>47</answer>",
    r"<answer>\boxed{47}</answer>",
    "<think>or <answer>12</answer>?</think>\n<answer>47</answer>",
    "<think><search>a</search></think><action>output answer: 47</action>",
    "<action>choose frames between 05:20 and 05:40</action>",
    "<retrieve>320, 340</retrieve>",
    '<video_zoom>{"segment": [320, 340], "fps": 2}</video_zoom>',
    "<search>red square</search>",
    '<tool_call>{"name": "crop_video", "arguments": {"video_path": "v", "start_time": 320, "end_time": 340}}',
    '<tool_call>{"name": "ClipRetrieval", "arguments": {"query": "a", "topk": 2}}</tool_call>',
    '<tool_call>{"name": "finish", "arguments": {"answer": "47"}}</tool_call>',
    "47",
    "<search>a</search><search>b</search>",
)


@pytest.mark.parametrize("text", REPLIES)
def test_a_text_is_the_same_action_wherever_it_is_played(text: str):
    tasks, config = fake_tasks(1), EnvConfig("frames")
    task = tasks[0]
    turns = []
    for kind in (LongVideoQATextEnv, LongVideoQAEnv):
        env = kind(tasks, library=FakeLibrary(), media=SMALL_MEDIA)
        env.reset(options={"task_id": task.item.task_id})
        env.step(text)
        turns.append(env.episode.turns[0].action)
    episode = make_episode(task, FakeLibrary(), config)
    alone = run_episode(Says(text), episode)
    turns.append(episode.turns[0].action)
    assert all(action == turns[0] for action in turns)
    start = Start(task.item, config, lambda: make_episode(task, FakeLibrary(), config))
    ((_, threaded),) = play_in_threads(AgentBatch([Says(text)]), [start], 1)
    assert threaded.without_times() == alone
    call = alone.turns[0].call
    if isinstance(turns[0], ToolCall):
        assert call is not None and (call.name, call.arguments) == (turns[0].name, turns[0].arguments)
        assert alone.turns[0].error is None
    elif isinstance(turns[0], Answer):
        assert alone.answer == turns[0].text == "47" and alone.correct
    else:
        assert alone.turns[0].error == "malformed"


ROOT = Path(__file__).parents[2]
READERS = ("vt_env/actions", "vt_env/control_tokens.py")
"""What may search for tags."""


def test_nothing_but_the_reader_searches_a_text_for_tags():
    searched = (".partition(", ".rpartition(", ".find(", ".rfind(", ".index(", ".split(", "re.compile(", "re.search(")
    tags = ("<answer>", "</answer>", "<tool_call>", "</tool_call>", "<think>", "</think>")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in ("vt_env", "agents", "synth", "experiments")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not str(path.relative_to(ROOT)).startswith(READERS)
        for line in path.read_text(encoding="utf-8").splitlines()
        if any(tag in line for tag in tags) and any(call in line for call in searched)
    ]
    assert found == []
