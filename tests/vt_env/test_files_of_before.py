"""Journals, data sets and stores of commit 1ea590b are read as they were written; `fixtures/before` holds them."""

import importlib.util
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from agents.backends.chat_wire import Usage
from agents.backends.paid_replies import ReplyJournal
from experiments.analysis.episode_facts import read_facts
from experiments.data.video_paths import video_ref
from experiments.runs.journal import read_journal
from experiments.runs.read_run import wall_s
from synth.dataset import read_dataset
from vt_env.config import MediaConfig
from vt_env.episode.reply_record import TokenUse
from vt_env.episode.trajectory import Trajectory, read_trajectories
from vt_env.media.cache_eviction import find_faults
from vt_env.media.library import VideoLibrary
from vt_env.types import FrameRef, Interval, StopReason

FIXTURES = Path(__file__).parents[1] / "fixtures"
BEFORE = FIXTURES / "before"
JOURNALS = sorted(it.relative_to(BEFORE) for it in (*BEFORE.glob("*/journal.jsonl"), *BEFORE.glob("*/dataset/traj*")))
RUNS = {
    "eval-random": [("52", False, 1), ("12", False, 7), ("71", False, 4), ("81", False, 4)],
    "eval-oracle": [("44", True, 1), ("21", True, 1), ("24", True, 1), ("82", True, 1)],
    "eval-gated": [("B", False, 2), ("B", False, 2)],
}
"""Answer, verdict and calls of each task, in the order of tasks' ids."""
TASKS = ["world-train-00000000-0", "world-train-00000001-0", "world-train-00000000-1", "world-train-00000001-1"]


def plain(value: Any) -> Any:
    """Turn a record into what JSON gives back, without the record's own reader or writer."""
    return json.loads(json.dumps(value, default=asdict))


def holds(found: Any, written: Any) -> bool:
    """Tell whether everything that was written is there; fields that came later may be there too."""
    if isinstance(written, dict):
        return isinstance(found, dict) and all(name in found and holds(found[name], it) for name, it in written.items())
    if isinstance(written, list):
        return len(found) == len(written) and all(map(holds, found, written))
    return bool(found == written)


def written(line: str) -> Any:
    """Read a line as JSON; frames were squares then, named by their side."""
    return json.loads(line, object_hook=with_size)


def with_size(row: dict[str, Any]) -> dict[str, Any]:
    side_px = row.pop("frame_px", None)
    return row if side_px is None else {**row, "size_px": [side_px, side_px]}


@pytest.mark.parametrize("journal", JOURNALS, ids=str)
def test_every_field_of_every_line_is_read_and_written_again(journal: Path):
    lines = (BEFORE / journal).read_text().splitlines()
    episodes = list(read_trajectories(BEFORE / journal))
    assert len(episodes) == len(lines) > 0
    for episode, line in zip(episodes, lines, strict=True):
        assert holds(plain(episode), written(line))
        assert holds(json.loads(episode.to_json()), written(line))
        assert Trajectory.from_json(episode.to_json()) == episode


@pytest.mark.parametrize("run", RUNS)
def test_an_evaluation_has_the_answers_and_verdicts_of_then(run: str):
    episodes = {it.task_id: it for it in read_journal(BEFORE / run)}
    found = [(it.answer, it.correct, it.calls) for it in (episodes[name] for name in TASKS if name in episodes)]
    assert found == RUNS[run] and len(episodes) == len(found)
    assert all(it.stop is StopReason.ANSWERED and it.reward == float(bool(it.correct)) for it in episodes.values())
    assert {it.policy for it in episodes.values()} == {run.removeprefix("eval-")}
    assert len(read_facts(BEFORE / run)) == len(found) and wall_s(BEFORE / run) > 0


def test_replies_gates_and_frames_are_records_again():
    first = read_journal(BEFORE / "eval-gated")[0]
    assert first.tokens == TokenUse(question=50, results=0, images=None, replies=18, read=180)
    gate = first.gate
    assert gate is not None and (gate.route, gate.accepted, round(gate.confidence or 0, 9)) == ("uniform", False, 0.6)
    assert first.prompt_frames[0] == FrameRef("e8b0c5b165a5c646", 9.0, None, (112, 112)) and len(first.frames) == 12
    assert first.turns[0].viewed == (Interval(60.0, 80.0),)
    assert first.turns[-1].text == "Größe → 47\n<answer>B</answer>"


def test_a_data_set_is_whole():
    folder = BEFORE / "synth" / "dataset"
    assert [(it.task_id, it.answer, it.correct, it.calls) for it in read_dataset(folder)] == [
        ("world-train-00000000-0", "44", True, 2),
        ("world-train-00000001-0", "21", True, 1),
        ("world-train-00000000-1", "24", True, 1),
        ("world-train-00000001-1", "82", True, 2),
    ]


def test_replies_that_were_paid_for_are_known(tmp_path: Path):
    for name, replies, tokens in (("teacher", 4, 200), ("captioner", 2, 160)):
        path = Path(shutil.copy(BEFORE / "synth-served" / f"{name}_replies.jsonl", tmp_path))
        used = ReplyJournal(path, "fake").used
        assert used == Usage(prompt_tokens=tokens, completion_tokens=used.completion_tokens, tries=replies)
        assert path.read_bytes() == (BEFORE / "synth-served" / path.name).read_bytes()


def find_old(store: Path) -> set[str]:
    """Names of the entries that are reported as of another version."""
    return {fault.path.name for fault in find_faults(store) if "written by version 3" in fault.defect}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BEFORE / "store", tmp_path / "store"))


def contents(folder: Path) -> dict[Path, bytes]:
    return {it: it.read_bytes() for it in folder.rglob("*") if it.is_file()}


@pytest.mark.parametrize(
    ("video", "duration_s", "subtitles"),
    [(FIXTURES / "nasa_13013.mp4", 13.013, [0.21, 4.26, 8.35, 12.47]), (BEFORE / "talk.mp4", 5.0, [0.34])],
    ids=["nasa", "talk"],
)
def test_a_transcript_is_used_and_a_store_of_square_frames_is_left_alone_and_made_anew(
    store: Path, video: Path, duration_s: float, subtitles: list[float]
):
    can_hear = importlib.util.find_spec("faster_whisper") is not None
    before, stored, heard = contents(store), list[float](), list[float]()
    library = VideoLibrary(MediaConfig(), store, "colours", transcribe=can_hear)
    opened = library.open(video_ref(video), stored.append, heard.append)
    assert stored[-1] == 1.0 and heard == []
    assert {it: (store / it).read_bytes() for it in before} == before
    assert opened.duration_s == duration_s
    height, width = opened.frames_at([0.0, 2.0, 4.0]).data.shape[1:3]
    assert (width, height) == MediaConfig().frame_size_px(opened.size_px)
    assert find_old(store) == {it.parent.name for it in before if it.name == "meta.json"}
    if can_hear or video.name != "talk.mp4":
        assert [line.interval.start_s for line in opened.subtitles.lines] == subtitles
    assert opened.index is not None and opened.search_clips("something red", 1) is not None
