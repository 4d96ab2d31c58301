"""Caption perceptions of a teacher: captions by a model, the text on the screen, or captions with dropped words."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from synth.captioner import Captioner
from vt_env.budget.spending import picture_sizes_px
from vt_env.config import BudgetConfig
from vt_env.episode.perception import MOMENT_S, CaptionedFrames, FramePerception, moments
from vt_env.errors import ConfigError
from vt_env.media.text.screen_text import ScreenLine
from vt_env.prompts import DEFAULT, PromptSet, spoken_lines
from vt_env.protocols import Video
from vt_env.timed_lines import TimedLines, joined_by_interval
from vt_env.types import Box, Interval, SubtitleLine, View


class CaptionerPerception:
    """Looking returns the caption of the frames that `FramePerception` would show; it satisfies `Perception`.

    Frames are not taken from the budget, as with other captions; the replay with frames is what must afford them. Image
    tokens are, where they have a limit.

    Args:
        video: What is looked at.
        budget: Global frames.
        captioner: Describes them.
        question: The question of the episode.
        prompts: Wording around the caption.
    """

    name = "captions"
    zoom_tool = "caption_zoom"

    def __init__(
        self,
        video: Video,
        budget: BudgetConfig,
        captioner: Captioner,
        question: str,
        prompts: PromptSet = DEFAULT,
    ) -> None:
        self._video, self._is_charged = video, budget.max_image_tokens is not None
        self._captioner, self._question, self._prompts = captioner, question, prompts
        self._eyes = FramePerception(video, budget)

    def overview(self) -> View | None:
        """Return a caption of the global frames: the paper's trajectories begin with a global caption."""
        view = self._eyes.overview()
        return None if view is None else self._read(view)

    def frames_needed(self, count: int) -> int:
        """None."""
        return 0

    def look(self, interval: Interval, count: int, size_px: tuple[int, int] | None = None) -> View:
        """Return the caption of as many frames as one look shows.

        Raises:
            NoCaption: The captioner gave none.
        """
        return self._read(self._eyes.look(interval, count, size_px))

    def look_closer(self, time_s: float, box: Box) -> View:
        """Return the caption of a part of one frame.

        Raises:
            NoCaption: The captioner gave none.
        """
        return self._read(self._eyes.look_closer(time_s, box))

    def _read(self, view: View) -> View:
        if view.frames is None:
            raise TypeError("a look without frames")
        text = self._captioner.caption(self._video, view.frames, self._question, view.box)
        (interval,) = view.viewed
        lines = spoken_lines([SubtitleLine(interval, text)])
        stands_for_px = picture_sizes_px(view) if self._is_charged else ()
        shown = self._prompts.captions_text(lines)
        return View(shown, viewed=view.viewed, box=view.box, lines=lines, stands_for_px=stands_for_px)


class ScreenTextPerception:
    """Looking returns the text on the screen at the moments that `FramePerception` would show; satisfies `Perception`.

    An extension. Nothing but text is described, so it fits videos whose evidence can be read, such as slide talks.
    Frames are not taken from the budget, as with other captions; image tokens are, where they have a limit.

    Args:
        video: What is looked at.
        budget: Limit of image tokens, and global frames.
        prompts: Wording around the text.

    Raises:
        ConfigError: The screen was not read.
    """

    name = "captions"
    zoom_tool = "caption_zoom"

    def __init__(self, video: Video, budget: BudgetConfig, prompts: PromptSet = DEFAULT) -> None:
        if video.screen_text is None:
            raise ConfigError(f"the screen of video {video.ref.handle} was not read; add --screen-text")
        self._text, self._prompts = TimedLines(video.screen_text), prompts
        self._frames = CaptionedFrames(video, budget)

    def overview(self) -> View | None:
        """Return no text: that of a whole video would tell more than its global frames do."""
        return self._frames.overview()

    def frames_needed(self, count: int) -> int:
        """None."""
        return 0

    def look(self, interval: Interval, count: int, size_px: tuple[int, int] | None = None) -> View:
        """Return the text on screen at the middles of `count` equal parts, in time order."""
        view = self._view(self._text.on_screen(moments(interval, count)), interval, None)
        return replace(view, stands_for_px=self._frames.look(interval, count, size_px))

    def look_closer(self, time_s: float, box: Box) -> View:
        """Return the lines on screen at that time whose middle lies in the box."""
        shown = [line for line in self._text.on_screen([time_s]) if _is_inside(line, box)]
        view = self._view(shown, Interval(time_s, time_s + MOMENT_S), box)
        return replace(view, stands_for_px=self._frames.look_closer(box))

    def _view(self, shown: Sequence[SubtitleLine], viewed: Interval, box: Box | None) -> View:
        lines = spoken_lines(joined_by_interval(shown))
        text = self._prompts.captions_text(lines)
        # Where nothing is written, nothing was viewed.
        return View(text, viewed=(viewed,) if lines else (), box=box, lines=lines)


def lossy(captions: Sequence[SubtitleLine], loss: float, video: str, seed: int) -> tuple[SubtitleLine, ...]:
    """Drop words of captions at random, the same ones each time; one word at least is kept.

    Args:
        captions: What to drop from.
        loss: Chance to drop a word, for each.
        video: Handle of the video, so that each loses its own words.
        seed: Seed of the run.
    """
    digest = int.from_bytes(hashlib.blake2b(video.encode(), digest_size=8).digest(), "big")
    rng = np.random.default_rng(np.random.SeedSequence([seed, digest]))
    return tuple(SubtitleLine(line.interval, _drop(line.text, loss, rng)) for line in captions)


def _drop(text: str, loss: float, rng: np.random.Generator) -> str:
    words = text.split()
    if not words:
        return text
    kept = rng.random(len(words)) >= loss
    kept[rng.integers(len(words))] |= not kept.any()
    return " ".join(word for word, stays in zip(words, kept, strict=True) if stays)


def _is_inside(line: SubtitleLine, box: Box) -> bool:
    if not isinstance(line, ScreenLine):
        return True
    x, y = (line.box.left + line.box.right) / 2, (line.box.top + line.box.bottom) / 2
    return box.left <= x < box.right and box.top <= y < box.bottom
