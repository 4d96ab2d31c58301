"""A small world for the tests of whatever plays it: twelve videos of two to three minutes, seventy-two questions."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from vt_env.config import EnvConfig, MediaConfig, default_budget
from vt_env.media.library import VideoLibrary
from vt_env.prompts import TINY
from vt_env.tasks.task_set import TaskSet
from vt_env.world.script import WorldConfig
from vt_env.world.tasks import world_tasks

CONFIG = WorldConfig(
    duration_min_s=120, duration_max_s=180, scene_min_s=8, scene_max_s=14, facts=2, videos=12, tasks_per_video=6
)
"""Short scenes, so that a short video holds many and the first candidate is often a wrong one."""
CAPTIONS = EnvConfig("captions", default_budget(), prompts=TINY)
FRAMES = EnvConfig("frames", default_budget(), prompts=TINY)


@dataclass(frozen=True)
class SmallWorld:
    """Tasks and what opens their videos."""

    tasks: TaskSet
    library: VideoLibrary


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    """The small world; modules share its files, which are written when a video is first opened."""
    root: Path = tmp_path_factory.getbasetemp() / "small_world"
    return SmallWorld(world_tasks("train", config=CONFIG, root=root), VideoLibrary(MediaConfig(), root / "media"))
