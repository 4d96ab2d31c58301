"""Trajectories: what is written is read back, other versions and damage are refused, and replaying gives the same."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vt_env.actions.parse import parse_action, render_action
from vt_env.budget.remaining import Remaining
from vt_env.config import EnvConfig, default_budget, paper_budget
from vt_env.episode.episode import Episode
from vt_env.episode.trajectory import (
    CallRecord,
    FrameRef,
    GateRecord,
    ReplyEnd,
    ReplyRecord,
    TokenUse,
    Trajectory,
    TurnRecord,
    read_trajectories,
    record_episode,
    write_trajectories,
)
from vt_env.errors import DataError
from vt_env.hashing import frames_hash
from vt_env.testing import FakeVideo, fake_task
from vt_env.types import Answer, Box, FrameBatch, Interval, StopReason, ToolCall

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


@pytest.mark.parametrize("number", ["1" + "0" * 400, "-1" + "0" * 30, "1e400", "NaN"])
def test_a_number_that_no_record_holds_is_malformed(number: str):
    written = [
        f'<tool_call>{{"name": "spatial_zoom", "arguments": {{"time_s": {number}, "box": [0, 0, 1, 1]}}}}</tool_call>'
    ]
    record = record_episode(played(written, EnvConfig(budget=default_budget())), written)
    assert record.errors == ("malformed",)
    assert Trajectory.from_json(record.to_json()) == record


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_a_box_of_numpy_s_numbers_is_shown_recorded_and_scored(kind: type):
    task = fake_task()
    episode = Episode(task.item, task.gold, FakeVideo(), EnvConfig(budget=default_budget()))
    episode.start()
    episode.apply(ToolCall("spatial_zoom", {"time_s": np.int64(330), "box": (kind(0), kind(0.25), kind(0.5), kind(1))}))
    episode.apply(Answer("47"))
    record = record_episode(episode)
    assert (record.invalid, record.correct, record.errors) == (None, True, ())
    assert Trajectory.from_json(record.to_json()) == record


@pytest.mark.parametrize("number", [10**400, -(2**63) - 1, float("nan"), np.float32("inf")])
def test_a_number_of_a_program_that_no_record_holds_is_malformed(number: float):
    episode = Episode(fake_task().item, None, FakeVideo(), EnvConfig(budget=default_budget()))
    episode.start()
    episode.apply(ToolCall("spatial_zoom", {"time_s": number, "box": [0, 0, 1, 1]}))
    record = record_episode(episode)
    assert record.errors == ("malformed",)
    assert Trajectory.from_json(record.to_json()) == record


TEXT = st.text(max_size=20)
TIMES = st.floats(0, 1e5)
INTERVALS = st.tuples(TIMES, st.floats(0.5, 100)).map(lambda it: Interval(it[0], it[0] + it[1]))
BOXES = st.sampled_from([None, Box(0, 0, 1, 1), Box(0.1, 0.2, 0.3, 0.4)])
SIZES = st.tuples(st.integers(1, 999), st.integers(1, 999))
FRAMES = st.lists(st.builds(FrameRef, TEXT, TIMES, BOXES, SIZES), max_size=3).map(tuple)
VALUES = TEXT | st.integers() | st.booleans() | TIMES | st.lists(TIMES, max_size=3)
CALLS = st.none() | st.builds(CallRecord, TEXT, st.dictionaries(TEXT, VALUES, max_size=3))
COUNTS = st.none() | st.integers(0, 9999)
LOGPROBS = st.none() | st.floats(-30, 0)
REPLIES = st.builds(
    ReplyRecord, st.sampled_from(ReplyEnd), COUNTS, COUNTS, COUNTS, LOGPROBS, LOGPROBS, COUNTS, TIMES, st.none() | TIMES
)
GATES = st.builds(
    GateRecord, TEXT, TEXT, st.none() | st.floats(0, 1), st.floats(0, 2), st.booleans(), st.none() | REPLIES
)
TURNS = st.builds(
    TurnRecord, TEXT, CALLS, TEXT, FRAMES, st.lists(INTERVALS, max_size=2).map(tuple), st.none() | TEXT, TEXT,
    st.none() | REPLIES, st.none() | GATES,
)  # fmt: skip
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
    prompt_frames_hash=TEXT,
    limit=st.none() | TEXT,
    provenance=TEXT,
    wall_s=st.none() | TIMES,
)


@given(TRAJECTORIES)
def test_a_record_is_one_ascii_line_and_is_read_back(trajectory: Trajectory):
    line = trajectory.to_json()
    assert line.isascii() and "\n" not in line
    assert Trajectory.from_json(line) == trajectory


@given(TRAJECTORIES)
def test_without_times_a_record_is_the_same_whatever_the_clock_said(trajectory: Trajectory):
    bare = trajectory.without_times()
    assert bare.latency_s == 0 and bare.wall_s is None
    assert (bare.cost_usd, bare.tokens, bare.ended) == (trajectory.cost_usd, trajectory.tokens, trajectory.ended)


def test_a_record_of_before_replies_were_recorded_is_read():
    row = json.loads(recorded().to_json())
    for name in ("prompt_frames_hash", "limit", "provenance", "wall_s"):
        del row[name]
    for turn in row["turns"]:
        for name in ("frames_hash", "reply", "gate"):
            del turn[name]
    assert Trajectory.from_json(json.dumps(row)) == recorded()


def said(prompt: int, images: int | None, reply: int, **more) -> ReplyRecord:
    return ReplyRecord(prompt_tokens=prompt, image_tokens=images, completion_tokens=reply, **more)


def with_replies(*turns: tuple[ReplyRecord | None, GateRecord | None]) -> Trajectory:
    whole = recorded()
    told = [replace(turn, reply=reply, gate=gate) for turn, (reply, gate) in zip(whole.turns, turns, strict=False)]
    return replace(whole, turns=tuple(told))


def test_tokens_are_counted_once_by_role_and_as_often_as_they_are_read():
    played = with_replies((said(100, 0, 10), None), (said(150, 32, 5), None))
    # 150 tokens before the second reply: 100 of the question, 10 of the reply, 40 of the result, 32 of them an image.
    assert played.tokens == TokenUse(question=100, results=8, images=32, replies=15, read=250)


def test_a_direct_answer_that_was_turned_down_is_paid_for_and_is_no_part_of_the_conversation():
    gate = GateRecord("uniform", "A", 0.4, 0.7, False, said(90, 64, 3, cost_usd=0.5, latency_s=1.0))
    played = with_replies((said(100, 64, 10, cost_usd=1.0, latency_s=2.0), gate))
    assert played.tokens == TokenUse(question=36, results=0, images=64, replies=13, read=190)
    assert (played.cost_usd, played.latency_s, played.gate) == (1.5, 3.0, gate)


def test_a_direct_answer_that_was_accepted_is_counted_once():
    direct = said(90, 64, 3, cost_usd=0.5)
    played = with_replies((direct, GateRecord("uniform", "A", 0.9, 0.7, True, direct)))
    assert (played.tokens.read, played.tokens.replies, played.cost_usd) == (90, 3, 0.5)


def test_what_a_backend_does_not_tell_is_not_zero():
    assert with_replies().tokens is None and with_replies().confidence is None
    assert with_replies((said(100, None, 10), None)).tokens == TokenUse(100, 0, None, 10, 100)


def test_confidence_is_the_geometric_mean_of_the_answer_s_token_probabilities():
    assert ReplyRecord(answer_logprob=(math.log(0.9) + math.log(0.4)) / 2).confidence == pytest.approx(0.6)


def test_equal_frames_have_one_hash_and_any_change_another():
    frames = FakeVideo().frames_at([3.0, 9.0])
    changed = FrameBatch(frames.data.copy(), frames.pts_s)
    changed.data[0, 0, 0, 0] ^= 1
    later = FrameBatch(frames.data, frames.pts_s + 1)
    assert frames_hash(frames) == frames_hash(FakeVideo().frames_at([3.0, 9.0]))
    assert len({frames_hash(frames), frames_hash(changed), frames_hash(later), frames_hash(None)}) == 4


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
        len(line) < 6000 and "fake.mp4" not in line and "answer_idx" not in line and "evidence" not in json.loads(line)
    )


def test_actions_are_rendered_where_no_texts_are_given():
    trajectory = record_episode(played(WRITTEN, EnvConfig(budget=default_budget())))
    assert trajectory.turns[1].text == render_action(parse_action(WRITTEN[1])) != WRITTEN[1]


def test_too_few_texts_are_refused():
    with pytest.raises(ValueError, match="4 texts for 5 replies"):
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
        ({"correct": "yes"}, "damaged trajectory"),
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
