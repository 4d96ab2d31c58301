"""What one journalled episode contributes to tables: numbers, without the texts they were read from.

A journal line holds everything that was said; of 100,000 of them only this is kept. Journals are read line by line: a
torn last line (its writer was killed) does not count, and no attempt counts twice.
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
from vt_env.types import StopReason, parse_time

_LENGTH = re.compile(r"^Video (\d+:\d\d) long\.", re.MULTILINE)
"""As the first observation of records says it that hold no duration themselves."""
UNSCORED = "unscored"
"""Status of an episode whose task has no answer key."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """How well spans of an episode meet those where the answer can be seen."""

    iou: float
    """Intersection over union of both unions, in seconds."""
    recall: float
    """Share of the gold seconds that are covered."""


@dataclass(frozen=True, slots=True)
class EpisodeFacts:
    """One attempt at one task."""

    task_id: str
    sample: int
    video: str
    family: str
    split: str
    options: int
    """Number of options, so that guessing is right once in as many."""
    digest: str
    """Of question and options: the same task has the same everywhere."""
    status: str
    """A `Status`, or `UNSCORED`."""
    correct: bool | None
    duration_s: float | None
    """Length of the video, whole seconds; `None` where the question was never shown."""
    actions: int
    calls: int
    errors: tuple[str, ...]
    """Kinds of the actions that failed."""
    forced: bool
    """Whether the answer came after the last call was spent, when nothing else was left to do."""
    limited: bool
    """Whether a limit ended the episode before an answer."""
    frames: int
    """Frames shown, repeated ones again."""
    viewed: tuple[Span, ...]
    cited: tuple[Span, ...]
    """Spans that the last message names."""
    captioned: bool
    """Whether the policy read captions, which somebody had to write for the whole video before."""
    tokens: TokenUse | None
    latency_s: float | None
    """Seconds that replies were waited for; `None` where nobody measured."""
    wall_s: float | None
    cost_usd: float
    """As the server's own prices give it; 0 where it has none."""
    viewed_evidence: Evidence | None = None
    """`None` where the task has no gold evidence, or nobody gave it."""
    cited_evidence: Evidence | None = None
    """`None` as well where nothing was cited; see `cited`."""

    @property
    def is_scored(self) -> bool:
        """Whether it counts in accuracy: its data held and its task has a key."""
        return self.correct is not None and self.status not in (Status.ERROR, UNSCORED)

    @property
    def is_right(self) -> bool:
        """Whether it was answered correctly."""
        return bool(self.correct)

    @property
    def viewed_s(self) -> float:
        """Different seconds of the video that were viewed."""
        return length_s(intervals_of(self.viewed))


def facts_of(episode: Trajectory, evidence: Mapping[str, Sequence[Span]] | None = None) -> EpisodeFacts:
    """Keep the numbers of an episode.

    Args:
        episode: Its record.
        evidence: Task to its gold spans, where they are known.
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
        cost_usd=episode.cost_usd,
        viewed_evidence=_evidence(reply.viewed, gold),
        cited_evidence=_evidence(reply.cited, gold) if reply.cited else None,
    )


def status_of(episode: Trajectory, reply: Reply) -> str:
    """Name what an episode counts as: how its answer was read, or why there is none to read."""
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
        evidence: Task to its gold spans, where they are known.

    Raises:
        DataError: A complete line is damaged, or an attempt stands there twice.
    """
    return [facts_of(episode, evidence) for episode in stream_journal(path)]


def stream_journal(path: Path) -> Iterator[Trajectory]:
    """Yield the episodes of a run directory one by one.

    Raises:
        DataError: As `read_facts`.
    """
    journal = path / JOURNAL
    if not journal.exists():
        return
    lines: dict[tuple[str, int], int] = {}
    for number, episode in read_numbered(journal, Trajectory.from_json, skip_torn=True):
        first = lines.setdefault((episode.task_id, episode.sample), number)
        if first != number:
            raise DataError(
                f"{journal}:{number}: {episode.task_id} sample {episode.sample} stands already in line {first}; no "
                "attempt may count twice, so remove one of the two lines"
            )
        yield episode


def task_digest(question: str, options: Sequence[str]) -> str:
    """Name a question with its options by its content."""
    return blake2b("\0".join([question, *options]).encode(), digest_size=8).hexdigest()


def _evidence(spans: Sequence[Span], gold: Sequence[Span]) -> Evidence | None:
    return Evidence(set_iou(spans, gold), set_recall(spans, gold)) if gold else None


def _duration_s(episode: Trajectory) -> float | None:
    if not episode.prompt_text:
        return None
    if episode.duration_s is not None:
        return float(int(episode.duration_s))
    # The last one: a question may hold such a line too.
    found = _LENGTH.findall(episode.prompt_text)
    return parse_time(found[-1]) if found else None
