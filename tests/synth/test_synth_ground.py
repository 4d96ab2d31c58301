"""Grounding: the same actions with frames; whatever comes out differently is named."""

from dataclasses import replace

import numpy as np
import pytest
from support.small_world import CAPTIONS, FRAMES, SmallWorld, small_world

from agents.baselines.world_script import ScriptedAgent
from agents.rollout import run_episode
from synth.filters import filter_trajectories
from synth.generate import generate, plan_attempts
from synth.ground import Grounded, ground
from synth.teacher import ScriptedTeacher
from vt_env.actions.parse import parse_action, render_actions
from vt_env.config import EnvConfig
from vt_env.envs.base import make_episode
from vt_env.episode.episode import Episode
from vt_env.episode.trajectory import Trajectory, record_episode
from vt_env.testing import FakeVideo, fake_task
from vt_env.types import Answer, Interval, SubtitleLine, ToolCall

__all__ = ["small_world"]

SEEN_BRIEFLY = FakeVideo(
    captions=(SubtitleLine(Interval(320, 326), "blue star 12"), SubtitleLine(Interval(326, 330), "red square 47"))
)
"""What is asked for is on screen at the second of two moments of a look, and not at its middle."""
COARSE = replace(FRAMES, budget=replace(FRAMES.budget, frames_per_zoom=1))
"""A look shows its middle alone."""


def play(video: FakeVideo) -> Trajectory:
    task = fake_task()
    return run_episode(ScriptedAgent(np.random.default_rng(0)), Episode(task.item, task.gold, video, CAPTIONS))


def play_briefly() -> Trajectory:
    """Look once at what is seen briefly, and answer with a thought that repeats the second caption."""
    task = fake_task()
    episode = Episode(task.item, task.gold, SEEN_BRIEFLY, CAPTIONS)
    episode.start()
    episode.apply(ToolCall("caption_zoom", {"start_s": 320.0, "end_s": 330.0}))
    episode.apply(Answer("47", "red square yes 47"))
    return record_episode(episode)


def replay(source: Trajectory, video: FakeVideo, config: EnvConfig = FRAMES) -> Grounded:
    task = fake_task()
    return ground(source, Episode(task.item, task.gold, video, config))


def test_a_reply_with_several_calls_is_grounded_call_by_call():
    task = fake_task()
    texts = [
        render_actions(
            (
                ToolCall("clip_retrieval", {"query": "red square"}, "Look."),
                ToolCall("caption_zoom", {"start_s": 320.0, "end_s": 330.0}),
                ToolCall("caption_zoom", {"start_s": 400.0, "end_s": 410.0}),
            )
        ),
        "red square 47\n<answer>47</answer>",
    ]
    episode = Episode(task.item, task.gold, FakeVideo(), CAPTIONS)
    episode.start()
    for text in texts:
        episode.apply(*episode.actions(text))
    grounded = replay(record_episode(episode, texts), FakeVideo())
    assert [turn.call and turn.call.name for turn in grounded.trajectory.turns] == [
        "clip_retrieval", "frame_zoom", "frame_zoom", None,
    ]  # fmt: skip
    assert [len(turns) for turns in grounded.trajectory.by_reply] == [3, 1]
    assert [len(turn.frames) for turn in grounded.trajectory.turns] == [0, 2, 2, 0]
    assert grounded.divergences == () and grounded.trajectory.turns[0].text == texts[0].replace("caption", "frame")


def without_last_line(text: str) -> str:
    return text.rpartition("\n")[0]


@pytest.mark.slow
def test_the_world_comes_out_the_same_with_frames_turn_by_turn(small_world: SmallWorld):
    tasks = small_world.tasks
    plan = plan_attempts(tasks, 1)
    attempts = generate(
        plan, ScriptedTeacher(), lambda task: make_episode(task, small_world.library, CAPTIONS), CAPTIONS, seed=0
    )
    kept = filter_trajectories(attempts, "default", np.random.default_rng(0)).kept
    pairs = [(it, ground(it, make_episode(tasks.by_id(it.task_id), small_world.library, FRAMES))) for it in kept]
    same = [(source, it.trajectory) for source, it in pairs if not it.divergences]
    assert len(same) == len(pairs) >= 40
    for source, trajectory in same:
        check_same_play(source, trajectory)


