"""Reading the text on the screen of a video, once where the picture changes, cached in parts.

Knows pictures, change and the cache; knows nothing of engines or episodes. A picture is compared with the one that was
read last, at `sample_s`, and read if a tile of it differs. What stands on unchanged ground keeps its text. Each part of
`PART_S` is a file of its own, built once: a reading that is interrupted goes on with the part it was in.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from vt_env.errors import ConfigError
from vt_env.jsonl import encode_record
from vt_env.media.cache.build_once import Progress, build_once, cache_key, cache_root
from vt_env.media.cache.sealed_files import read_sealed, touch, write_sealed
from vt_env.media.decode.pyav_player import Pixels
from vt_env.media.decode.video_file import VideoFile
from vt_env.media.text.rapid_ocr import RapidOcr
from vt_env.media.text.screen_text import (
    SAME_PLACE,
    OcrEngine,
    PictureText,
    Reading,
    box_overlap,
    join_readings,
)
from vt_env.timed_lines import TimedLines
from vt_env.types import Box

SCHEMA = 1
"""Version of the files and of the rules of change; part of their keys."""
FOLDER = "screen_text"
PART_S = 120.0
"""Seconds of video in one file: what a kill loses at most."""

_COMPARED_PX = 960
"""Longer side at most of the pictures compared; larger ones are averaged down by whole factors."""
_TILE_PX = 8
_CHANGE = 12
"""Least mean absolute difference of a tile in one channel, in levels of 256. Any two dark digits of 12 pixels or more
on light ground differ by that much. A slide that H.264 refined in its second second differed by 9."""
_SLACK_S = 1e-6

Changed = NDArray[np.bool_]
"""bool[rows, columns], the tiles of a picture that differ from those of another."""


@dataclass(frozen=True)
class ScreenOcr:
    """Settings of reading the text on the screen; the engine does the reading."""

    engine: OcrEngine = field(default_factory=RapidOcr)
    sample_s: float = 1.0
    """Time between the pictures compared, in seconds: lines begin and end to this precision."""
    gap_s: float = 2.0
    """Least time between two pictures read, in seconds; bounds the cost of pictures that always move."""

    @property
    def key(self) -> str:
        """Identifier in cache keys and provenance: the engine's, and the times."""
        return f"{self.engine.key}, every {self.sample_s:g} s, {self.gap_s:g} s apart"

    def __post_init__(self) -> None:
        if not (self.sample_s > 0 and self.gap_s >= 0):
            got = f"screen_text: sample_s={self.sample_s}, gap_s={self.gap_s}"
            raise ConfigError(f"{got}: need sample_s above 0 and gap_s of 0 or more")


def read_screen(
    video: VideoFile, media: str, ocr: ScreenOcr, cache_dir: Path | None = None, progress: Progress | None = None
) -> TimedLines:
    """Read the text on the screen of a video as timed `ScreenLine`s, cached on disk.

    Args:
        video: The video; pictures are read at native size.
        media: Its content hash, part of the keys.
        ocr: Engine and settings.
        cache_dir: Cache folder; `None` means `cache_root()`.
        progress: Progress callback; not called if everything was read before.

    Raises:
        ConfigError: The engine is not installed, or the cache cannot be written.
        DataError: A picture cannot be decoded, the video was replaced meanwhile, or a cached file is damaged.
    """
    folder = (cache_dir or cache_root()) / FOLDER
    about = {"schema": SCHEMA, "media": media, "decoded_by": video.backend, "ocr": ocr.key}
    readings: list[Reading] = []
    for number in range(ceil(video.duration_s / PART_S)):
        own = {**about, "part": number}
        part = _Part(video, ocr, number, readings[-1] if readings else None, progress)
        path = build_once(folder / f"{cache_key(**own)}.json", partial(part.write, own))
        readings += msgspec.json.decode(read_sealed(path, SCHEMA).payload, type=list[Reading])
        touch(path)
    return join_readings(readings, video.duration_s)


