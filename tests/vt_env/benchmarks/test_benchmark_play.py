"""A benchmark question is played on a real video and scored from the journal."""

from pathlib import Path

import pytest

from experiments.cli import run
from vt_env.benchmarks.readers.registry import read_annotations
from vt_env.benchmarks.scoring.replies import replies_of
from vt_env.benchmarks.scoring.scoreboard import score
from vt_env.config import EnvConfig, MediaConfig
from vt_env.envs.base import make_episode
from vt_env.episode.trajectory import Trajectory, record_episode, write_trajectories
from vt_env.media.library import VideoLibrary
from vt_env.task_sources import load_tasks
from vt_env.tasks.task_set import TaskSet
from vt_env.types import Answer

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of NExT-GQA with one of its videos, which is another one in truth."""
    folder = tmp_path / "nextgqa"
    (folder / "NExTVideo").mkdir(parents=True)
    for name in ("val.csv", "gsub_val.json"):
        (folder / name).symlink_to(FIXTURES / "nextgqa" / name)
    (folder / "NExTVideo" / "10001787725.mp4").symlink_to(FIXTURES / "nasa_13013.mp4")
    return folder


@pytest.fixture
def tasks(copy: Path) -> TaskSet:
    with pytest.warns(UserWarning, match="1 of 567 videos"):
        return load_tasks(copy)


def play(tasks: TaskSet, library: VideoLibrary) -> list[Trajectory]:
    episodes = []
    for task in tasks:
        assert task.gold is not None
        episode = make_episode(task, library, EnvConfig())
        episode.start()
        episode.apply(Answer("ABCDE"[task.gold.answer_idx]))
        episodes.append(record_episode(episode, policy="oracle"))
    return episodes


def test_played_questions_are_scored_from_their_journal(
    tasks: TaskSet, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    episodes = play(tasks, VideoLibrary(MediaConfig(), tmp_path / "media"))
    assert all(episode.correct for episode in episodes)
    assert not any("10001787725" in episode.prompt_text for episode in episodes)
    board = score(read_annotations(copy), replies_of(episodes))
    assert (board.strict.value, board.replied, board.strict.name) == (100, len(tasks), f"Acc@QA[{len(tasks)}/3358]")
    write_trajectories(tmp_path / "journal.jsonl", episodes)
    out = ["--results-file", str(tmp_path / "results.json"), "--samples-file", str(tmp_path / "samples.jsonl")]
    assert run(["rescore", str(tmp_path), "--annotations", str(copy), *out]) == 0
    assert f"{len(tasks)} of 3358 questions have a reply" in capsys.readouterr().out
    assert len((tmp_path / "samples.jsonl").read_text().splitlines()) == len(tasks)
    assert run(["rescore", str(tmp_path), "--annotations", str(copy), "--submission-file", str(tmp_path / "s")]) == 2
    assert "no submission format is known" in capsys.readouterr().err
