"""Perceptions: views of the video as frames or as captions.

Everything else about an episode is the same for both, so actions recorded with captions can be replayed with frames.
"""

from collections.abc import Sequence

from vt_env.config import BudgetConfig, EnvConfig
from vt_env.errors import ConfigError, DataError
from vt_env.intervals import union
from vt_env.prompts import DEFAULT, PromptSet, spoken_lines
from vt_env.protocols import Perception, Video
from vt_env.timed_lines import TimedLines
from vt_env.types import Box, Caption, FrameBatch, Interval, SubtitleLine, View

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

    def look(self, interval: Interval, max_frames: int) -> View:
        """Return the frames at the middles of k equal parts of the interval, k = min(frames_per_zoom, max_frames).

        Fewer where the interval holds fewer stored frames, since no frame is shown twice.
        """
        return self._sample(interval, min(self._budget.frames_per_zoom, max_frames))

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
        self._moments = budget.frames_per_zoom
        self._prompts = prompts

    def overview(self) -> View | None:
        """Return nothing: a caption of the whole video would tell more than its global frames do."""
        return None

    def frames_needed(self, count: int) -> int:
        """Return 0: captions cost no frames."""
        return 0

    def look(self, interval: Interval, max_frames: int) -> View:
        """Return the captions on screen at the middles of `frames_per_zoom` equal parts, in time order."""
        lines = spoken_lines(self._captions.on_screen(moments(interval, self._moments)))
        # Where nothing is described, nothing was viewed.
        return View(self._prompts.captions_text(lines), viewed=(interval,) if lines else (), lines=lines)

    def look_closer(self, time_s: float, box: Box) -> View:
        """Return the captions on screen at that time, and what their close-ups say of things legible in the box."""
        described: list[SubtitleLine] = []
        for line in self._captions.on_screen([time_s]):
            close_ups = line.close_ups if isinstance(line, Caption) else ()
            shown = [SubtitleLine(line.interval, it.text) for it in close_ups if it.is_legible(box)]
            described += [line, *shown]
        viewed = (Interval(time_s, time_s + MOMENT_S),) if described else ()
        lines = spoken_lines(described)
        return View(self._prompts.captions_text(lines), viewed=viewed, box=box, lines=lines)


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
