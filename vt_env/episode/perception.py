"""Perceptions: views of the video as frames or as captions.

Everything else about an episode is the same for both, so actions recorded with captions can be replayed with frames.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vt_env.budget.spending import picture_sizes_px
from vt_env.config import BudgetConfig, EnvConfig
from vt_env.errors import ConfigError, DataError
from vt_env.intervals import union
from vt_env.prompts import DEFAULT, PromptSet, spoken_lines
from vt_env.protocols import Perception, Video
from vt_env.timed_lines import Caption, TimedLines
from vt_env.types import Box, FrameBatch, FrameRef, Interval, SubtitleLine, View

MOMENT_S = 1.0
"""Length of video that counts as viewed by a closer look at one moment, in seconds."""


class FramePerception:
    """Perception whose views are frames."""

    name = "frames"
    zoom_tool = "frame_zoom"

    def __init__(
        self, video: Video, budget: BudgetConfig, parts: Sequence[Interval] = (), prompts: PromptSet = DEFAULT
    ) -> None:
        self._video = video
        self._budget = budget
        self._parts = parts
        self._prompts = prompts

    def overview(self) -> View | None:
        """Return the budget's global frames, spread evenly over the whole video; `None` where it has none.

        Where the item shows parts of its video alone, they are spread over these, see `moments_of_parts`.

        Raises:
            DataError: All parts lie behind the end of the video.
        """
        if self._budget.global_frames == 0:
            return None
        if self._parts:
            return self._excerpt(self._budget.global_frames)
        return self._sample(Interval(0.0, self._video.duration_s), self._budget.global_frames)

    def frames_needed(self, count: int) -> int:
        """Return the frames that `count` moments cost: one each."""
        return count

    def look(self, interval: Interval, count: int, size_px: tuple[int, int] | None = None) -> View:
        """Return the frames at the middles of `count` equal parts of the interval.

        Fewer where the interval holds fewer stored frames, since no frame is shown twice.
        """
        view = self._sample(interval, count)
        stored_px = picture_sizes_px(view)[0]
        if view.frames is None or size_px is None or size_px == stored_px:
            return view
        data = np.stack([_scaled(frame, size_px) for frame in view.frames.data])
        return replace(view, frames=FrameBatch(data, view.frames.pts_s), stored_px=stored_px)

    def look_closer(self, time_s: float, box: Box) -> View:
        """Return one picture: the part of the frame at native resolution."""
        frame = self._video.crop(time_s, box)
        return View(self._prompts.crop_text(frame), frame, viewed=(Interval(time_s, time_s + MOMENT_S),), box=box)

    def _excerpt(self, count: int) -> View:
        end_s = self._video.duration_s
        parts = [Interval(it.start_s, min(it.end_s, end_s)) for it in union(self._parts) if it.start_s < end_s]
        if not parts:
            listed = ", ".join(map(str, self._parts))
            raise DataError(f"{self._video.ref.handle}: {listed} lie behind its end, {end_s:g} s; mend the annotations")
        times_s = moments_of_parts(parts, count)
        frames = self._video.frames_at(times_s)
        inside = _rows_inside(frames.pts_s.tolist(), times_s, parts)
        return self._view(FrameBatch(frames.data[inside], frames.pts_s[inside]), parts)

    def _sample(self, interval: Interval, count: int) -> View:
        return self._view(self._video.frames_at(moments(interval, count)), [interval])

    def _view(self, frames: FrameBatch, viewed: Sequence[Interval]) -> View:
        # Moments rise, so equal frames are neighbours.
        shown_s = frames.pts_s.tolist()
        new = [row for row, time_s in enumerate(shown_s) if not row or time_s != shown_s[row - 1]]
        if len(new) < len(frames):
            frames = FrameBatch(frames.data[new], frames.pts_s[new])
        return View(self._prompts.frames_text(frames), frames, viewed=tuple(viewed))


class CaptionedFrames:
    """Sizes of the frames that captions stand for, so that a caption is charged what its frames will cost.

    An extension. None where image tokens have no limit, as in the paper; no frame is read then.

    Args:
        video: What is looked at.
        budget: Limit of image tokens, and global frames.
    """

    def __init__(self, video: Video, budget: BudgetConfig) -> None:
        self._video = video
        self._frames = None if budget.max_image_tokens is None else FramePerception(video, budget)

    def overview(self) -> View | None:
        """Return a view without text that stands for the global frames; `None` where there are none to charge."""
        view = None if self._frames is None else self._frames.overview()
        return None if view is None else View("", stands_for_px=picture_sizes_px(view))

    def look(self, interval: Interval, count: int, size_px: tuple[int, int] | None) -> tuple[tuple[int, int], ...]:
        """Return the width and height of each frame that `FramePerception.look` shows."""
        return () if self._frames is None else picture_sizes_px(self._frames.look(interval, count, size_px))

    def look_closer(self, box: Box) -> tuple[tuple[int, int], ...]:
        """Return the width and height of the crop that `FramePerception.look_closer` shows."""
        return () if self._frames is None else (self._video.picture_size_px(box),)


class CaptionPerception:
    """Perception whose views are the captions of the moments whose frames `FramePerception` would show.

    A caption stands for a view of frames, as in the paper, where `CaptionZoom` is `FrameZoom` followed by a captioner.

    Raises:
        ConfigError: The video has no captions.
    """

    name = "captions"
    zoom_tool = "caption_zoom"

    def __init__(self, video: Video, budget: BudgetConfig, prompts: PromptSet = DEFAULT) -> None:
        if video.captions is None:
            raise ConfigError(
                f"perception='captions': video {video.ref.handle} has no captions; give its task a captions file or "
                "use perception='frames'"
            )
        captions = video.captions
        self._captions = captions if isinstance(captions, TimedLines) else TimedLines(captions)
        self._frames = CaptionedFrames(video, budget)
        self._prompts = prompts

    def overview(self) -> View | None:
        """Return no text: a caption of the whole video would tell more than its global frames do."""
        return self._frames.overview()

    def frames_needed(self, count: int) -> int:
        """Return 0: captions cost no frames."""
        return 0

    def look(self, interval: Interval, count: int, size_px: tuple[int, int] | None = None) -> View:
        """Return the captions on screen at the middles of `count` equal parts, in time order."""
        lines = spoken_lines(self._captions.on_screen(moments(interval, count)))
        text, stands_for_px = self._prompts.captions_text(lines), self._frames.look(interval, count, size_px)
        # Where nothing is described, nothing was viewed.
        return View(text, viewed=(interval,) if lines else (), lines=lines, stands_for_px=stands_for_px)

    def look_closer(self, time_s: float, box: Box) -> View:
        """Return the captions on screen at that time, and what their close-ups say of things legible in the box."""
        described: list[SubtitleLine] = []
        for line in self._captions.on_screen([time_s]):
            close_ups = line.close_ups if isinstance(line, Caption) else ()
            shown = [SubtitleLine(line.interval, it.text) for it in close_ups if it.is_legible(box)]
            described += [line, *shown]
        viewed = (Interval(time_s, time_s + MOMENT_S),) if described else ()
        lines = spoken_lines(described)
        text, stands_for_px = self._prompts.captions_text(lines), self._frames.look_closer(box)
        return View(text, viewed=viewed, box=box, lines=lines, stands_for_px=stands_for_px)


def as_shown(picture: NDArray[np.uint8], frame: FrameRef) -> NDArray[np.uint8]:
    """Return a picture as read from its video, uint8[H, W, 3], at the size at which it was shown."""
    return picture if frame.stored_px is None else _scaled(picture, frame.size_px)


def _scaled(picture: NDArray[np.uint8], size_px: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a picture uint8[H, W, 3] at a smaller width and height; each pixel is the mean of its area."""
    # Drawing is only loaded by those who need it.
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize(size_px, Image.Resampling.BOX))


