"""Trajectories: what is written is read back, other versions and damage are refused, and replaying gives the same."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vt_env.actions import parse_action, render_action
from vt_env.config import EnvConfig, default_budget, paper_budget
from vt_env.episode import Episode
from vt_env.errors import DataError
from vt_env.testing import FakeVideo, fake_task
from vt_env.trajectory import (
    CallRecord,
    FrameRef,
    Trajectory,
    TurnRecord,
    read_trajectories,
    record_episode,
    write_trajectories,
)
from vt_env.types import Box, Interval, Remaining, StopReason

WRITTEN = [
    'I search.\n<tool_call>\n{"name": "ClipRetrieval", "arguments": {"query": "red square"}}',
    '<tool_call>{"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": 346}}</tool_call>',
    '<tool_call>{"name": "spatial_zoom", "arguments": {"time_s": 330, "box": [0, 0.5, 1, 1]}}</tool_call>',
    "hm",
    "<answer>(B)</answer>",
]


def played(written: list[str], config: EnvConfig, video: FakeVideo | None = None) -> Episode:
    task = fake_task()
    episode = Episode(task.item, task.gold, video or FakeVideo(), config)
    episode.start()
    for text in written:
        episode.apply(parse_action(text))
    return episode


def recorded() -> Trajectory:
    return record_episode(played(WRITTEN, EnvConfig(budget=default_budget())), WRITTEN, policy="me", seed=3, sample=1)


TEXT = st.text(max_size=20)
TIMES = st.floats(0, 1e5)
INTERVALS = st.tuples(TIMES, st.floats(0.5, 100)).map(lambda it: Interval(it[0], it[0] + it[1]))
BOXES = st.sampled_from([None, Box(0, 0, 1, 1), Box(0.1, 0.2, 0.3, 0.4)])
FRAMES = st.lists(st.builds(FrameRef, TEXT, TIMES, BOXES, st.integers(1, 999)), max_size=3).map(tuple)
VALUES = TEXT | st.integers() | st.booleans() | TIMES | st.lists(TIMES, max_size=3)
CALLS = st.none() | st.builds(CallRecord, TEXT, st.dictionaries(TEXT, VALUES, max_size=3))
TURNS = st.builds(TurnRecord, TEXT, CALLS, TEXT, FRAMES, st.lists(INTERVALS, max_size=2).map(tuple), st.none() | TEXT)
TRAJECTORIES = st.builds(
    Trajectory,
    task_id=TEXT,
    video_handle=TEXT,
    question=TEXT,
    options=st.lists(TEXT, max_size=4).map(tuple),
    prompt_text=TEXT,
    perception=st.sampled_from(["frames", "captions"]),
    turns=st.lists(TURNS, max_size=3).map(tuple),
    remaining=st.builds(Remaining, st.integers(0, 9), st.integers(0, 99)),
    stop=st.none() | st.sampled_from(StopReason),
    answer=st.none() | TEXT,
    correct=st.none() | st.booleans(),
    reward=st.floats(-9, 9),
    reward_terms=st.dictionaries(TEXT, st.floats(-9, 9), max_size=3),
    invalid=st.none() | TEXT,
    prompt_frames=FRAMES,
    policy=TEXT,
    seed=st.none() | st.integers(),
    sample=st.integers(0, 9),
    family=TEXT,
    split=TEXT,
)


@given(TRAJECTORIES)
def test_a_record_is_one_ascii_line_and_is_read_back(trajectory: Trajectory):
    line = trajectory.to_json()
    assert line.isascii() and "\n" not in line
    assert Trajectory.from_json(line) == trajectory


def test_an_episode_is_recorded_with_what_the_policy_wrote():
    trajectory = recorded()
    assert [turn.text for turn in trajectory.turns] == WRITTEN
    assert trajectory.turns[0].call == CallRecord("clip_retrieval", {"query": "red square"})
    assert [turn.call is None for turn in trajectory.turns] == [False, False, False, True, True]
    assert (trajectory.answer, trajectory.correct, trajectory.stop) == ("(B)", True, StopReason.ANSWERED)
    assert (trajectory.policy, trajectory.seed, trajectory.sample) == ("me", 3, 1)
    assert (trajectory.calls, trajectory.errors) == (4, ("malformed",))
    assert [frame.time_s for frame in trajectory.frames] == [326.0, 339.0, 330.0]
    assert trajectory.frames[2].box == Box(0, 0.5, 1, 1)


def test_a_record_holds_no_pixels_and_neither_key_nor_paths():
    line = recorded().to_json()
    assert (
        len(line) < 4000 and "fake.mp4" not in line and "answer_idx" not in line and "evidence" not in json.loads(line)
    )


def test_actions_are_rendered_where_no_texts_are_given():
    trajectory = record_episode(played(WRITTEN, EnvConfig(budget=default_budget())))
    assert trajectory.turns[1].text == render_action(parse_action(WRITTEN[1])) != WRITTEN[1]


def test_too_few_texts_are_refused():
    with pytest.raises(ValueError, match="4 texts for 5 turns"):
        record_episode(played(WRITTEN, EnvConfig(budget=default_budget())), WRITTEN[:4])


def test_frames_shown_with_the_question_are_recorded():
    trajectory = record_episode(played(["<answer>47</answer>"], EnvConfig(budget=paper_budget())))
    assert len(trajectory.prompt_frames) == 32 == len(trajectory.frames) and trajectory.calls == 0


def test_an_invalid_episode_is_recorded_up_to_where_it_broke():
    task = fake_task()
    episode = Episode(task.item, task.gold, FakeVideo(broken_from_s=300), EnvConfig(budget=default_budget()))
    episode.start()
    episode.apply(parse_action(WRITTEN[0]))
    with pytest.raises(DataError):
        episode.apply(parse_action(WRITTEN[1]))
    trajectory = record_episode(episode, WRITTEN[:2])
    assert len(trajectory.turns) == 1 and trajectory.invalid is not None
    assert (trajectory.stop, trajectory.correct, trajectory.reward, trajectory.calls) == (None, None, 0.0, 1)


def test_replaying_a_record_gives_the_same_record():
    trajectory = recorded()
    again = played([turn.text for turn in trajectory.turns], EnvConfig(budget=default_budget()))
    texts = [turn.text for turn in trajectory.turns]
    assert record_episode(again, texts, policy="me", seed=3, sample=1) == trajectory


def test_files_are_read_back_record_by_record(tmp_path: Path):
    path = tmp_path / "some.jsonl"
    records = [replace(recorded(), sample=sample) for sample in range(3)]
    write_trajectories(path, records)
    assert list(read_trajectories(path)) == records
    assert [child.name for child in tmp_path.iterdir()] == ["some.jsonl"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "some.jsonl"
    write_trajectories(path, [recorded()])
    with pytest.raises(ValueError, match="JSON compliant"):
        write_trajectories(path, [recorded(), replace(recorded(), reward=float("nan"))])
    assert list(read_trajectories(path)) == [recorded()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 2: this version reads schema 1"),
        ({"stop": "bored"}, "damaged trajectory"),
        ({"turns": None}, "damaged trajectory"),
        ({"turns": [{}]}, "damaged trajectory"),
        ({"mood": "good"}, "damaged trajectory"),
        ({"prompt_frames": [{"video_handle": "a"}]}, "damaged trajectory"),
    ],
)
def test_other_versions_and_damage_are_refused_in_one_line_with_file_and_line(
    tmp_path: Path, change: dict[str, object], message: str
):
    path = tmp_path / "some.jsonl"
    path.write_text(f"{recorded().to_json()}\n{json.dumps({**json.loads(recorded().to_json()), **change})}\n")
    with pytest.raises(DataError) as error:
        list(read_trajectories(path))
    assert message in str(error.value) and str(error.value).startswith(f"{path}:2: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("line", ["", "{", "[]", "3", '"schema"', "{}"])
def test_lines_that_are_no_record_are_refused(line: str):
    with pytest.raises(DataError, match="not a trajectory"):
        Trajectory.from_json(line)
