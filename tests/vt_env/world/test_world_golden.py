"""Golden digests of the default world, which models were trained on.

To renew a digest, which means that models must be trained again: print the left side of the comparison that fails.
"""

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from vt_env.task_sources import load_tasks
from vt_env.world.render import render_scene
from vt_env.world.script import WorldConfig
from vt_env.world.tasks import WorldVideo, world_videos
from vt_env.world.write_files import write_files

HEAD = 120


def digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("name", "split", "expected"),
    [
        ("world", "train", "9a36d67e7ac09e7c"),
        ("world", "test", "d7b32ab064802b44"),
        ("world/needle", "test", "37dd764833aa40bc"),
    ],
)
def test_the_default_tasks_are_those_that_models_were_trained_on(name: str, split: str, expected: str):
    tasks = load_tasks(name, split).head(HEAD)
    facts = [
        [
            task.item.task_id, task.item.question, task.item.options, task.item.family, task.item.video.handle,
            task.gold and [task.gold.answer_idx, [[it.start_s, it.end_s] for it in task.gold.evidence]],
        ]
        for task in tasks
    ]  # fmt: skip
    assert digest(facts) == expected


@pytest.fixture(scope="module")
def video() -> WorldVideo:
    return world_videos("test", WorldConfig(), None)[0]


def test_the_default_script_is_spoken_and_captioned_as_before(video: WorldVideo):
    script = video.script()
    shown = [[scene.interval.start_s, scene.caption, scene.look_seed] for scene in script.scenes]
    spoken = [[line.interval.start_s, line.interval.end_s, line.text] for line in script.subtitles]
    assert digest([script.duration_s, shown, spoken]) == "107484f8f97b8fb4"


def test_the_default_scenes_are_painted_as_before(video: WorldVideo):
    """Exact for the pinned Pillow and NumPy; another version may draw another last bit."""
    painted = [render_scene(scene, WorldConfig().size_px) for scene in video.script().scenes[:8]]
    assert hashlib.sha256(np.stack(painted).tobytes()).hexdigest()[:16] == "df73683af9df82fa"


def test_the_default_files_hold_what_they_held_before(tmp_path):
    config = WorldConfig(duration_min_s=60, duration_max_s=90)
    video = world_videos("test", config, tmp_path)[0]
    write_files(video.script(), config, video.folder)
    names = ("subtitles.srt", "captions.jsonl")
    assert digest([(video.folder / name).read_text(encoding="utf-8") for name in names]) == "ad35ad62f54adc63"
