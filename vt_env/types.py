"""The records that every part shares; nothing here knows a file, a tool or a model.

Glossary: an *item* is the public half of a task (question, options, video), its private half is `vt_env.gold.Gold`. A
*clip* is a fixed span of video that retrieval ranks; an *interval* is any span, in seconds, half-open. An *episode* is
one attempt at one item; its record is a *trajectory*.
"""

import math
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from vt_env.budget.remaining import NOTHING_LEFT, Remaining

MAX_OPTIONS = len(string.ascii_uppercase)
"""Options are lettered."""
_TIME_MARK = re.compile(r"^(?:(\d{1,3}):)?(\d{1,6}):(\d{1,2}(?:\.\d{1,6})?)$")
"""Digits are bounded since `int` raises on thousands of them, and a model may write any text."""


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """A span of video time, half-open: `[start_s, end_s)`.

    Raises:
        ValueError: A bound is not finite, the start is negative or the span is empty.
    """

    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start_s) and math.isfinite(self.end_s)):
            raise ValueError(f"Interval({self.start_s}, {self.end_s}): both bounds must be finite")
        if not 0 <= self.start_s < self.end_s:
            raise ValueError(f"Interval({self.start_s}, {self.end_s}): need 0 <= start_s < end_s")

    @property
    def duration_s(self) -> float:
        """Length in seconds, always above 0."""
        return self.end_s - self.start_s

    @property
    def middle_s(self) -> float:
        """The time halfway between the bounds."""
        return (self.start_s + self.end_s) / 2

    def contains(self, time_s: float) -> bool:
        """Tell whether `time_s` lies in `[start_s, end_s)`."""
        return self.start_s <= time_s < self.end_s

    def clipped(self, other: "Interval") -> "Interval":
        """Return the part that lies inside `other`.

        Raises:
            ValueError: The two share no time.
        """
        return Interval(max(self.start_s, other.start_s), min(self.end_s, other.end_s))

    def overlap_s(self, other: "Interval") -> float:
        """Seconds shared with `other`; 0 where the two only touch."""
        return max(0.0, min(self.end_s, other.end_s) - max(self.start_s, other.start_s))

    def __str__(self) -> str:
        """`mm:ss-mm:ss`, the form that models read and write."""
        return f"{format_time(self.start_s)}-{format_time(self.end_s)}"


def format_time(time_s: float) -> str:
    """Write a time as `mm:ss`, whole seconds rounded down; minutes run past 99 for videos beyond 100 minutes."""
    minutes, seconds = divmod(int(time_s), 60)
    return f"{minutes:02d}:{seconds:02d}"


def parse_time(text: str) -> float | None:
    """Read seconds (`"327"`, `"327.5"`), `mm:ss` or `hh:mm:ss`; `None` if the text is none of them."""
    mark = _TIME_MARK.match(text.strip())
    if mark:
        hours, minutes, seconds = mark.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


@dataclass(frozen=True, slots=True, order=True)
class ScoredInterval:
    """An interval with the score a retrieval gave it; a higher score is a better match."""

    interval: Interval
    score: float
    sources: tuple[str, ...] = ()
    """What found it, such as `"pictures"` and `"captions"`; empty where the search does not say."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameBatch:
    """Decoded frames with their presentation times.

    Raises:
        ValueError: The arrays have another dtype or shape than documented, or disagree in length.
    """

    data: NDArray[np.uint8]
    """uint8[N, H, W, 3], RGB."""
    pts_s: NDArray[np.float64]
    """float64[N], presentation time of each frame in seconds."""

    def __post_init__(self) -> None:
        if self.data.dtype != np.uint8 or self.data.ndim != 4 or self.data.shape[3] != 3:
            raise ValueError(f"data is {self.data.dtype}{list(self.data.shape)}: need uint8[N, H, W, 3]")
        if self.pts_s.dtype != np.float64 or self.pts_s.shape != self.data.shape[:1]:
            raise ValueError(f"pts_s is {self.pts_s.dtype}{list(self.pts_s.shape)}: need float64[{self.data.shape[0]}]")

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.data)

    def __repr__(self) -> str:
        """Shapes and times, never pixels."""
        return f"FrameBatch(data=uint8{list(self.data.shape)}, pts_s={self.pts_s.tolist()})"


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a frame in fractions of its width and height, half-open, origin at the top left.

    Raises:
        ValueError: The box is empty or leaves the frame.
    """

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            raise ValueError(
                f"Box({self.left}, {self.top}, {self.right}, {self.bottom}): need 0 <= left < right <= 1 and "
                "0 <= top < bottom <= 1"
            )


