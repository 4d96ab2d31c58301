"""Tasks of the second world: generated from seeds; the video files are written when a video is first opened."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from vt_env.gold import Gold
from vt_env.media.cache.build_once import cache_root
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.types import Item, VideoRef
from vt_env.world.content import CAPTIONS_FILE, SUBTITLES_FILE, VIDEO_FILE, VideoContent
from vt_env.world.splits import FIRST_SEEDS, video_seeds
from vt_env.world.write_files import write_content
from vt_env.world2.captions import write_captions, write_views
from vt_env.world2.config import FRAME_RATE_HZ, World2Config
from vt_env.world2.families import ALL, ALL_FAMILIES, FAMILIES, check_family
from vt_env.world2.narration import write_script
from vt_env.world2.question import OPTIONS, World2Question
from vt_env.world2.script import SCRIPT_VERSION, WORLD, VideoScript
from vt_env.world2.shots import write_shots

VIEWS_FILE = "views.jsonl"
"""File of the views of a flawless reader, beside the captions; see `vt_env.world2.captions`."""
_QUESTIONS, _LETTERS = 10, 11
"""Purposes of seeds, besides those of `vt_env.world2.narration`."""


@dataclass(frozen=True)
class World2Video:
    """One video of the second world; calling it writes its files, as `Task.prepare` requires."""

    seed: int
    config: World2Config
    folder: Path

    def script(self) -> VideoScript:
        """Generate the script of the video."""
        return write_script(self.seed, self.config.duration_min_s, self.config.duration_max_s)

    def content(self) -> VideoContent:
        """Generate the content of the video."""
        script, config = self.script(), self.config
        return VideoContent(
            script.duration_s,
            config.size_px,
            FRAME_RATE_HZ,
            config.keyframe_every_s,
            write_shots(script, config.detail_px),
            script.subtitles,
            {CAPTIONS_FILE: partial(write_captions, script), VIEWS_FILE: partial(write_views, script, config)},
        )

    def ref(self) -> VideoRef:
        """Return the reference to the files, which need not exist yet."""
        return VideoRef(
            handle=hashlib.blake2b(f"world2/{_key(self.config)}/{self.seed}".encode(), digest_size=8).hexdigest(),
            path=str(self.folder / VIDEO_FILE),
            subtitles_path=str(self.folder / SUBTITLES_FILE),
            captions_path=str(self.folder / CAPTIONS_FILE),
            world=WORLD,
        )

    def __call__(self, ref: VideoRef) -> None:
        """Write the files of this video if they do not exist; `ref` is ignored."""
        if not self.folder.is_dir():
            write_content(self.content(), self.folder)


def world2_videos(split: str, config: World2Config, root: Path | None = None, seed: int = 0) -> list[World2Video]:
    """List the videos of a split; no two splits share a video seed.

    Args:
        split: `"train"`, `"val"` or `"test"`.
        config: World settings.
        root: Folder for the files; by default the cache.
        seed: World seed; every seed selects different videos of the split.

    Raises:
        ConfigError: The split is unknown, or `videos` and `seed` exceed its range of video seeds.
    """
    folder = (root or cache_root()) / "world2" / _key(config)
    return [World2Video(it, config, folder / f"{it:08d}") for it in video_seeds(split, config.videos, seed)]


def world2_tasks(
    split: str,
    families: Sequence[str] | None = None,
    config: World2Config | None = None,
    root: Path | None = None,
    seed: int = 0,
) -> TaskSet:
    """Generate the tasks of a split; the same on every machine.

    Consecutive tasks have different videos and families, so that every head of the set is a fair sample. In each
    family, the right letters of four consecutive videos differ.

    Args:
        split: `"train"`, `"val"` or `"test"`.
        families: Question families; by default all 13.
        config: World settings; by default 60 videos of 10 to 60 minutes with a question of each family.
        root: Folder for the files; by default the cache.
        seed: World seed, as in `world2_videos`.

    Raises:
        ConfigError: The split or a family is unknown.
    """
    families = ALL_FAMILIES if tuple(families or (ALL,)) == (ALL,) else tuple(dict.fromkeys(families or ()))
    for family in families:
        check_family(family)
    config = config or World2Config()
    rounds: list[list[Task]] = [[] for _ in range(config.tasks_per_video)]
    for place, video in enumerate(world2_videos(split, config, root, seed)):
        turned = place % len(families)
        for turn, task in enumerate(_video_tasks(video, (*families[turned:], *families[:turned]), split)):
            rounds[turn].append(task)
    return TaskSet(tuple(task for tasks in rounds for task in tasks))


def with_views(tasks: TaskSet) -> TaskSet:
    """Return tasks of the second world whose captions are the views of a flawless reader, for teachers.

    Looking with `perception="captions"` then describes everything that the frame of the same look shows. Other tasks
    stay as they are, and so do captions that someone else wrote.
    """

    def viewed(task: Task) -> Task:
        video = task.item.video
        if video.world != WORLD or video.captions_path != str(Path(video.path).with_name(CAPTIONS_FILE)):
            return task
        views = replace(video, captions_path=str(Path(video.path).with_name(VIEWS_FILE)))
        return replace(task, item=replace(task.item, video=views))

    return TaskSet(tuple(map(viewed, tasks)))


def _video_tasks(video: World2Video, families: Sequence[str], split: str) -> list[Task]:
    """Generate the tasks of one video, alternating between families; fewer if it has not enough material."""
    config, script, ref = video.config, video.script(), video.ref()
    per_family = -(-config.tasks_per_video // len(families))
    asked = {it: FAMILIES[it](script, config, per_family, _rng(video.seed, it)) for it in families}
    in_turn = [(turn, asked[it][turn]) for turn in range(per_family) for it in families if turn < len(asked[it])]
    return [
        _task(question, f"world2-{split}-{video.seed:08d}-{question.family}-{turn}", ref, split, video, turn)
        for turn, question in in_turn[: config.tasks_per_video]
    ]


def _task(question: World2Question, task_id: str, ref: VideoRef, split: str, video: World2Video, turn: int) -> Task:
    number = ALL_FAMILIES.index(question.family)
    wrong = [question.wrong[i] for i in _rng(video.seed, question.family, turn).permutation(len(question.wrong))]
    place = right_place(video.seed - FIRST_SEEDS[split], number, turn)
    options = (*wrong[:place], question.right, *wrong[place:])
    item = Item(task_id, question.text, options, ref, question.family, split)
    return Task(item, Gold(place, question.evidence, question.evidence_boxes), video)


def right_place(video: int, family: int, turn: int) -> int:
    """Return the place of the right option; those of four consecutive videos differ.

    Args:
        video: Number of the video in its split, over all world seeds.
        family: Number of the family.
        turn: Number of the question among those of its family about the video.
    """
    block = np.random.SeedSequence([WORLD, SCRIPT_VERSION, video // OPTIONS, _LETTERS, family, turn])
    return int(np.random.default_rng(block).permutation(OPTIONS)[video % OPTIONS])


def _rng(seed: int, family: str, *purpose: int) -> np.random.Generator:
    """Return a generator per family, so that its questions do not depend on the other families."""
    parts = [WORLD, SCRIPT_VERSION, seed, _QUESTIONS, ALL_FAMILIES.index(family), *purpose]
    return np.random.default_rng(np.random.SeedSequence(parts))


def _key(config: World2Config) -> str:
    """Hash the settings that determine the content of a video, not the numbers of videos or questions."""
    made = {name: value for name, value in asdict(config).items() if name not in ("videos", "tasks_per_video")}
    text = json.dumps({"version": SCRIPT_VERSION, **made}, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
