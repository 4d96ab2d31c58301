"""Golden digests of the second world, which models are trained on.

To renew a digest, which means that models must be trained again: print the left side of the comparison that fails.
"""

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from vt_env.task_sources import load_tasks
from vt_env.world.write_files import captions_text
from vt_env.world2.captions import write_captions, write_views
from vt_env.world2.config import World2Config
from vt_env.world2.tasks import World2Video, world2_videos


def digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("name", "split", "expected"),
    [
        ("world2", "train", "a25c989053a4af88"),
        ("world2", "val", "caf45cadb323ab96"),
        ("world2", "test", "36f5ab181676553f"),
    ],
)
def test_the_tasks_are_those_that_models_are_trained_on(name: str, split: str, expected: str):
    facts = [
        [
            task.item.task_id, task.item.question, task.item.options, task.item.family, task.item.video.handle,
            task.gold and [task.gold.answer_idx, [[it.start_s, it.end_s] for it in task.gold.evidence]],
        ]
        for task in load_tasks(name, split)
    ]  # fmt: skip
    assert digest(facts) == expected


@pytest.fixture(scope="module")
def video() -> World2Video:
    return world2_videos("test", World2Config())[0]


def test_the_first_script_is_spoken_captioned_and_viewed_as_before(video: World2Video):
    script = video.script()
    spoken = [[line.interval.start_s, line.interval.end_s, line.text] for line in script.subtitles]
    views = [[line.interval.start_s, line.interval.end_s, line.text] for line in write_views(script, video.config)]
    assert digest([script.duration_s, spoken, captions_text(write_captions(script)), views]) == "aa4c65ff707f0c57"


def test_the_first_pictures_are_painted_as_before(video: World2Video):
    """Exact for the pinned Pillow and NumPy; another version may draw another last bit."""
    painted = [shot.picture.paint(448) for shot in video.content().shots[:8]]
    assert hashlib.sha256(np.stack(painted).tobytes()).hexdigest()[:16] == "856b9de2a9d0bfb8"
