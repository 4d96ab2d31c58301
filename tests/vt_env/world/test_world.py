"""Generated world: equal seeds give equal tasks, and the evidence answers every question."""

import hashlib
import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from vt_env.actions.read_answer import is_correct
from vt_env.errors import ConfigError
from vt_env.tasks.task_set import TaskSet
from vt_env.world.render import render_scene
from vt_env.world.script import WorldConfig, write_script
from vt_env.world.single_scene_questions import FAMILIES
from vt_env.world.tasks import world_tasks, world_videos
from vt_env.world.vocabulary import COLOURS

SMALL = WorldConfig(duration_min_s=60, duration_max_s=90, videos=3)
LONG = WorldConfig(videos=20)

DIGEST = """
import hashlib, json
from vt_env.world.script import WorldConfig
from vt_env.world.tasks import world_tasks
tasks = world_tasks("test", config=WorldConfig(videos=4))
facts = [[t.item.task_id, t.item.question, t.item.options, t.item.video.handle, t.gold.answer_idx, str(t.gold.evidence)]
         for t in tasks]
print(hashlib.sha256(json.dumps(facts).encode()).hexdigest())
"""


def test_the_same_seed_gives_the_same_tasks_in_another_process_and_hash_seed():
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "17")
    }
    assert len(digests) == 1


def test_splits_share_no_video():
    seeds = {split: {video.seed for video in world_videos(split, LONG)} for split in ("train", "val", "test")}
    assert not (seeds["train"] & seeds["test"] or seeds["train"] & seeds["val"] or seeds["val"] & seeds["test"])


def test_another_seed_has_other_videos_of_the_same_split():
    first, second = ({video.seed for video in world_videos("test", LONG, seed=seed)} for seed in (0, 1))
    assert len(first) == len(second) == LONG.videos and not first & second
    tasks = world_tasks("test", config=LONG, seed=1)
    assert {task.item.split for task in tasks} == {"test"} and len({task.item.task_id for task in tasks}) == len(tasks)
    with pytest.raises(ConfigError, match="seed=-1: a split holds"):
        world_videos("test", LONG, seed=-1)


def test_neighbouring_tasks_are_of_different_videos_and_families():
    head = world_tasks("test", config=LONG).head(20)
    assert len({task.item.video.handle for task in head}) == 20
    counts = [sum(task.item.family == family for task in head) for family in FAMILIES]
    assert max(counts) - min(counts) <= 1


def test_a_family_asks_the_same_questions_alone_as_among_the_others():
    together = {task.item.question for task in world_tasks("test", config=LONG) if task.item.family == "needle"}
    alone = {task.item.question for task in world_tasks("test", ["needle"], LONG)}
    assert together <= alone


@pytest.mark.parametrize("seed", range(20))
def test_every_scene_follows_the_last_and_differs_from_it_in_colour(seed: int):
    script = write_script(seed, WorldConfig())
    assert script.scenes[0].interval.start_s == 0
    assert script.scenes[-1].interval.end_s == script.duration_s
    for scene, after in itertools.pairwise(script.scenes):
        assert scene.interval.end_s == after.interval.start_s
        assert scene.colour != after.colour


@pytest.mark.parametrize("seed", range(20))
def test_spoken_lines_do_not_overlap(seed: int):
    lines = write_script(seed, WorldConfig()).subtitles
    for line, after in itertools.pairwise(lines):
        assert line.interval.end_s <= after.interval.start_s


def answerable(tasks: TaskSet) -> None:
    """Answer each question from the script inside its evidence and compare with the gold."""
    videos = {video.ref().handle: video for video in world_videos("test", LONG)}
    for task in tasks:
        script = videos[task.item.video.handle].script()
        (evidence,) = task.gold.evidence
        shown = [s for s in script.scenes if s.interval.contains(evidence.middle_s)]
        spoken = [line.text for line in script.subtitles if line.interval.overlap_s(evidence) > 0]
        number = spoken[0].split()[-1] if task.item.family == "subtitle" else str(shown[0].number)
        assert is_correct(number, task.item, task.gold), task.item.task_id
        assert 0 <= evidence.start_s < evidence.end_s <= script.duration_s


def test_every_question_is_answered_by_its_evidence():
    answerable(world_tasks("test", config=LONG))


def test_a_needle_is_in_the_video_once():
    scripts = {video.ref().handle: video.script() for video in world_videos("test", LONG)}
    for task in world_tasks("test", ["needle"], LONG):
        words = task.item.question.rstrip("?").split()[-2:]
        scenes = scripts[task.item.video.handle].scenes
        assert sum([scene.colour, scene.shape] == words for scene in scenes) == 1


def test_the_gold_option_is_found_at_every_letter_about_equally_often():
    tasks = world_tasks("test", config=WorldConfig(videos=60))
    counts = np.bincount([task.gold.answer_idx for task in tasks], minlength=4)
    assert np.all(np.abs(counts / len(tasks) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / len(tasks)))


def test_a_video_is_written_once_and_whole(tmp_path):
    video = world_videos("test", SMALL, tmp_path)[0]
    video(video.ref())
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in video.folder.iterdir()}
    video(video.ref())
    assert set(files) == {"video.mp4", "subtitles.srt", "captions.jsonl"}
    assert files == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in video.folder.iterdir()}
    assert [path.name for path in video.folder.parent.iterdir() if path.suffix != ".lock"] == [video.folder.name]


def test_the_frame_on_screen_shows_the_scene_of_that_time(tmp_path):
    from vt_env.media.decode.video_file import open_video

    video = world_videos("test", SMALL, tmp_path)[0]
    video(video.ref())
    scenes = video.script().scenes
    frames = open_video(video.ref().path).frames_at([scene.interval.middle_s for scene in scenes])
    for scene, frame in zip(scenes, frames.data, strict=True):
        painted = render_scene(scene, SMALL.size_px)
        assert np.abs(frame.astype(int) - painted).mean() < 4
        colour = np.abs(frame.astype(int) - COLOURS[scene.colour]).sum(axis=-1)
        assert (colour < 60).mean() > 0.02


def test_captions_name_what_each_scene_shows(tmp_path):
    video = world_videos("test", SMALL, tmp_path)[0]
    video(video.ref())
    lines = [json.loads(line) for line in (video.folder / "captions.jsonl").read_text().splitlines()]
    assert [line["text"] for line in lines] == [scene.caption for scene in video.script().scenes]


def test_an_unknown_split_or_family_names_the_allowed_ones():
    with pytest.raises(ConfigError, match="'train', 'val', 'test'"):
        world_tasks("dev")
    with pytest.raises(ConfigError, match="needle, subtitle, reference"):
        world_tasks("test", ["riddle"])