@dataclass(frozen=True, slots=True)
class SubtitleLine:
    """One subtitle or one line of a transcript."""

    interval: Interval
    text: str


@dataclass(frozen=True, slots=True)
class TimedLine:
    """A line of an observation that names an interval: a clip, a subtitle or a caption. Made by `vt_env.prompts`."""

    interval: Interval
    """In whole seconds, as the line names it: bounds rounded down, one second long at least."""
    text: str
    """Text behind the interval; empty for a clip."""
    line: str
    """The line as shown, a clip's without its score."""
    score: float | None = None
    """Score of a clip, in hundredths."""
    sources: tuple[str, ...] = ()
    """What found a clip, such as `"pictures"` and `"captions"`, where the video is searched by several."""


@dataclass(frozen=True, slots=True)
class VideoRef:
    """Paths of a video and its handle. The handle alone may be shown, since paths can leak the kind of a task."""

    handle: str
    """Opaque name, the same for the same video everywhere."""
    path: str
    """The media file."""
    subtitles_path: str | None = None
    """An SRT, VTT or ASS file; `None` means the text stream inside the media file, if there is one."""
    captions_path: str | None = None
    """JSONL of timed captions (`start_s`, `end_s`, `text`, and `close_ups` where there are some), what a captions
    perception reads; `None` if there are none."""
    subtitles_encoding: str | None = None
    """Encoding of the subtitle file, such as `cp1251`; `None` means to find it out."""
    world: int = 0
    """Version of the generated world that made the video, as told by the task source: 1 (`vt_env.world`), 2
    (`vt_env.world2`), or 0 for any other video. Those of a world are searched by their pictures alone, whose colours
    the questions name: their captions state what is asked."""


@dataclass(frozen=True, slots=True)
class Item:
    """The public half of a task, as stored in a task set and, without ids and paths, as given to a policy.

    `Episode.policy_item` is the form that policies get.
    """

    task_id: str
    """Names the task in files and reports. Empty for a policy, since ids often name the kind of task."""
    question: str
    options: tuple[str, ...]
    """2 to `MAX_OPTIONS` texts, all different."""
    video: VideoRef
    family: str = ""
    """Kind of question, for reports only; empty for a policy."""
    split: str = "test"
    train_allowed: bool = True
    """Whether a policy may be trained on it; `False` for what others evaluate on."""
    shown: tuple[Interval, ...] = ()
    """The only parts of the video that are shown, as frames with the question and without any tool; empty for all of
    it. For conditions that measure something else than searching, such as CG-Bench's clue-acc."""
    duration_s: float = 0.0
    """Length of the video in seconds; set by the episode, 0 in a task set."""
    budget: Remaining = NOTHING_LEFT
    """Budget at the start of the episode, after the frames beside the question; set by the episode."""

    def __post_init__(self) -> None:
        if not 2 <= len(self.options) <= MAX_OPTIONS or len(set(self.options)) < len(self.options):
            got = str(list(self.options))[:80]
            raise ValueError(f"{self.task_id}: options {got}: need 2 to {MAX_OPTIONS}, all different")


