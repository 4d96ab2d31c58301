"""Reward terms: one pure, unweighted function of a finished episode each.

Bonuses lie in [0, 1], penalties and deductions in [-1, 0]. Each is defined so that doing more of the same cannot raise
it: views are united before they are measured, so a repeated call changes no bonus, and penalties are shares of the
budget and not of the calls made, so further calls cannot dilute them. `vt_env.rewards.reward` decides what is paid.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from vt_env.actions.read_answer import AnswerStatus, ReadAnswer
from vt_env.budget.remaining import Remaining
from vt_env.config import BudgetConfig
from vt_env.gold import Gold
from vt_env.intervals import iou, length_s, overlap_s, union
from vt_env.types import Box, Interval, Item, Malformed, StopReason, ToolCall, Turn


@dataclass(frozen=True, slots=True)
class FinishedEpisode:
    """Input of reward terms."""

    item: Item
    gold: Gold
    budget: BudgetConfig
    turns: tuple[Turn, ...]
    """All actions, the last one included."""
    answer: ReadAnswer
    """Unparsed where no answer was given."""
    stop: StopReason
    remaining: Remaining


RewardTerm = Callable[[FinishedEpisode], float]


def accuracy(finished: FinishedEpisode) -> float:
    """Return 1 for the right option, else 0; unread and missing answers are wrong.

    Source: multiple-choice accuracy, the measure of arXiv 2601.15724.
    """
    return float(finished.answer.option_idx == finished.gold.answer_idx)


def well_formed(finished: FinishedEpisode) -> float:
    """Return 1 if every action succeeded in our own form and the answer was read as an option, else 0.

    Actions that were read leniently (`vt_env.types.ToolCall.form`) do not count as well-formed.

    Source: the format reward of DeepSeek-R1 (arXiv 2501.12948, section 2.2.2), for tool calls.
    """
    failed = any(
        turn.error is not None or isinstance(turn.action, Malformed) or turn.action.form for turn in finished.turns
    )
    return float(not failed and finished.answer.status is AnswerStatus.MATCHED)


def evidence(finished: FinishedEpisode) -> float:
    """Return the temporal intersection over union of what was viewed and the gold evidence.

    |V and E| / |V or E|, in seconds, where V is the union of the intervals that zooms and subtitle tools showed and E
    the union of the evidence; 0 if the task has none. Viewing the whole video therefore earns little.

    Source: temporal IoU as in ActivityNet (Caba Heilbron et al., CVPR 2015), over unions.
    """
    seconds = _seconds(finished)
    return seconds.shared / (seconds.viewed + seconds.gold - seconds.shared) if seconds.gold else 0.0


def evidence_f1(finished: FinishedEpisode) -> float:
    """Return the harmonic mean of temporal precision and recall of what was viewed against the gold evidence.

    2 |V and E| / (|V| + |E|), in seconds, V and E as in `evidence`; 0 if the task has no evidence. It orders episodes
    as `evidence` does, F1 = 2 IoU / (1 + IoU), and punishes a generous view less.

    Source: van Rijsbergen, Information Retrieval, 1979, chapter 7 (also named after Dice), over seconds.
    """
    seconds = _seconds(finished)
    return 2 * seconds.shared / (seconds.viewed + seconds.gold) if seconds.gold else 0.0


def spatial_evidence(finished: FinishedEpisode) -> float:
    """Return the intersection over union of the parts of frames looked at closely and the gold boxes.

    sum_k |C_k and G_k| / (sum_k |C_k or G_k| + |C_0|), in shares of a frame's area, where G_k is the gold box of the
    k-th evidence interval, C_k the union of the boxes looked at inside that interval and C_0 the union of those looked
    at inside none; 0 if the task has no boxes. Whole frames, many guesses and crops of the wrong moment therefore earn
    little.

    Source: intersection over union of regions (Everingham et al., PASCAL VOC, IJCV 88, 2010), over unions.
    """
    crops = [(view.start_s, turn.box) for turn in finished.turns if turn.box for view in turn.viewed]
    golds = list(zip(finished.gold.evidence, finished.gold.evidence_boxes, strict=False))
    stray = [box for time_s, box in crops if not any(interval.contains(time_s) for interval, _ in golds)]
    shared, either = 0.0, _area(stray)
    for interval, gold in golds:
        inside = [box for time_s, box in crops if interval.contains(time_s)]
        joint = _area([*inside, gold])
        either += joint
        shared += _area(inside) + _area([gold]) - joint
    return shared / either if golds else 0.0


def cost(finished: FinishedEpisode) -> float:
    """Return minus the share of calls used, -1 to 0."""
    return finished.remaining.calls / finished.budget.max_calls - 1.0


def frame_cost(finished: FinishedEpisode) -> float:
    """Return minus the share of requestable frames used, -1 to 0.

    Frames that were shown with the question are shown to everyone and cost nothing. There can be fewer of them than the
    budget's global frames, where a video is short.
    """
    spent = sum(len(turn.frames) for turn in finished.turns)
    return 0.0 - spent / (spent + finished.remaining.frames) if spent else 0.0


def redundancy(finished: FinishedEpisode) -> float:
    """Return minus the share of the call budget used for repeated views, -1 to 0.

    -(1 / max_calls) sum_i max_{j < i} r(i, j), where r is 0 for calls of different tools and 1 for equal arguments, and
    otherwise how alike the two views are: the temporal IoU of what they showed, times the IoU of their boxes where they
    have some. Narrowing a view down costs little, moving it by a second costs nearly a repetition.
    """
    calls = [turn for turn in finished.turns if isinstance(turn.action, ToolCall)]
    repeats = (max((_likeness(call, earlier) for earlier in calls[:i]), default=0.0) for i, call in enumerate(calls))
    return 0.0 - min(1.0, sum(repeats) / finished.budget.max_calls)


def no_option(finished: FinishedEpisode) -> float:
    """Return -1 if no answer was read as an option, else 0: answers that name none, and episodes without an answer.

    An extension. Our choice, after the format rewards of DeepSeek-R1 (arXiv 2501.12948), which wrong answers get too.
    """
    return 0.0 - float(finished.answer.status is not AnswerStatus.MATCHED)


BONUSES: Mapping[str, RewardTerm] = {
    "format": well_formed,
    "evidence": evidence,
    "evidence_f1": evidence_f1,
    "spatial_evidence": spatial_evidence,
}
"""Terms from 0 to 1 besides accuracy."""
PENALTIES: Mapping[str, RewardTerm] = {"cost": cost, "frame_cost": frame_cost, "redundancy": redundancy}
"""Terms from -1 to 0."""
DEDUCTIONS: Mapping[str, RewardTerm] = {"no_option": no_option}
"""Terms from -1 to 0 that are paid whether the answer is right or not."""


@dataclass(frozen=True, slots=True)
class _Seconds:
    viewed: float
    gold: float
    shared: float


def _seconds(finished: FinishedEpisode) -> _Seconds:
    viewed = [interval for turn in finished.turns for interval in turn.viewed]
    return _overlap(viewed, finished.gold.evidence)


def _overlap(viewed: Iterable[Interval], gold: Iterable[Interval]) -> _Seconds:
    ours, theirs = union(viewed), union(gold)
    return _Seconds(length_s(ours), length_s(theirs), overlap_s(ours, theirs))


def _likeness(turn: Turn, earlier: Turn) -> float:
    if not (isinstance(turn.action, ToolCall) and isinstance(earlier.action, ToolCall)):
        return 0.0
    if turn.action.name != earlier.action.name:
        return 0.0
    if dict(turn.action.arguments) == dict(earlier.action.arguments):
        return 1.0
    in_space = _box_iou(turn.box, earlier.box) if turn.box and earlier.box else 1.0
    return iou(turn.viewed, earlier.viewed) * in_space


def _box_iou(one: Box, other: Box) -> float:
    joint = _area([one, other])
    return (_area([one]) + _area([other]) - joint) / joint


def _area(boxes: Sequence[Box]) -> float:
    """Area of the union of boxes: the cells of the grid that all their edges draw, counted where a box covers them."""
    columns = sorted({edge for box in boxes for edge in (box.left, box.right)})
    rows = sorted({edge for box in boxes for edge in (box.top, box.bottom)})
    return sum(
        (right - left) * (bottom - top)
        for (left, right), (top, bottom) in product(pairwise(columns), pairwise(rows))
        if any(box.left <= left and right <= box.right and box.top <= top and bottom <= box.bottom for box in boxes)
    )