def moments(interval: Interval, count: int) -> list[float]:
    """Return the middles of `count` equal parts of the interval, in seconds."""
    part_s = interval.duration_s / count
    return [interval.start_s + (part + 0.5) * part_s for part in range(count)]


def moments_of_parts(parts: Sequence[Interval], count: int) -> list[float]:
    """Spread at most `count` moments over disjoint parts: the middles of equal parts of each, in seconds.

    Each part has moments in proportion to its length, rounded down, and at least one, as CG-Bench's
    `sample_frames_clue_average` (f8266087, `run/utils.py`) has it. There that one may come on top of `count`; here the
    parts that have the most give way, of equal ones the last.

    Args:
        parts: Disjoint intervals in the order of time.
        count: At least 1.
    """
    whole_s = sum(part.duration_s for part in parts)
    shares = [max(1, int(count * part.duration_s / whole_s)) for part in parts]
    while sum(shares) > count:
        shares[max(range(len(shares)), key=lambda idx: (shares[idx], idx))] -= 1
    return [time_s for part, share in zip(parts, shares, strict=True) if share for time_s in moments(part, share)]


def build_perception(config: EnvConfig, video: Video, parts: Sequence[Interval] = ()) -> Perception:
    """Build the perception that a config names, for one video.

    Args:
        config: Perception, frames a look, wording.
        video: What is looked at.
        parts: As `Item.shown`.

    Raises:
        ConfigError: The video has no captions where they are needed, or parts of it alone are to be shown and no frame
            can be.
    """
    name, budget = config.perception, config.budget
    if parts and (name != "frames" or not budget.global_frames):
        raise ConfigError(
            f"perception={name!r}, budget.global_frames={budget.global_frames}: this question shows parts of its video "
            "alone, as frames beside it: take perception='frames' and 1 or more global frames"
        )
    if name == "captions":
        return CaptionPerception(video, budget, config.prompts)
    return FramePerception(video, budget, parts, config.prompts)


def _rows_inside(found_s: Sequence[float], asked_s: Sequence[float], parts: Sequence[Interval]) -> list[int]:
    """Pick the frames that lie in the part they were asked for; one outside only where its part has no other."""
    rows: list[int] = []
    for part in parts:
        asked = [row for row, time_s in enumerate(asked_s) if part.contains(time_s)]
        rows += [row for row in asked if part.contains(found_s[row])] or asked[:1]
    return rows