@dataclass(frozen=True, eq=False)
class _Part:
    """One part of a video, to be read."""

    video: VideoFile
    ocr: ScreenOcr
    number: int
    before: Reading | None
    """Last reading of the parts before."""
    progress: Progress | None

    def write(self, about: Mapping[str, object], path: Path) -> None:
        readings = list(self.readings())
        self.video.check_unchanged()
        write_sealed(path, about, encode_record(readings).encode())

    def readings(self) -> Iterator[Reading]:
        """Read the pictures of this part that differ from the picture read before them."""
        last, reference = self.before, self._reference()
        for time_s, picture in self._pictures():
            if last is not None and time_s - last.time_s < self.ocr.gap_s - _SLACK_S:
                continue
            shown = _compared(picture)
            changed = None if reference is None else changed_tiles(reference, shown)
            if changed is not None and not changed.any():
                continue
            found = self.ocr.engine.read(picture)
            last = Reading(time_s, tuple(found) if last is None or changed is None else _kept(last, changed, found))
            reference = shown
            yield last

    def _reference(self) -> Image.Image | None:
        """Decode the picture of the last reading again, so that no pixels have to be stored."""
        if self.before is None:
            return None
        idxs = self.video.timeline.frame_idxs([self.before.time_s])
        return next(_compared(picture) for _, picture in self.video.pictures(idxs.tolist()))

    def _pictures(self) -> Iterator[tuple[float, Pixels]]:
        """Yield the presentation times and pictures to compare, and report the progress."""
        timeline, sample_s, duration_s = self.video.timeline, self.ocr.sample_s, self.video.duration_s
        first, end = (ceil(it * PART_S / sample_s - _SLACK_S) for it in (self.number, self.number + 1))
        moments_s = np.arange(first, end) * sample_s
        idxs = np.unique(timeline.frame_idxs(moments_s[moments_s < duration_s]))
        if self.before is not None:
            idxs = idxs[timeline.times_s[idxs] > self.before.time_s + _SLACK_S]
        for idx, picture in self.video.pictures(idxs.tolist()):
            yield float(timeline.times_s[idx]), picture
            if self.progress is not None:
                self.progress(float(timeline.times_s[idx]) / duration_s)
        if self.progress is not None:
            self.progress(min(1.0, (self.number + 1) * PART_S / duration_s))


def _compared(picture: NDArray[np.uint8]) -> Image.Image:
    """Average a picture uint8[H, W, 3] down for the comparison."""
    factor = ceil(max(picture.shape[:2]) / _COMPARED_PX)
    image = Image.fromarray(picture)
    return image.reduce(factor) if factor > 1 else image


def changed_tiles(before: Image.Image, after: Image.Image) -> Changed:
    """Compare two RGB pictures of one size: bool[rows, columns], true for tiles that differ."""
    means = np.asarray(ImageChops.difference(before, after).reduce(_TILE_PX))
    return means.max(axis=2) >= _CHANGE


def _kept(last: Reading, changed: Changed, found: Sequence[PictureText]) -> tuple[PictureText, ...]:
    """Return the texts on screen: those of the last reading on unchanged ground, and the found ones elsewhere.

    Engines read one line a little differently in each picture, or miss it once; where no pixel changed, no text did.
    """
    new = [it for it in found if _touches(changed, it.box)]
    still = [
        it
        for it in last.texts
        if not _touches(changed, it.box) and all(box_overlap(it.box, other.box) < SAME_PLACE for other in new)
    ]
    # A line that was missed before, on unchanged ground.
    new += [it for it in found if it not in new and all(box_overlap(it.box, old.box) < SAME_PLACE for old in still)]
    return tuple(sorted([*still, *new], key=lambda it: (it.box.top, it.box.left)))


def _touches(changed: Changed, box: Box) -> bool:
    rows, columns = changed.shape
    top, bottom = int(box.top * rows), ceil(box.bottom * rows)
    left, right = int(box.left * columns), ceil(box.right * columns)
    return bool(changed[top:bottom, left:right].any())
