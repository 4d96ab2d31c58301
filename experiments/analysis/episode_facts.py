"""Numbers of one journalled episode, without its texts, so that 100,000 episodes fit in memory.

Journals are read line by line. A torn last line, left by a killed process, is skipped; a repeated attempt is an error.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from experiments.runs.read_run import JOURNAL
from vt_env.actions.read_answer import AnswerStatus, read_answer
from vt_env.benchmarks.readers.rows import Span
from vt_env.benchmarks.scoring.replies import Ended, Reply, Status, reply_of, status_without_option
from vt_env.benchmarks.scoring.temporal_iou import intervals_of, set_iou, set_recall
from vt_env.episode.trajectory import TokenUse, Trajectory
from vt_env.errors import DataError
from vt_env.intervals import length_s
from vt_env.jsonl import read_numbered
from vt_env.media.terminal import track
from vt_env.types import StopReason, parse_time

_LENGTH = re.compile(r"^Video (\d+:\d\d) long\.", re.MULTILINE)
"""Length of the video in the first observation; older records hold no other."""
UNSCORED = "unscored"
"""Status of an episode of a task without an answer key."""


@dataclass(frozen=True, slots=True)
class SpanOverlap:
    """Overlap of spans with the gold evidence."""

    iou: float
    """Temporal IoU of both unions of spans, in `[0, 1]`."""
    recall: float
    """Covered share of the gold seconds, in `[0, 1]`."""


@dataclass(frozen=True, slots=True)
class EpisodeFacts:
    """One attempt at one task."""

    task_id: str
    sample: int
    video: str
    family: str
    split: str
    options: int
    """Number of options; guessing is right with probability `1 / options`."""
    digest: str
    """Hash of question and options, see `task_digest`."""
    status: str
    """A `Status`, or `UNSCORED`."""
    correct: bool | None
    duration_s: float | None
    """Length of the video in whole seconds; `None` where the question was never shown."""
    actions: int
    calls: int
    errors: tuple[str, ...]
    """Error kinds of the failed actions."""
    forced: bool
    """Whether the answer came after the call budget ran out."""
    limited: bool
    """Whether a limit truncated the episode before an answer."""
    frames: int
    """Frames shown, repetitions counted."""
    viewed: tuple[Span, ...]
    cited: tuple[Span, ...]
    """Spans cited in the last message."""
    captioned: bool
    """Whether the policy read captions; they were made for the whole video before the episode."""
    tokens: TokenUse | None
    latency_s: float | None
    """Seconds that the policy waited for replies; `None` where not measured."""
    wall_s: float | None
    cost_usd: float
    """Cost reported by the server in dollars; 0 where it reports none."""
    confidence: float | None = None
    """Confidence of the last reply; `None` where it holds no answer or no backend told it."""
    viewed_overlap: SpanOverlap | None = None
    """Overlap of the viewed spans; `None` without gold evidence."""
    cited_overlap: SpanOverlap | None = None
    """Overlap of the cited spans; `None` without gold evidence or without a citation."""
    image_tokens: int | None = None
    """Image tokens that the episode was charged; `None` in older records."""

    @property
    def is_scored(self) -> bool:
        """Whether the episode counts in accuracy: it ended without an error and its task has an answer key."""
        return self.correct is not None and self.status not in (Status.ERROR, UNSCORED)

    @property
    def is_right(self) -> bool:
        """Whether the answer is correct."""
        return bool(self.correct)

    @property
    def tokens_used(self) -> int | None:
        """Tokens read plus written; `None` where no backend counted them."""
        return None if self.tokens is None else self.tokens.read + self.tokens.replies

    @property
    def viewed_s(self) -> float:
        """Distinct seconds of video viewed."""
        return length_s(intervals_of(self.viewed))


def facts_of(episode: Trajectory, evidence: Mapping[str, Sequence[Span]] | None = None) -> EpisodeFacts:
    """Extract the numbers of an episode.

    Args:
        episode: The trajectory.
        evidence: Known gold spans by task id.
    """
    reply = reply_of(episode)
    gold = (evidence or {}).get(episode.task_id, ())
    return EpisodeFacts(
        task_id=episode.task_id,
        sample=episode.sample,
        video=episode.video_handle,
        family=episode.family,
        split=episode.split,
        options=len(episode.options),
        digest=task_digest(episode.question, episode.options),
        status=status_of(episode, reply),
        correct=episode.correct,
        duration_s=_duration_s(episode),
        actions=len(episode.turns),
        calls=episode.calls,
        errors=episode.errors,
        forced=episode.stop is StopReason.ANSWERED and episode.remaining.calls == 0,
        limited=reply.ended is not Ended.ERROR and episode.stop is not StopReason.ANSWERED,
        frames=len(episode.frames),
        viewed=reply.viewed,
        cited=reply.cited,
        captioned=episode.perception == "captions",
        tokens=episode.tokens,
        latency_s=episode.latency_s or None,
        wall_s=episode.wall_s,
        cost_usd=float(episode.cost_usd),
        confidence=episode.confidence,
        viewed_overlap=_overlap(reply.viewed, gold),
        cited_overlap=_overlap(reply.cited, gold) if reply.cited else None,
        image_tokens=episode.image_tokens,
    )


def status_of(episode: Trajectory, reply: Reply) -> str:
    """Return the status of an episode: `UNSCORED` without an answer key, else a `Status` of its answer."""
    if episode.correct is None and reply.ended is not Ended.ERROR:
        return UNSCORED
    read = AnswerStatus.UNPARSED if reply.ended is Ended.ERROR else read_answer(reply.text, episode.options).status
    if read is AnswerStatus.UNPARSED:
        return status_without_option(reply)
    return Status.OK if read is AnswerStatus.MATCHED else Status.AMBIGUOUS


def read_facts(path: Path, evidence: Mapping[str, Sequence[Span]] | None = None) -> list[EpisodeFacts]:
    """Read the journal of a run directory.

    Args:
        path: The run directory.
        evidence: Known gold spans by task id.

    Raises:
        DataError: A complete line is damaged, or an attempt is repeated.
    """
    return [facts_of(episode, evidence) for episode in stream_journal(path)]


def stream_journal(path: Path, *, is_tracked: bool = True) -> Iterator[Trajectory]:
    """Yield the episodes of a run directory in the order of its journal.

    Args:
        path: The run directory.
        is_tracked: Show the progress of reading.

    Raises:
        DataError: As `read_facts`.
    """
    journal = path / JOURNAL
    if not journal.exists():
        return
    lines: dict[tuple[str, int], int] = {}
    with journal.open("rb") as file:
        total = sum(1 for _ in file)
    numbered = read_numbered(journal, Trajectory.from_json, skip_torn=True)
    shown = track(numbered, f"reading {journal}", total, unit="episode", delay_s=2.0) if is_tracked else numbered
    for number, episode in shown:
        first = lines.setdefault((episode.task_id, episode.sample), number)
        if first != number:
            raise DataError(
                f"{journal}:{number}: {episode.task_id} sample {episode.sample} repeats line {first}; "
                "remove one of the two lines"
            )
        yield episode


def task_digest(question: str, options: Sequence[str]) -> str:
    """Hash a question and its options; the same task has the same digest in every run."""
    return blake2b("\0".join([question, *options]).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _overlap(spans: Sequence[Span], gold: Sequence[Span]) -> SpanOverlap | None:
    return SpanOverlap(set_iou(spans, gold), set_recall(spans, gold)) if gold else None


def _duration_s(episode: Trajectory) -> float | None:
    if not episode.prompt_text:
        return None
    if episode.duration_s is not None:
        return float(int(episode.duration_s))
    # The last match, since a question may contain such a line.
    found = _LENGTH.findall(episode.prompt_text)
    return parse_time(found[-1]) if found else None
