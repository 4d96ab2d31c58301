"""World tasks: generated from seeds; the video files are written when a video is first opened."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from vt_env.gold import Gold
from vt_env.media.cache.build_once import cache_root
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.types import Item, VideoRef
from vt_env.world.config import LATER_SETTINGS, full_world
from vt_env.world.content import CAPTIONS_FILE, SUBTITLES_FILE, VIDEO_FILE, VideoContent, script_content
from vt_env.world.families import ALL, ALL_FAMILIES, ask, check_family
from vt_env.world.script import SCRIPT_VERSION, VideoScript, WorldConfig, write_script
from vt_env.world.single_scene_questions import FAMILIES, WorldQuestion
from vt_env.world.splits import video_seeds
from vt_env.world.write_files import write_content

CAPTIONS_VERSION = 2
"""Version of captions with small print; increment it when they change."""


@dataclass(frozen=True)
class WorldVideo:
    """One world video; calling it writes its files, as `Task.prepare` requires."""

    seed: int
    config: WorldConfig
    folder: Path

    def script(self) -> VideoScript:
        """Generate the script of the video."""
        return write_script(self.seed, self.config)

    def content(self) -> VideoContent:
        """Generate the content of the video."""
        return script_content(self.script(), self.config)

    def ref(self) -> VideoRef:
        """Return the reference to the files, which need not exist yet."""
        return VideoRef(
            handle=hashlib.blake2b(f"{_key(self.config)}/{self.seed}".encode(), digest_size=8).hexdigest(),
            path=str(self.folder / VIDEO_FILE),
            subtitles_path=str(self.folder / SUBTITLES_FILE),
            captions_path=str(self.folder / CAPTIONS_FILE),
            world=1,
        )

    def __call__(self, ref: VideoRef) -> None:
        """Write the files of this video if they do not exist; `ref` is ignored."""
        if not self.folder.is_dir():
            write_content(self.content(), self.folder)


def world_videos(split: str, config: WorldConfig, root: Path | None = None, seed: int = 0) -> list[WorldVideo]:
    """List the videos of a split; no two splits share a video seed.

    Args:
        split: `"train"`, `"val"` or `"test"`.
        config: World settings.
        root: Folder for the files; by default the cache.
        seed: World seed; every seed selects different videos of the split.

    Raises:
        ConfigError: The split is unknown, or `videos` and `seed` exceed its range of video seeds.
    """
    folder = (root or cache_root()) / "world" / _key(config)
    return [WorldVideo(it, config, folder / f"{it:08d}") for it in video_seeds(split, config.videos, seed)]


def world_tasks(
    split: str,
    families: Sequence[str] | None = None,
    config: WorldConfig | None = None,
    root: Path | None = None,
    seed: int = 0,
) -> TaskSet:
    """Generate the tasks of a split; the same on every machine.

    Consecutive tasks have different videos and families, so that every head of the set is a fair sample.

    Args:
        split: `"train"`, `"val"` or `"test"`.
        families: Question families, `("all",)` for all eight; by default needle, subtitle and reference.
        config: World settings; by default 60 videos of 10 to 30 minutes with 12 questions each, or `full_world()` if
            `families` has others than the default three.
        root: Folder for the files; by default the cache.
        seed: World seed, as in `world_videos`.

    Raises:
        ConfigError: The split or a family is unknown, or `config` does not support a family.
    """
    families = ALL_FAMILIES if tuple(families or ()) == (ALL,) else tuple(families or FAMILIES)
    config = config or (WorldConfig() if set(families) <= set(FAMILIES) else full_world())
    for family in families:
        check_family(family, config)
    rounds: list[list[Task]] = [[] for _ in range(config.tasks_per_video)]
    for place, video in enumerate(world_videos(split, config, root, seed)):
        for turn, task in enumerate(_video_tasks(video, families[place % len(families) :] + families, split)):
            rounds[turn].append(task)
    return TaskSet(tuple(task for tasks in rounds for task in tasks))


def _video_tasks(video: WorldVideo, families: Sequence[str], split: str) -> list[Task]:
    """Generate the tasks of one video, alternating between families; fewer if it has not enough material."""
    config, script, ref = video.config, video.script(), video.ref()
    kinds = tuple(dict.fromkeys(families))
    per_family = -(-config.tasks_per_video // len(kinds))
    asked = {family: ask(script, family, config, per_family, _family_rng(video, family)) for family in kinds}
    in_turn = [asked[family][turn] for turn in range(per_family) for family in kinds if turn < len(asked[family])]
    return [
        Task(_item(question, f"world-{split}-{video.seed:08d}-{number}", ref, split), _gold(question), video)
        for number, question in enumerate(in_turn[: config.tasks_per_video])
    ]


def _family_rng(video: WorldVideo, family: str) -> np.random.Generator:
    """Return a generator per family, so that its questions do not depend on the other families."""
    return np.random.default_rng(np.random.SeedSequence([SCRIPT_VERSION, video.seed, 1 + ALL_FAMILIES.index(family)]))


def _item(question: WorldQuestion, task_id: str, ref: VideoRef, split: str) -> Item:
    return Item(task_id, question.text, question.options, ref, question.family, split)


def _gold(question: WorldQuestion) -> Gold:
    return Gold(question.answer_idx, question.evidence, question.evidence_boxes)


def _key(config: WorldConfig) -> str:
    """Hash the settings that determine the content of a video, not the numbers of videos or questions."""
    made = {name: value for name, value in asdict(config).items() if name not in ("videos", "tasks_per_video")}
    # Later settings at their defaults are left out, so that folders of earlier versions keep their names.
    later = {field.name: field.default for field in fields(config) if field.name in LATER_SETTINGS}
    made = {name: value for name, value in made.items() if name not in later or value != later[name]}
    if config.detail_px:
        made["captions"] = CAPTIONS_VERSION
    text = json.dumps({"version": SCRIPT_VERSION, **made}, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