class StopReason(StrEnum):
    """Reason for the end of an episode."""

    ANSWERED = "answered"
    """The policy gave an answer, right or wrong."""
    OUT_OF_CALLS = "out_of_calls"
    """The policy acted once more without an answer after its last call, although the observation asked for one."""
    CONTEXT_FULL = "context_full"
    """The conversation no longer fitted the context of the model that plays."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool by its name."""

    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    thought: str = ""
    """Text before the call."""
    form: str = field(default="", compare=False)
    """Form in which it was written, where that is not our own: a name in `vt_env.actions.model_forms` or
    `vt_env.actions.dialects`. Empty for our own form and for calls of programs."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The policy's answer: the text or the letter of one option."""

    text: str
    thought: str = ""
    form: str = field(default="", compare=False)
    """As `ToolCall.form`."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """Something that is neither a call nor an answer."""

    text: str
    """Raw text, unchanged."""
    reason: str
    """One line for the model: what is wrong and what is allowed."""


Action = ToolCall | Answer | Malformed

NOT_PLAYED = "not_played"
"""Error of a call for which the calls before it in the same reply left no budget."""


@dataclass(frozen=True, slots=True)
class FrameRef:
    """Names a frame that was shown, so that records hold no pixels and pictures can be rendered again."""

    video_handle: str
    time_s: float
    """Presentation time of the frame."""
    box: Box | None
    """The part shown at native resolution; `None` for the whole stored frame."""
    size_px: tuple[int, int]
    """Width and height of the picture as it was shown."""
    stored_px: tuple[int, int] | None = None
    """Width and height of the stored frame where it was shown smaller; `None` elsewhere."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One action of an episode and what came back.

    A reply with several calls is several turns, since each has its own price, error and evidence.
    """

    action: Action
    observation_text: str
    frames: tuple[FrameRef, ...] = ()
    viewed: tuple[Interval, ...] = ()
    error: str | None = None
    """As in `Outcome.error`."""
    box: Box | None = None
    """As in `View.box`."""
    continues: bool = False
    """Whether it is a further call of the reply of the turn before."""

    @property
    def is_played(self) -> bool:
        """False for a call that the budget did not reach, which cost nothing."""
        return self.error != NOT_PLAYED


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Result of a tool: text, and frames where the perception sees pictures."""

    text: str
    frames: FrameBatch | None = None
    viewed: tuple[Interval, ...] = ()
    """Intervals of the video that this shows; the evidence terms of the reward read them."""
    box: Box | None = None
    """The part of the frame shown, for a spatial zoom."""
    lines: tuple[TimedLine, ...] = ()
    """Timed lines that the text holds, for agents that read no wording."""
    stored_px: tuple[int, int] | None = None
    """As `FrameRef.stored_px`."""
    stands_for_px: tuple[tuple[int, int], ...] = ()
    """Width and height of each frame that a caption stands for, which is charged in its place."""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """Text, budget and frames that a policy gets at the start and after each reply."""

    text: str
    """The rendered text; the only wording a language model sees."""
    remaining: Remaining
    frames: FrameBatch | None = None
    """Those of several results together where all have one size; otherwise each result has its own."""
    lines: tuple[TimedLine, ...] = ()
    """As in `View.lines`."""
    results: "tuple[Observation, ...]" = ()
    """One observation a call where the reply held several, which `text` and `lines` join; empty for a single one."""

    @property
    def parts(self) -> "tuple[Observation, ...]":
        """What each call of the reply led to; the observation itself where there was one."""
        return self.results or (self,)

    @property
    def pictures(self) -> tuple[NDArray[np.uint8], ...]:
        """All frames in the order of the calls, uint8[H, W, 3] each."""
        return tuple(frame for it in self.parts if it.frames is not None for frame in it.frames.data)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Result of an action: observation, reward, stop reason and error."""

    observation: Observation
    reward: float = 0.0
    """0 until the episode ends."""
    stop: StopReason | None = None
    """`None` while the episode goes on."""
    error: str | None = None
    """Kind of failure of the action (`"malformed"`, `"tool_error"`, `"over_budget"`, `"not_played"`), of several calls
    that of the first that failed; `None` if it succeeded."""
