"""The law of boxes (`tests/vt_env/test_box_law.py`) for what is made of a recorded episode.

Exports, replay and its storyboards, and the pictures that `vt-env play` and the viewer draw.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.place_videos import (
    BOXES,
    SPECS,
    Pixels,
    assert_law_of_all,
    assert_same_place,
    drawn_pictures,
    opened,
    replies_of_all,
    shapes,
    tasks,
)

from agents.rollout import run_episode
from experiments.evaluate.look_pictures import native_pictures
from experiments.evaluate.replay import differences
from experiments.settings.policies import Layout
from synth.export import FORMATS, export
from synth.frame_files import describe_pictures
from vt_env.config import EnvConfig, default_budget
from vt_env.envs.base import make_episode
from vt_env.episode.trajectory import Trajectory
from vt_env.tools.builtin import tools_for

__all__ = ["shapes"]


class Says:
    """Looks at a whole frame, then at each box, and answers."""

    def reset(self, *shown: object) -> None:
        """Begin."""
        self._texts = [*replies_of_all(), "<answer>A</answer>"]

    def act(self, observation: object) -> str:
        """Write the next text."""
        return self._texts.pop(0)


def played(folder: Path, name: str) -> Trajectory:
    episode = run_episode(
        Says(), make_episode(tasks(folder, name)[0], opened(folder), EnvConfig("frames", default_budget()))
    )
    assert len(episode.frames) == 1 + len(BOXES) and episode.correct
    return episode


def file_pictures(folder: Path, names: list[str]) -> list[Pixels]:
    return [np.asarray(Image.open(folder / it)) for it in names]


def exported(folder: Path, form: Any) -> list[Pixels]:
    if form == "datasets":
        from datasets import load_from_disk

        (row,) = load_from_disk(str(folder))
        return [np.asarray(it) for it in row["images"]]
    text = (folder / ("train.json" if form == "llama-factory" else "train.jsonl")).read_text()
    row = json.loads(text)[0] if form == "llama-factory" else json.loads(text)
    return file_pictures(folder, row["images"])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", SPECS)
def test_exports_hold_what_was_boxed(shapes: Path, tmp_path: Path, name: str, form: Any) -> None:
    if form == "datasets":
        pytest.importorskip("datasets")
    episode, video = played(shapes, name), opened(shapes).open(tasks(shapes, name)[0].item.video)
    pictures, _ = describe_pictures([episode], lambda handle: video)
    assert export(tmp_path / "x", form, [episode], pictures, lambda handle: video) == 1
    assert_law_of_all(exported(tmp_path / "x", form), name)


@pytest.mark.parametrize("name", SPECS)
def test_a_replay_shows_the_same_pictures_and_draws_what_was_boxed(shapes: Path, tmp_path: Path, name: str) -> None:
    episode = played(shapes, name)
    layout = Layout("frames", tools_for("frames"), default_budget())
    assert list(differences([episode], tasks(shapes, name), layout, opened(shapes), tmp_path)) == [None]
    assert all(it.frames_hash for it in episode.turns[:-1]), "compared by their pixels"
    (board,) = tmp_path.iterdir()
    frame, *crops = drawn_pictures(np.asarray(Image.open(board)), left_px=400)
    for picture, box in zip((frame, *crops), ((0, 0, 1, 1), *BOXES), strict=True):
        assert_same_place(picture, box, tolerance=0.06)


@pytest.mark.parametrize("name", SPECS)
def test_pictures_for_a_person_hold_what_was_boxed(shapes: Path, name: str) -> None:
    video = opened(shapes).open(tasks(shapes, name)[0].item.video)
    for turn, box in zip(played(shapes, name).turns, ((0, 0, 1, 1), *BOXES), strict=False):
        (picture,) = native_pictures(video.store.video, turn.frames)
        assert_same_place(np.asarray(picture), box)


@pytest.mark.parametrize("name", ["wide", "anamorphic", "rotated"])
def test_the_viewer_shows_what_the_policy_saw(shapes: Path, tmp_path: Path, name: str, monkeypatch: Any) -> None:
    from experiments.view.run_videos import RunVideos

    monkeypatch.setenv("VT_ENV_CACHE", str(shapes / "cache"))
    asked = {"video": str(shapes / f"{name}.mp4"), "question": "What?", "options": ["1", "2"], "answer": 0}
    (tmp_path / "tasks.jsonl").write_text(json.dumps({**asked, "task_id": name}) + "\n")
    videos = RunVideos({"tasks": str(tmp_path / "tasks.jsonl"), "encoder": "colours"})
    episode = played(shapes, name)
    shown = [videos.picture(episode, number) for number in range(1 + len(BOXES))]
    assert_law_of_all([np.asarray(Image.open(io.BytesIO(it))) for it in shown], name)
