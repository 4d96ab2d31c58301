"""Checkpoints of public video agents are told what they know, and what they write is played."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.peer_transcripts import PEER_TRANSCRIPTS, PeerTranscript

import vt_env
from vt_env.config import BudgetConfig
from vt_env.envs.text_env import LongVideoQATextEnv
from vt_env.envs.tool_env import LongVideoQAEnv
from vt_env.episode.trajectory import record_episode
from vt_env.errors import ConfigError, ToolError
from vt_env.integrations.trl import environment_class
from vt_env.prompts import DEFAULT, SETS, load_prompts
from vt_env.testing import FakeLibrary, fake_tasks
from vt_env.tools.agent_protocols import PROTOCOLS, resolve_protocol
from vt_env.tools.caption_tree import LEVELS, segment_interval, tree_width

TASKS, LIBRARY = fake_tasks(1), FakeLibrary()
BUDGET = BudgetConfig(max_calls=8, max_frames=16, frames_per_zoom=2)
agents = pytest.mark.parametrize("transcript", PEER_TRANSCRIPTS, ids=lambda it: it.protocol)


def rules_of(transcript: PeerTranscript) -> dict[str, Any]:
    return {"protocol": transcript.protocol, "perception": transcript.perception, "budget": BUDGET}


def env_of(transcript: PeerTranscript, **changes: Any) -> LongVideoQATextEnv:
    env = LongVideoQATextEnv(TASKS, library=LIBRARY, **rules_of(transcript), **changes)
    env.reset(seed=0)
    return env


def test_every_protocol_has_a_transcript_and_a_prompt_set_of_its_name() -> None:
    assert [it.protocol for it in PEER_TRANSCRIPTS] == list(PROTOCOLS)
    assert all(SETS[name] is it.prompts and it.name == name for name, it in PROTOCOLS.items())


@agents
def test_a_transcript_of_each_agent_plays_and_answers(transcript: PeerTranscript) -> None:
    env = env_of(transcript)
    for text in transcript.replies:
        info = env.step(text)[-1]
        assert info["error"] is None
    record = record_episode(env.episode, transcript.replies)
    assert [(it.call.name, dict(it.call.arguments)) for it in record.turns[:-1]] == list(transcript.calls)
    assert info["correct"] and record.prompts == SETS[transcript.protocol].id
    assert any(it.viewed for it in record.turns) and all(it.form for it in record.turns[:-1])
    session = vt_env.SessionSource(TASKS, library=LIBRARY, **rules_of(transcript)).open()
    for text in transcript.replies:
        session.act(text)
    assert [it.observation_text for it in session.episode.turns] == [it.observation_text for it in record.turns]


@agents
def test_a_checkpoint_is_told_of_its_own_tools_tags_and_times(transcript: PeerTranscript) -> None:
    env, prompts = env_of(transcript), SETS[transcript.protocol]
    assert [it["function"]["name"] for it in env.tool_schemas] == list(transcript.shown)
    for text in transcript.replies[:-1]:
        env.step(text)
    system, *shown = env.messages()
    assert system["content"][0]["text"] == prompts.system_text() and "frame_zoom" not in prompts.system_text()
    roles = {it["role"] for it in shown[1:]}
    assert roles == ({"assistant", "tool"} if transcript.shown else {"assistant", "user"})
    said = shown[-1]["content"][-1]["text"]
    assert transcript.perception == "captions" or ("322" in said) == (prompts.times == "seconds")
    assert bool(transcript.shown) == (prompts.calls == "template")


def test_prompts_and_tools_that_are_given_take_the_place_of_the_protocol_s() -> None:
    env = LongVideoQATextEnv(TASKS, library=LIBRARY, protocol="longvt", prompts="default", tools="paper")
    assert env.config.prompts is DEFAULT and [it.name for it in env.tools] != ["frame_zoom"]
    assert [it.name for it in LongVideoQAEnv(TASKS, library=LIBRARY, protocol="eva").tools] == ["frame_zoom"]


def test_a_protocol_that_does_not_exist_or_returns_something_else_is_refused_in_one_line() -> None:
    allowed = ", ".join(PROTOCOLS)
    with pytest.raises(ConfigError, match=f"protocol='longvtt': allowed are {allowed}; did you mean 'longvt'"):
        resolve_protocol("longvtt")
    for name, perception in (("longvideo-r1", "frames"), ("eva", "captions")):
        with pytest.raises(ConfigError, match=rf"protocol='{name}': its tools return .*need perception=.*--agent"):
            LongVideoQATextEnv(TASKS, library=LIBRARY, protocol=name, perception=perception)


def test_a_file_may_change_the_texts_of_a_protocol_s_set(tmp_path) -> None:
    (tmp_path / "mine.json").write_text('{"name": "mine", "version": 1, "base": "longvt", "system": "As trained."}')
    mine = load_prompts(tmp_path / "mine.json")
    assert mine.system == "As trained." and mine.tool_schemas == SETS["longvt"].tool_schemas
    (tmp_path / "mine.json").write_text('{"name": "mine", "version": 1, "base": "longvtt"}')
    with pytest.raises(ConfigError, match=r"base='longvtt': allowed are default, .*mean 'longvt'"):
        load_prompts(tmp_path / "mine.json")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ('"calls": "tags"', "calls='tags': allowed are 'template' and 'text'"),
        ('"times": "frames"', "times='frames': allowed are 'clock' and 'seconds'"),
        ('"tool_schemas": {"frame_zoom": {"name": "x"}}', r"tool_schemas\['frame_zoom'\]: need a JSON schema"),
    ],
)
def test_wrong_choices_of_a_file_are_refused_in_one_line(tmp_path, values: str, message: str) -> None:
    (tmp_path / "mine.json").write_text(f'{{"name": "mine", "version": 1, {values}}}')
    with pytest.raises(ConfigError, match=message):
        load_prompts(tmp_path / "mine.json")


def test_the_fingerprints_of_sets_made_before_are_what_they_were() -> None:
    assert SETS["tiny"].key == "96c83802bd282e39"


def test_trl_offers_the_tool_that_the_checkpoint_knows() -> None:
    kind = environment_class(TASKS, library=LIBRARY, budget=BUDGET, protocol="longvt")
    environment = kind()
    environment.reset(task_id=TASKS[0].item.task_id)
    assert not hasattr(environment, "frame_zoom") and "start_time: Start" in (kind.crop_video.__doc__ or "")
    shown = environment.crop_video(video_path="video.mp4", start_time=320, end_time=330)
    assert [it["type"] for it in shown] == ["image", "image", "text"]
    environment.crop_video(video_path="video.mp4", start_time="05:20", end_time=330)
    calls = [it.action for it in environment._rollout._episode.turns]
    assert [(it.name, dict(it.arguments)) for it in calls] == [("frame_zoom", {"start_s": 320, "end_s": 330})] * 2
    with pytest.raises(ConfigError, match="prompts 'videozoomer' ask for calls as text, which TRL does not read"):
        environment_class(TASKS, library=LIBRARY, protocol="videozoomer")


@given(st.floats(0.5, 40_000), st.lists(st.integers(1, 8), min_size=1, max_size=LEVELS))
def test_segments_of_a_level_divide_the_one_above(duration_s: float, segment: list[int]) -> None:
    width = tree_width(duration_s)
    assert 4 <= width <= 8
    if max(segment) > width:
        with pytest.raises(ToolError, match=f"need one to 3 numbers from 1 to {width}"):
            segment_interval(segment, duration_s)
        return
    parts = [segment_interval([*segment[:-1], number], duration_s) for number in range(1, width + 1)]
    above = segment_interval(segment[:-1], duration_s) if segment[1:] else vt_env.Interval(0, duration_s)
    edges = [above.start_s, *(it.end_s for it in parts)]
    assert edges == pytest.approx([*(it.start_s for it in parts), above.end_s])
    assert all(it.duration_s > 0 for it in parts)


def test_leaves_of_an_hour_are_about_sixteen_seconds_long() -> None:
    assert tree_width(3600) == 6 and segment_interval([1, 1, 1], 3600).duration_s == pytest.approx(3600 / 216)
