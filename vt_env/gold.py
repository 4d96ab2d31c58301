"""The answer key, alone in its module so that its readers can be listed: an import contract names every one.

Nothing a policy sees may depend on it. Imports do not show where objects flow, so a test swaps the gold, replays the
same actions and compares every observation before the end byte for byte.
"""

from dataclasses import dataclass

from vt_env.types import Box, Interval


@dataclass(frozen=True, slots=True)
class Gold:
    """The private half of a task."""

    answer_idx: int
    """Position of the right option."""
    evidence: tuple[Interval, ...] = ()
    """Intervals of the video in which the answer can be seen or heard; empty if unknown."""
    evidence_boxes: tuple[Box, ...] = ()
    """Parts of the frame, one box for each interval of `evidence`, for questions that need a spatial zoom; empty if
    unknown."""
