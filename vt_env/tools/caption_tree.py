"""Addresses in LongVideo-R1's tree of captions: a video in `width` parts, three levels deep.

The rule is that of qiujihao19/LongVideo-R1 at 77c87ec (`cli.py`, constants `SEGMENT_LEN`, `MIN_CUBE_WIDTH` and
`MAX_CUBE_WIDTH`): as many parts a level as leave about 16 seconds to the lowest, between 4 and 8.
"""

from collections.abc import Sequence

from vt_env.errors import ToolError
from vt_env.tools.check_arguments import show
from vt_env.types import Interval

LEAF_S = 16.0
"""Wanted length of a low-level segment."""
LEAST_WIDTH, MOST_WIDTH = 4, 8
LEVELS = 3


def tree_width(duration_s: float) -> int:
    """Return the number of parts into which each level divides a segment."""
    return max(LEAST_WIDTH, min(MOST_WIDTH, round((duration_s / LEAF_S) ** (1 / LEVELS))))


def segment_interval(segment: Sequence[int], duration_s: float) -> Interval:
    """Return the interval of a segment.

    Args:
        segment: Its number at each level, from 1; one to three numbers, the highest level first.
        duration_s: Length of the video.

    Raises:
        ToolError: There is no such segment.
    """
    width = tree_width(duration_s)
    if not 1 <= len(segment) <= LEVELS or not all(1 <= number <= width for number in segment):
        raise ToolError(f"segment={show(list(segment))}: need one to {LEVELS} numbers from 1 to {width}")
    start, part_s = 0.0, duration_s
    for number in segment:
        part_s /= width
        start += (number - 1) * part_s
    return Interval(start, min(duration_s, start + part_s))
