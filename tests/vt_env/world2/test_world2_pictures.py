"""Videos of the second world, in memory and in files: pixels, searches, captions of the world and of others."""

import numpy as np
import pytest

from vt_env.config import MediaConfig
from vt_env.errors import ConfigError
from vt_env.media.library import VideoLibrary
from vt_env.tasks.task_set import TaskSet
from vt_env.testing import library_conformance
from vt_env.types import Box
from vt_env.world.in_memory import WorldLibrary, in_memory
from vt_env.world.vocabulary import COLOURS
from vt_env.world2.config import World2Config
from vt_env.world2.layout import flash_box, main_box
from vt_env.world2.scenes import SINGLE, TRIPLE
from vt_env.world2.script import Burst, Flash
from vt_env.world2.tasks import World2Video, with_views, world2_tasks, world2_videos

ONE_SHORT = World2Config(videos=1, duration_max_s=600)


@pytest.fixture(scope="module")
def painted() -> tuple[TaskSet, WorldLibrary]:
    return in_memory(world2_tasks("train", config=ONE_SHORT))


def video_of_first() -> World2Video:
    """The video of `painted`."""
    return world2_videos("train", ONE_SHORT)[0]


def test_pixels_show_a_flash_to_a_closer_look_alone_and_a_burst_in_its_box(painted):
    tasks, library = painted
    video = library.open(tasks[0].item.video)
    script = video_of_first().script()
    whole = Box(0, 0, 1, 1)

    def changed(one: np.ndarray, other: np.ndarray, box: Box) -> tuple[float, float]:
        difference = np.abs(one.astype(int) - other).sum(axis=2) > 60
        rows, columns = np.nonzero(difference)
        inside = (
            (columns >= 112 * box.left - 2) & (columns <= 112 * box.right + 2)
            & (rows >= 112 * box.top - 2) & (rows <= 112 * box.bottom + 2)
        )  # fmt: skip
        return len(rows), inside.mean() if len(rows) else 1.0

    for cue in script.cues:
        start_s = cue.event.interval.start_s
        if isinstance(cue.event, Flash):
            still, during = video.crop(start_s - 1, whole).data[0], video.crop(start_s, whole).data[0]
            count, share = changed(still, during, flash_box(cue.scene, cue.event.kind))
            assert count > 300 and share == 1
            stored = video.frames_at([start_s - 1, start_s, start_s + 0.5]).data
            assert np.array_equal(stored[0], stored[1]) and np.array_equal(stored[1], stored[2])
        if isinstance(cue.event, Burst):
            before, during = video.frames_at([cue.line.interval.end_s, cue.line.interval.end_s + 1]).data
            assert changed(before, during, Box(0, 0, 1, 1))[0] > 30


def test_a_box_holds_all_of_its_shape_and_no_more():
    for scene in video_of_first().script().of_role(SINGLE)[:4]:
        picture = next(it.picture for it in video_of_first().content().shots if it.start_s == scene.interval.start_s)
        rgb = picture.paint(448).astype(int)
        rows, columns = np.nonzero(np.abs(rgb - COLOURS[scene.main.kind[0]]).sum(axis=2) < 6)
        box = main_box(scene)
        found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert np.abs(np.array(found) / 448 - (box.left, box.top, box.right, box.bottom)).max() < 0.006


def test_a_search_for_a_rare_colour_finds_its_three_scenes(painted):
    tasks, library = painted
    script = video_of_first().script()
    video = library.open(tasks[0].item.video)
    scenes = script.of_role(TRIPLE)
    found = video.search_clips(f"{scenes[0].main.name}", 8)
    assert all(any(it.interval.overlap_s(scene.interval) >= 5 for it in found) for scene in scenes)


def test_files_hold_what_the_video_in_memory_holds(tmp_path):
    config = World2Config(videos=1, duration_min_s=540, duration_max_s=545, size_px=112, detail_px=5)
    (task, *_) = world2_tasks("val", config=config, root=tmp_path)
    task.prepare(task.item.video)
    files = VideoLibrary(MediaConfig(), tmp_path / "media")
    ours = in_memory(TaskSet((task,)))[1]
    for ref in (task.item.video, with_views(TaskSet((task,)))[0].item.video):
        mine, theirs = ours.open(ref), files.open(ref)
        assert list(mine.captions) == list(theirs.captions)
        assert list(mine.subtitles.lines) == list(theirs.subtitles.lines)
    flash = next(cue for cue in world2_videos("val", config)[0].script().cues if isinstance(cue.event, Flash))
    for time_s in (flash.event.interval.start_s, flash.event.interval.start_s - 0.5):
        one, other = (it.crop(time_s, Box(0, 0, 1, 1)).data.astype(int) for it in (mine, theirs))
        assert np.abs(one - other).mean() < 5


def test_videos_in_memory_keep_the_rules_of_libraries_and_hold_all_evidence(painted):
    tasks, library = painted
    library_conformance(library, tasks[0].item.video)
    assert tasks.validate(library) == []


def test_captions_by_others_take_the_place_of_the_world_s(painted, tmp_path):
    tasks, library = painted
    handle = tasks[0].item.video.handle
    with pytest.raises(ConfigError, match=f"1 of 1 videos have none; write {handle}.jsonl"):
        tasks.with_captions(tmp_path)
    (tmp_path / f"{handle}.jsonl").write_text('{"start_s": 0, "end_s": 10, "text": "a red thing"}\n')
    other = tasks.with_captions(tmp_path)
    assert [it.text for it in library.open(other[0].item.video).captions] == ["a red thing"]
    assert len(library.open(tasks[0].item.video).captions) == 60
