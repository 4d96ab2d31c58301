"""Zooms whose number and size of frames the policy chooses; an extension, offered by `tools="adaptive"`.

One budget of image tokens is spent on many small or few large looks, as in EVA (arXiv 2603.22918: number and resize
ratio of frames) and VideoZoomer (arXiv 2512.22315: clips at a rate of the policy's choice). The three sizes and the
limit of a call are our choices: a call has no more image tokens than a plain zoom of the budget's `frames_per_zoom`
whole frames.
"""

# ruff: noqa: D417  The episode is not an argument that the model gives, so the docstrings leave it out.

from collections.abc import Mapping
from typing import Literal, Protocol

from vt_env.config import EnvConfig
from vt_env.errors import ToolError
from vt_env.tools.tool import Tool
from vt_env.types import Interval, View

Detail = Literal["low", "medium", "high"]

SHARES: Mapping[str, float] = {"low": 0.25, "medium": 0.5, "high": 1.0}
"""Share of the pixels of a whole frame, by detail."""
FRAMES = 8
"""Frames of a call that does not say how many, or the budget's `frames_per_zoom` where that is less."""


class Looking(Protocol):
    """What these tools need of an episode; see `vt_env.tools.builtin.Playing`."""

    config: EnvConfig

    def look(self, interval: Interval, count: int | None = None, share: float = 1.0) -> View:
        """Look at an interval."""
        ...

    def frame_tokens(self, share: float = 1.0) -> int:
        """Image tokens of a frame at a share of its pixels."""
        ...


def frame_zoom(episode: Looking, start_s: float, end_s: float, frames: int = FRAMES, detail: Detail = "high") -> View:
    """Look at frames of an interval. Smaller frames take fewer image tokens, so that more of them can be seen.

    Args:
        start_s: Start of the interval, mm:ss.
        end_s: End of the interval, mm:ss.
        frames: Number of frames to look at.
        detail: Size of each frame; high is the whole frame, medium half and low a quarter of its pixels.
    """
    return _look(episode, Interval(start_s, end_s), frames, detail)


def caption_zoom(episode: Looking, start_s: float, end_s: float, frames: int = FRAMES, detail: Detail = "high") -> View:
    """Read the captions of moments of an interval. Captions of smaller frames take fewer image tokens.

    Args:
        start_s: Start of the interval, mm:ss.
        end_s: End of the interval, mm:ss.
        frames: Number of moments to read captions of.
        detail: Size of the frame of each; high is the whole frame, medium half and low a quarter of its pixels.
    """
    return _look(episode, Interval(start_s, end_s), frames, detail)


def most_frames(episode: Looking, detail: str) -> int:
    """Return the most frames of one call at a detail: as many as take the image tokens of a plain zoom."""
    plain = episode.config.budget.frames_per_zoom
    return plain * episode.frame_tokens() // episode.frame_tokens(SHARES[detail])


def _look(episode: Looking, interval: Interval, frames: int, detail: str) -> View:
    if not 1 <= frames <= most_frames(episode, detail):
        allowed = ", ".join(f"1 to {most_frames(episode, it)} at {it} detail" for it in SHARES)
        raise ToolError(f"frames={frames}: need {allowed}")
    return episode.look(interval, frames, SHARES[detail])


ADAPTIVE_ZOOMS: Mapping[str, Tool] = {it.__name__: Tool.of(it) for it in (frame_zoom, caption_zoom)}
"""The two tools by name; the perception decides which of them is offered."""
