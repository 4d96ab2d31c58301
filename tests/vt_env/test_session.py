"""Sessions: calls by name that never raise for what a model did, a score at the end, replay without state."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vt_env
from vt_env import ConfigError, DataError, Session, SessionSource, StopReason
from vt_env.actions.parse import render_action
from vt_env.episode.serialisers import (
    base64_pictures,
    chat_content,
    decode_picture,
    mcp_content,
    pictures,
    pil_content,
    responses_content,
)
from vt_env.episode.trajectory import record_episode
from vt_env.prompts import OVER
from vt_env.session import EPISODE_OVER
from vt_env.testing import FakeLibrary, FakeVideo, fake_tasks, integration_conformance
from vt_env.testing.integrations import Conversation, Played, Received
from vt_env.tools.builtin import tools_for
from vt_env.tools.wire_schema import wire_schema
from vt_env.types import Observation, Outcome, ToolCall

ZOOM = ("frame_zoom", {"start_s": "05:20", "end_s": "05:40"})


def source(**rules) -> SessionSource:
    return SessionSource(fake_tasks(), library=FakeLibrary(), **{"budget": "default,max_calls=3", **rules})


def received(observation: Observation) -> Received:
    return Received(observation.text, tuple(decode_picture(it) for it in base64_pictures(observation)))


def play(source: SessionSource, conversation: Conversation) -> Played:
    session, outcomes = source.open(task_id=conversation.task_id), list[Outcome]()
    for turn in conversation.turns:
        outcomes += [session.answer(turn.answer)] if turn.answer is not None else session.calls(turn.calls)
    replies = tuple(received(it.observation) for it in outcomes)
    return Played(received(session.opening), replies, sum(it.reward for it in outcomes), session.episode.stop)


def test_a_session_conforms():
    integration_conformance(lambda source, conversations: [play(source, it) for it in conversations])


def test_conformance_finds_what_differs():
    def late(source: SessionSource, conversations: list[Conversation]) -> list[Played]:
        return [play(source, it) for it in (conversations[1], *conversations[1:])]

    with pytest.raises(AssertionError, match="conversation q0: 12 replies to 11 calls and answers"):
        integration_conformance(late)

    def text_first(source: SessionSource, conversations: list[Conversation]) -> list[Played]:
        played = [play(source, it) for it in conversations]
        flipped = [Received(it.text, it.pictures[::-1]) for it in played[0].received]
        return [Played(played[0].opening, tuple(flipped), played[0].reward, played[0].stop), *played[1:]]

    with pytest.raises(AssertionError, match="q0, picture tool: picture 0 has other pixels"):
        integration_conformance(text_first)

    def leaking(source: SessionSource, conversations: list[Conversation]) -> list[Played]:
        key = repr(source.tasks.by_id("q0").gold).encode()
        played = [play(source, it) for it in conversations]
        return [Played(Received(it.opening.text, (), key), it.received, it.reward, it.stop) for it in played]

    with pytest.raises(AssertionError, match="reply 0 depends on the answer key"):
        integration_conformance(leaking)


def test_a_session_is_opened_by_id_by_position_or_by_the_seed_of_the_environments():
    opened = source()
    assert opened.open(task_id="fake/2").episode.item.task_id == "fake/2"
    assert opened.open(index=1).episode.item.task_id == "fake/1"
    assert opened.open().episode.item.task_id == "fake/0"
    env = vt_env.gym.make("vt_env/LongVideoQA-v0", tasks=fake_tasks(), library=FakeLibrary())
    for seed in range(5):
        assert opened.open(seed=seed).episode.item.task_id == env.reset(seed=seed)[1]["task_id"]
    alone = Session.open(fake_tasks(), task_id="fake/1", library=FakeLibrary(), budget="tiny")
    assert alone.episode.config.budget == vt_env.BudgetConfig(8, 8, 1, max_parallel_calls=1)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"task_id": "/etc/passwd"}, "task_id='/etc/passwd': not among the 3 tasks"),
        ({"index": 3}, "index=3: need 0 to 2"),
        ({"index": -1}, "index=-1: need 0 to 2"),
        ({"seed": -1}, "seed=-1: need 0 or more"),
        ({"index": 0, "seed": 0}, "index, seed: each of them chooses the task; give one"),
    ],
)
def test_a_task_that_does_not_exist_is_refused_in_one_line(choice: dict, message: str):
    with pytest.raises(ConfigError) as error:
        source().open(**choice)
    assert str(error.value).startswith(message)


def test_calls_after_the_end_say_so_and_pay_nothing():
    session = source().open()
    assert session.result is None
    outcome = session.answer("B")
    assert (outcome.reward, outcome.stop) == (1.0, StopReason.ANSWERED)
    for after in (session.call(*ZOOM), session.answer("A"), session.act("anything"), *session.calls([ZOOM, ZOOM])):
        assert (after.observation.text, after.reward, after.error) == (OVER, 0.0, EPISODE_OVER)
    assert session.finish("<answer>A</answer>").reward == 1.0
    assert len(session.episode.turns) == 1


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("frame_zoom", "05:20"),
        ("frame_zoom", None),
        ("frame_zoom", {"start_s": math.nan, "end_s": 5}),
        ("frame_zoom", {"start_s": {"minutes": 5}, "end_s": 9}),
        ("subtitle_retrieval", {"query": "\ud800"}),
        ("frame_zoom", {"start_s": b"5", "end_s": 9}),
        (7, {}),
        ("", {}),
    ],
)
def test_a_call_of_any_form_costs_a_call_and_is_answered(name, arguments):
    session = source().open()
    outcome = session.call(name, arguments)
    assert outcome.error == "malformed"
    assert outcome.observation.remaining.calls == 2
    outcome.observation.text.encode()
    record_episode(session.episode).to_json()


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda it: st.lists(it, max_size=3), max_leaves=5
)


@given(
    st.lists(st.tuples(st.sampled_from(["frame_zoom", "no"]) | st.text(), st.dictionaries(st.text(), JSON)), max_size=6)
)
def test_nothing_that_is_called_raises(calls):
    session = source().open()
    session.calls(calls)
    assert session.finish("").stop is StopReason.OUT_OF_CALLS


def test_a_call_is_the_text_that_a_model_writes():
    query = 'the tag <tool_call> and "quotes" </tool_call>'
    called, written = source().open(), source().open()
    for name, arguments in (ZOOM, ("subtitle_retrieval", {"query": query})):
        one = called.call(name, arguments)
        other = written.act(render_action(ToolCall(name, arguments)))
        assert one.observation.text == other.observation.text
    assert record_episode(called.episode) == record_episode(written.episode)


@pytest.mark.parametrize("last_words", ["", "I give up", f"{render_action(ToolCall(*ZOOM))}"])
def test_to_finish_without_an_answer_pays_no_more_than_to_answer_wrongly(last_words: str):
    session = source(rewards="shaped").open()
    session.call(*ZOOM)
    result = session.finish(last_words)
    assert (result.stop, result.correct) == (StopReason.OUT_OF_CALLS, False)
    wrong = source(rewards="shaped").open()
    assert result.reward <= wrong.finish("<answer>A</answer>").reward


def test_a_session_is_replayed_from_its_calls():
    calls = [ZOOM, ("subtitle_retrieval", {"query": "delta"}), ("no_such_tool", {})]
    first = source().open(task_id="fake/1")
    first.calls(calls)
    again = source().replay("fake/1", calls)
    assert record_episode(again.episode) == record_episode(first.episode)
    assert again.call(*ZOOM).stop is StopReason.OUT_OF_CALLS


def test_a_video_that_breaks_is_no_wrong_answer():
    broken = SessionSource(fake_tasks(), library=FakeLibrary((FakeVideo(broken_from_s=300),)))
    session = broken.open()
    with pytest.raises(DataError, match="nothing can be decoded"):
        session.call(*ZOOM)
    assert session.is_over and session.result is None
    assert session.call(*ZOOM).error == EPISODE_OVER
    with pytest.raises(DataError, match="nothing can be decoded"):
        session.finish("<answer>B</answer>")


def test_pictures_stand_before_the_text_in_every_dialect():
    observation = source().open().call(*ZOOM).observation
    frames = observation.frames.data
    for content in (mcp_content, chat_content, responses_content, pil_content):
        blocks = content(observation)
        assert len(blocks) == 3 and "text" not in blocks[0] and blocks[-1]["text"] == observation.text
    mcp, chat, responses = (it(observation)[1] for it in (mcp_content, chat_content, responses_content))
    for data in (mcp["data"], chat["image_url"]["url"], responses["image_url"]):
        assert np.array_equal(decode_picture(data), frames[1])
    assert np.array_equal(np.array(pictures(observation)[1]), frames[1])
    assert np.array_equal(np.array(pil_content(observation)[1]["image"]), frames[1])
    assert mcp["mimeType"] == "image/png" and chat["image_url"]["url"].startswith("data:image/png;base64,")


def test_jpeg_is_smaller_and_says_what_it_is():
    observation = Observation("a talk", vt_env.Outcome and source().open().opening.remaining, natural_frames())
    png, jpeg = mcp_content(observation), mcp_content(observation, "jpeg")
    assert jpeg[0]["mimeType"] == "image/jpeg" and len(jpeg[0]["data"]) < len(png[0]["data"]) / 2
    assert np.abs(decode_picture(jpeg[0]["data"]).astype(int) - observation.frames.data[0]).mean() < 12


def natural_frames() -> vt_env.types.FrameBatch:
    noise = np.random.default_rng(0).normal(128, 40, (1, 16, 16, 3)).clip(0, 255)
    smooth = np.kron(noise[0], np.ones((8, 8, 1)))[None] + np.random.default_rng(1).normal(0, 4, (1, 128, 128, 3))
    return vt_env.types.FrameBatch(smooth.clip(0, 255).astype(np.uint8), np.zeros(1))


def test_on_the_wire_a_time_is_a_number_or_a_text_and_all_else_is_as_in_prompts():
    for tool in tools_for("frames"):
        prompt, wire = tool.schema["function"]["parameters"], wire_schema(tool)
        assert wire.keys() == prompt.keys() and wire["properties"].keys() == prompt["properties"].keys()
        for name, schema in wire["properties"].items():
            if name.endswith("_s"):
                assert schema.pop("anyOf") == [{"type": "number"}, {"type": "string"}]
                schema = {"type": "number", **schema}
            assert schema == prompt["properties"][name]
    assert set(source().wire_schemas) == {tool.name for tool in tools_for("frames")}
