"""Thresholds of the gate and calibration, computed from a journal."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.analysis.gate_sweep import calibration, direct_answers, sweep
from experiments.cli import run as command
from experiments.runs.read_run import CONFIG, JOURNAL
from vt_env.budget.remaining import Remaining
from vt_env.episode.reply_record import GateRecord, ReplyRecord
from vt_env.episode.trajectory import Trajectory, TurnRecord, write_trajectories
from vt_env.testing import fake_task
from vt_env.types import FrameRef, StopReason

COUNT = 40


def gated(number: int, confidence: float, direct_right: bool, tools_right: bool) -> Trajectory:
    """A gated episode whose direct answer was turned down: 4 frames before it, 6 after it."""
    task = fake_task(task_id=f"task-{number:02d}")
    frames = tuple(FrameRef("fake", float(second), None, (32, 32)) for second in range(10))
    reply = ReplyRecord(prompt_tokens=100, image_tokens=64, completion_tokens=10)
    record = GateRecord("uniform", f"<answer>{'B' if direct_right else 'A'}</answer>", confidence, 2.0, False, reply)
    turns = (
        TurnRecord("look", None, "Frames.", frames=frames[4:], reply=replace(reply, prompt_tokens=200), gate=record),
        TurnRecord("<answer>", None, "The episode is over.", reply=replace(reply, prompt_tokens=300)),
    )
    return Trajectory(
        task_id=task.item.task_id, video_handle=f"video-{number % 10}", question="", options=task.item.options,
        prompt_text="", perception="frames", turns=turns, remaining=Remaining(0, 0), stop=StopReason.ANSWERED,
        correct=tools_right, prompt_frames=frames[:4], policy="gated",
    )  # fmt: skip


@pytest.fixture
def episodes() -> list[Trajectory]:
    """Direct answers that are right exactly where they are sure; tools that are right three times in four."""
    return [gated(n, n / COUNT, direct_right=n >= COUNT // 2, tools_right=n % 4 != 0) for n in range(COUNT)]


TASKS = {f"task-{n:02d}": fake_task(task_id=f"task-{n:02d}") for n in range(COUNT)}


def test_each_threshold_takes_the_direct_answer_or_what_came_of_the_tools(episodes):
    rows = {row.tau: row for row in sweep(direct_answers(episodes, TASKS), seed=0, taus=(0.0, 0.5, 2.0))}
    assert [rows[tau].accepted for tau in (0.0, 0.5, 2.0)] == [1.0, 0.5, 0.0]
    assert [rows[tau].accuracy for tau in (0.0, 0.5, 2.0)] == [0.5, 0.875, 0.75]
    assert [rows[tau].accepted_accuracy for tau in (0.0, 0.5, 2.0)] == [0.5, 1.0, None]
    assert [rows[tau].frames for tau in (0.0, 0.5, 2.0)] == [4.0, 7.0, 10.0]
    assert rows[0.0].tokens == 110 and rows[2.0].tokens == 100 + 200 + 300 + 30
    assert all(row.ci95[0] <= row.accuracy <= row.ci95[1] for row in rows.values())


def test_the_order_of_episodes_changes_nothing(episodes):
    assert sweep(direct_answers(episodes, TASKS), 0) == sweep(direct_answers(episodes[::-1], TASKS), 0)


def test_calibration_is_perfect_where_confidence_is_the_share_of_right_answers_and_bad_where_it_is_its_reverse():
    points = [(share / 10 + 0.05, number < share + 0.5) for share in range(10) for number in range(10)]
    bins, error = calibration(points)
    assert [it.n for it in bins] == [10] * 10 and error == pytest.approx(0.05)
    assert calibration([(confidence, not right) for confidence, right in points])[1] > 0.4
    assert calibration([(1.0, True)])[0][0].high == 1.0, "full confidence falls into the last bin"


def test_the_command_prints_the_table_and_draws_two_pictures(episodes, tmp_path: Path, capsys):
    tasks = [
        {"video": str(Path(__file__).parents[1] / "fixtures/nasa_13013.mp4"), "question": "which?", "answer": 1,
         "options": list(it.item.options), "task_id": name} for name, it in TASKS.items()
    ]  # fmt: skip
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tasks))
    config = {"run": "eval", "agent": "gated", "tasks": str(tmp_path / "tasks.jsonl"), "split": "test"}
    (tmp_path / CONFIG).write_text(json.dumps(config))
    write_trajectories(tmp_path / JOURNAL, episodes)
    assert command(["sweep", str(tmp_path), "--json-file", str(tmp_path / "sweep.json")]) == 0
    said = capsys.readouterr().out
    assert "| 0.5 | 0.50 | 0.88 |" in said and "| never | 0.00 | 0.75 |" in said
    assert "calibration: n = 40 answers" in said
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"sweep.png", "calibration.png"}
    assert len(json.loads((tmp_path / "sweep.json").read_text())["sweep"]) == 13


def test_a_run_without_confidences_is_refused(episodes, tmp_path: Path, capsys):
    config = {"run": "eval", "agent": "random", "tasks": "world", "split": "test"}
    (tmp_path / CONFIG).write_text(json.dumps(config))
    write_trajectories(tmp_path / JOURNAL, [replace(it, turns=it.turns[1:]) for it in episodes])
    assert command(["sweep", str(tmp_path)]) == 2
    assert "no answer has a confidence" in capsys.readouterr().err
