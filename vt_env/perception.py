"""The two ways of looking: frames for policies that see, captions for policies that read.

Everything else about an episode is the same for both, so actions recorded with captions can be replayed with frames.
"""

from vt_env import prompts
from vt_env.config import BudgetConfig
from vt_env.errors import ConfigError
from vt_env.sources import Video
from vt_env.timed_lines import TimedLines
from vt_env.types import Box, Caption, FrameBatch, Interval, Perception, SubtitleLine, View

MOMENT_S = 1.0
"""How much of the video a closer look at one moment counts as viewed, in seconds."""


class FramePerception:
    """Looking returns frames."""

    name = "frames"
    zoom_tool = "frame_zoom"

    def __init__(self, video: Video, budget: BudgetConfig) -> None:
        self._video = video
        self._budget = budget

    def overview(self) -> View | None:
        """Return the budget's global frames, spread evenly over the whole video; `None` where it has none."""
        if self._budget.global_frames == 0:
            return None
        return self._sample(Interval(0.0, self._video.duration_s), self._budget.global_frames)

    def frames_needed(self, count: int) -> int:
        """One frame a moment."""
        return count

    def look(self, interval: Interval, max_frames: int) -> View:
        """Return the frames at the middles of k equal parts of the interval, k = min(frames_per_zoom, max_frames).

        Fewer where the interval holds fewer stored frames, since no frame is shown twice.
        """
        return self._sample(interval, min(self._budget.frames_per_zoom, max_frames))

    def look_closer(self, time_s: float, box: Box) -> View:
        """Return one picture: the part of the frame at native resolution."""
        frame = self._video.crop(time_s, box)
        return View(prompts.crop_text(frame), frame, viewed=(Interval(time_s, time_s + MOMENT_S),), box=box)

    def _sample(self, interval: Interval, count: int) -> View:
        frames = self._video.frames_at(moments(interval, count))
        # Moments rise, so equal frames are neighbours.
        times_s = frames.pts_s.tolist()
        new = [row for row, time_s in enumerate(times_s) if not row or time_s != times_s[row - 1]]
        if len(new) < len(frames):
            frames = FrameBatch(frames.data[new], frames.pts_s[new])
        return View(prompts.frames_text(frames), frames, viewed=(interval,))


class CaptionPerception:
    """Looking returns the captions of the very moments whose frames the other perception would show.

    A caption stands for a view of frames, as in the paper, where `CaptionZoom` is `FrameZoom` followed by a captioner.

    Raises:
        ConfigError: The video has no captions.
    """

    name = "captions"
    zoom_tool = "caption_zoom"

    def __init__(self, video: Video, budget: BudgetConfig) -> None:
        if video.captions is None:
            raise ConfigError(
                f"perception='captions': video {video.ref.handle} has no captions; give its task a captions file or "
                "use perception='frames'"
            )
        captions = video.captions
        self._captions = captions if isinstance(captions, TimedLines) else TimedLines(captions)
        self._moments = budget.frames_per_zoom

    def overview(self) -> View | None:
        """Return nothing: a caption of the whole video would tell more than its global frames do."""
        return None

    def frames_needed(self, count: int) -> int:
        """None: captions take no frames from the budget."""
        return 0

    def look(self, interval: Interval, max_frames: int) -> View:
        """Return the captions on screen at the middles of `frames_per_zoom` equal parts, in time order."""
        lines = self._captions.on_screen(moments(interval, self._moments))
        return View(prompts.captions_text(lines), viewed=(interval,))

    def look_closer(self, time_s: float, box: Box) -> View:
        """Return the captions on screen at that time, and what their close-ups say of things legible in the box."""
        lines: list[SubtitleLine] = []
        for line in self._captions.on_screen([time_s]):
            close_ups = line.close_ups if isinstance(line, Caption) else ()
            shown = [SubtitleLine(line.interval, it.text) for it in close_ups if it.is_legible(box)]
            lines += [line, *shown]
        return View(prompts.captions_text(lines), viewed=(Interval(time_s, time_s + MOMENT_S),), box=box)


def moments(interval: Interval, count: int) -> list[float]:
    """Return the middles of `count` equal parts of the interval, in seconds."""
    part_s = interval.duration_s / count
    return [interval.start_s + (part + 0.5) * part_s for part in range(count)]


def build_perception(name: str, video: Video, budget: BudgetConfig) -> Perception:
    """Build the perception of that name for one video.

    Raises:
        ConfigError: There is no such perception, or the video has no captions where they are needed.
    """
    kinds = {"frames": FramePerception, "captions": CaptionPerception}
    if name not in kinds:
        raise ConfigError(f"perception={name!r}: allowed are {', '.join(map(repr, kinds))}")
    return kinds[name](video, budget)