def check_same_play(source: Trajectory, trajectory: Trajectory) -> None:
    assert trajectory.perception == "frames"
    assert (trajectory.correct, trajectory.stop, trajectory.answer) == (True, source.stop, source.answer)
    for expected, got in zip(source.turns, trajectory.turns, strict=True):
        assert parse_action(got.text).thought == parse_action(expected.text).thought
        if expected.call and expected.call.name == "caption_zoom":
            assert (got.call.name, got.call.arguments) == ("frame_zoom", expected.call.arguments)
            assert got.frames and all(got.viewed[0].contains(frame.time_s) for frame in got.frames)
        else:
            assert got.text == expected.text
            assert without_last_line(got.observation_text) == without_last_line(expected.observation_text)


def test_an_attempt_that_needs_more_frames_than_there_are_is_out_of_budget():
    wrong_first = FakeVideo(captions=tuple(SubtitleLine(Interval(s, s + 10), "red star 12") for s in range(0, 40, 10)))
    poor = replace(FRAMES, budget=replace(FRAMES.budget, max_frames=2))
    grounded = replay(play(wrong_first), wrong_first, poor)
    first = grounded.divergences[0]
    assert (first.turn_idx, first.kind) == (2, "out_of_budget")
    assert "red star 12" in first.expected and "frames needed: 1, left: 0" in first.got
    assert grounded.reason("default") == grounded.reason("paper") == "out_of_budget"


def test_an_attempt_that_needs_more_calls_than_there_are_is_broken_off():
    hasty = replace(FRAMES, budget=replace(FRAMES.budget, max_calls=1))
    grounded = replay(play(FakeVideo()), FakeVideo(), hasty)
    assert [(it.turn_idx, it.kind) for it in grounded.divergences] == [(1, "out_of_budget"), (2, "broken_off")]


def test_a_tool_that_returns_something_else_is_found():
    source = play(FakeVideo())
    earlier = replace(FakeVideo(), captions=(SubtitleLine(Interval(100, 120), "red square 47"),))
    first = replay(source, earlier).divergences[0]
    assert (first.turn_idx, first.kind) == (0, "other_result")
    assert first.expected.startswith("#1 05:20-05:30") and first.got.startswith("#1 01:40-01:50")


def test_a_call_that_fails_only_with_frames_is_an_error():
    grounded = replay(play(FakeVideo()), FakeVideo(), replace(FRAMES, tools=("clip_retrieval",)))
    assert [(it.turn_idx, it.kind) for it in grounded.divergences] == [(1, "error")]


def test_another_answer_key_is_another_end():
    task = fake_task(answer_idx=0)
    grounded = ground(play(FakeVideo()), Episode(task.item, task.gold, FakeVideo(), FRAMES))
    assert [it.kind for it in grounded.divergences] == ["other_end"]


def test_a_video_that_fails_in_the_replay_makes_it_invalid():
    grounded = replay(play(FakeVideo()), FakeVideo(broken_from_s=300))
    assert [it.kind for it in grounded.divergences] == ["invalid"]
    assert grounded.trajectory.invalid is not None


def test_a_thought_about_a_caption_that_no_frame_shows_is_found_and_only_the_paper_keeps_it():
    source = play_briefly()
    assert source.correct
    grounded = replay(source, SEEN_BRIEFLY, COARSE)
    (found,) = grounded.divergences
    assert (found.kind, found.expected) == ("unseen_caption", "05:26-05:30 red square 47")
    assert grounded.reason("default") == "unseen_caption"
    assert grounded.reason("paper") is None


def test_a_caption_that_no_frame_shows_does_no_harm_where_no_thought_repeats_it():
    source = play_briefly()
    silent = replace(source.turns[-1], text="<answer>47</answer>")
    assert replay(replace(source, turns=(*source.turns[:-1], silent)), SEEN_BRIEFLY, COARSE).divergences == ()
