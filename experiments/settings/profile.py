"""Profile of a command: the flags that were given, else the run that is resumed, else the profile's parts.

The resolved values go into `config.json`; runs that were begun before there were profiles have those of `world`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from experiments.runs.read_run import CONFIG, read_json
from vt_env.config import MediaConfig
from vt_env.errors import DataError
from vt_env.jsonl import decode_object, read_jsonl
from vt_env.profiles import FIELD, WORLD, Profile, resolve_profile
from vt_env.tasks.read_rows import TASKS_FILE

PROFILE_IF_MISSING: Mapping[str, str] = {"profile": WORLD.name}
"""Value of `profile` in a `config.json` without it: `world` holds what was the default of all commands then."""


@dataclass(frozen=True)
class MediaFlags:
    """Storage and indexing of videos; what is not given is the profile's."""

    max_pixels: int | None = None
    """Most pixels of a frame or closer look. Pictures keep the video's aspect ratio."""
    min_pixels: int | None = None
    """Fewest pixels of a picture; smaller ones are enlarged to it, as the processors of the models do."""
    patch_px: int | None = None
    """Sides are multiples of this, the side of one image token: 28 for Qwen2.5-VL, 32 for Qwen3-VL. By default the
    model's, where it is known."""
    frame_rate_hz: float | None = None
    """Stored frames per second."""
    clip_s: float | None = None
    """Length of the clips that retrieval ranks (10 s in the paper)."""
    backend: str | None = None
    """Decoder of video files: `pyav`, which decodes every measured format correctly; `torchcodec`, `decord` or
    `torchcodec:cuda` (on a GPU; not run yet), each for the formats it is right for; or `auto`: torchcodec where it is
    installed and right, else PyAV."""

    def or_else(self, media: MediaConfig) -> MediaConfig:
        """Fill what is not given.

        Raises:
            ConfigError: A value is not allowed.
        """
        return MediaConfig(**{**asdict(media), **self.given})

    @property
    def given(self) -> dict[str, Any]:
        """The settings that are given, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class PictureLimits:
    """Pictures that a model's image processor takes as they are."""

    patch_px: int
    """Side of the square that becomes one image token."""
    min_pixels: int
    max_pixels: int


QWEN2_VL = PictureLimits(28, 56 * 56, 12_845_056)
"""Qwen2-VL and Qwen2.5-VL, by their `preprocessor_config.json`."""
QWEN3_VL = PictureLimits(32, 256 * 256, 16_777_216)
"""Qwen3-VL, by its `preprocessor_config.json`."""
_FAMILIES: Mapping[str, PictureLimits] = {"qwen2-vl": QWEN2_VL, "qwen2.5-vl": QWEN2_VL, "qwen3-vl": QWEN3_VL}
"""Part of a checkpoint's name to its limits, for hub names and models of servers."""
_OF_PATCH: Mapping[int, PictureLimits] = {it.patch_px: it for it in (QWEN2_VL, QWEN3_VL)}


def picture_limits(model: str | None) -> PictureLimits | None:
    """Return the pictures that a model takes, by the files of its folder or by its name; `None` if neither tells."""
    if not model:
        return None
    for name in ("preprocessor_config.json", "processor_config.json"):
        found = _read_limits(Path(model, name))
        if found is not None:
            return found
    return next((it for part, it in _FAMILIES.items() if part in model.lower()), None)


def _read_limits(path: Path) -> PictureLimits | None:
    """Read an image processor's own file, or the one of a whole processor."""
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        images = values.get("image_processor", values)
        edges = images.get("size", {})
        smallest, largest = edges.get("shortest_edge"), edges.get("longest_edge")
        smallest, largest = images.get("min_pixels", smallest), images.get("max_pixels", largest)
        return PictureLimits(int(images["patch_size"]) * int(images["merge_size"]), int(smallest), int(largest))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        # A damaged file is named when the processor is loaded; other families have other keys.
        return None


WORLD_NAMES = ("world", "world2")
"""Names of the generated worlds among tasks."""


def is_world(tasks: str) -> bool:
    """Return whether tasks are about a generated world alone, by their name or the rows of their file."""
    return tasks.partition("/")[0] in WORLD_NAMES or holds_world(Path(tasks))


def holds_world(path: Path) -> bool:
    """Return whether a task file, or the one in a folder, is of a generated world, as `vt-env world` writes it."""
    if path.is_dir():
        path /= TASKS_FILE
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    rows = 0
    try:
        for row in read_jsonl(path, decode_object):
            if not row.get("world"):
                return False
            rows += 1
    except DataError:
        # Named when the tasks are loaded.
        return False
    return rows > 0


def choose(
    flag: str | None, media: MediaFlags, given: Mapping[str, Any], *, world: bool, model: str | None, run: Path | None
) -> Profile:
    """Choose the profile of a command and replace the parts that are given.

    Args:
        flag: Value of `--profile`, if given.
        media: Media settings that are given.
        given: Values of the flags `--budget`, `--tools` and `--encoder` by name; `None` if not given.
        world: Whether the videos are of the generated world.
        model: Folder or name of the model, if it is known.
        run: Run directory; a resumed run keeps its parts where no profile is given.

    Raises:
        ConfigError: There is no such profile, or a value is not allowed.
        DataError: The configuration of the run cannot be read.
    """
    if flag is None and run is not None and has_begun(run):
        profile = _of_run(run)
    else:
        profile = resolve_profile(flag or (WORLD.name if world else FIELD.name))
        limits = picture_limits(model)
        if media.patch_px is not None and (limits is None or limits.patch_px != media.patch_px):
            limits = _OF_PATCH.get(media.patch_px)
        if limits is not None:
            profile = profile.for_model(limits.patch_px, limits.min_pixels, limits.max_pixels)
    return profile.with_parts(media=media.or_else(profile.media), **given)


def has_begun(run: Path | None) -> bool:
    """Return whether a run directory holds a run, whose parts it keeps."""
    return run is not None and (run / CONFIG).is_file()


def _of_run(run: Path) -> Profile:
    """Return the parts of a run that was begun."""
    config = read_json(run / CONFIG)
    profile = resolve_profile(config.get("profile") or WORLD.name)
    media: Any = config.get("media")
    return profile.with_parts(
        media=read_media(**media) if isinstance(media, dict) else None,  # pyright: ignore[reportUnknownArgumentType]
        budget=config.get("budget"),
        tools=config.get("tools"),
        encoder=config.get("encoder"),
    )


def read_media(frame_px: int | None = None, **settings: Any) -> MediaConfig:
    """Read the media settings of a `config.json`; a value that is `None` was not resolved, and is the default.

    Those of before frames had the shape of their video hold the side of a square.
    """
    settings = {name: value for name, value in settings.items() if value is not None}
    if frame_px is None:
        return MediaConfig(**settings)
    patch_px = 28 if frame_px % 28 == 0 else 32
    return MediaConfig(frame_px**2, min(frame_px**2, MediaConfig.min_pixels), patch_px, **settings)


def flags_of(media: MediaConfig) -> MediaFlags:
    """Return media settings as flags that are all given."""
    return MediaFlags(**{it.name: getattr(media, it.name) for it in fields(MediaFlags)})
