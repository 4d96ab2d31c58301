"""The in-memory world equals the world of files: the same texts and search results, nearly the same pixels."""

import pickle
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from support.small_world import SmallWorld, small_world

from vt_env.errors import ConfigError, DataError
from vt_env.tasks.task_set import TaskSet
from vt_env.testing import conformance, fake_tasks, library_conformance
from vt_env.types import Box, Interval, VideoRef
from vt_env.world.in_memory import PaintedVideo, WorldLibrary, in_memory

__all__ = ["small_world"]


@pytest.fixture(scope="module")
def painted(small_world: SmallWorld) -> tuple[TaskSet, WorldLibrary]:
    return in_memory(small_world.tasks)


def both(small_world: SmallWorld, library: WorldLibrary) -> tuple[PaintedVideo, object]:
    task = small_world.tasks[0]
    task.prepare(task.item.video)
    return library.open(task.item.video), small_world.library.open(task.item.video)


def test_a_painted_video_says_and_shows_what_its_file_does(small_world, painted):
    ours, files = both(small_world, painted[1])
    assert ours.duration_s == files.duration_s and ours.ref == files.ref
    assert list(ours.captions) == list(files.captions) and list(ours.subtitles.lines) == list(files.subtitles.lines)
    moments_s = np.linspace(0, ours.duration_s - 1, 30).tolist()
    mine, stored = ours.frames_at(moments_s), files.frames_at(moments_s)
    assert np.array_equal(mine.pts_s, stored.pts_s)
    assert np.abs(mine.data.astype(int) - stored.data).mean() < 4
    part, cut = (video.crop(33.3, Box(0.1, 0.2, 0.6, 0.7)) for video in (ours, files))
    assert part.pts_s == cut.pts_s and np.abs(part.data.astype(int) - cut.data).mean() < 4


def test_a_painted_video_is_searched_as_its_file_is(small_world, painted):
    ours, files = both(small_world, painted[1])
    colours = {scene.colour for scene in small_world.tasks[0].prepare.script().scenes}
    for query in (*sorted(colours), "a blue and a green thing"):
        # Compression adds faint colours, so weak hits differ.
        mine, stored = ours.search_clips(query, 4)[0], files.search_clips(query, 4)[0]
        assert mine.interval.overlap_s(stored.interval) > 0 and abs(mine.score - stored.score) < 0.05
    assert ours.search_clips("nothing to see", 4) == []
    assert ours.subtitles.search("code", 3) == files.subtitles.search("code", 3)
    assert ours.subtitles.within(Interval(0, 20)) == files.subtitles.within(Interval(0, 20))


def test_both_keep_the_rules_of_libraries(small_world, painted):
    both(small_world, painted[1])
    for library in (small_world.library, painted[1]):
        library_conformance(library, small_world.tasks[0].item.video)


def test_no_file_is_written_and_the_rules_are_kept(tmp_path: Path, small_world):
    root = tmp_path / "nowhere"
    videos = {task.item.video.handle for task in small_world.tasks.head(2)}
    tasks = small_world.tasks.filter(lambda item: item.video.handle in videos)
    moved = TaskSet(tuple(replace(task, prepare=replace(task.prepare, folder=root)) for task in tasks))
    tasks, library = in_memory(moved)
    for perception in ("frames", "captions"):
        conformance(
            lambda perception=perception: gym.make(
                "vt_env/LongVideoQA-v0", tasks=tasks, library=pickle.loads(pickle.dumps(library)), perception=perception
            )
        )
    assert not root.exists() and tasks.validate(library) == []


def test_what_is_not_of_the_world_is_refused(painted):
    with pytest.raises(ConfigError, match="'fake/0': not about a generated video"):
        in_memory(fake_tasks())
    with pytest.raises(DataError, match="not among the 12 of this library"):
        painted[1].open(VideoRef("else", "else.mp4"))
    video = painted[1].open(painted[0][0].item.video)
    with pytest.raises(DataError, match="valid times are 0 to below"):
        video.frames_at([video.duration_s])
