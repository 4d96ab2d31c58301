"""What every benchmark's own rows become: one record a question, with its answer key and what is wrong with it.

These records hold the answer. Only what makes tasks and what scores reads them; an import contract keeps agents away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

Span = tuple[float, float]
"""Start and end in seconds as an annotation or a reply states them; it may be reversed or empty."""


class DefectKind(StrEnum):
    """What can be wrong with a row or with what it needs."""

    BROKEN_ROW = "broken row"
    """A field is missing or of another type; the row cannot be used."""
    DUPLICATE_ID = "duplicate id"
    """An earlier row has the same id; the later one is left out."""
    DUPLICATE_OPTIONS = "duplicate options"
    """Two options read the same; tasks say which copy is meant."""
    PLACEHOLDER_OPTION = "N/A option"
    """An option stands for no option."""
    TOO_FEW_OPTIONS = "too few options"
    """Fewer than two are left, so the question cannot be asked as a choice."""
    GOLD_NOT_AN_OPTION = "gold is no option"
    """The answer is not among the options; the task is played and never scored."""
    REVERSED_INTERVAL = "reversed interval"
    EMPTY_INTERVAL = "empty interval"
    INTERVAL_OUTSIDE = "interval outside the video"
    """Evidence starts before 0 or ends after the annotated duration."""
    NO_EVIDENCE = "no evidence"
    """A grounded benchmark's question without a span."""
    PARTIAL_GROUP = "partial group"
    """Fewer questions than the group's score needs."""
    ODD_DURATION = "odd duration"
    """A video is said to last longer than any of these benchmarks' does, or its rows disagree."""
    MISSING_VIDEO = "missing video"
    DEAD_VIDEO = "dead video"
    """The file is there and cannot be read as a video."""
    MISSING_SUBTITLES = "missing subtitles"


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing that is wrong."""

    kind: DefectKind
    where: str
    """Id of the question or video, or file and row where there is no id."""
    detail: str = ""


class SubtitleForm(StrEnum):
    """How a benchmark writes its subtitles."""

    SRT = "srt"
    """SubRip, font tags included."""
    WORDS = "words"
    """JSONL of words with times (Video-MME-v2)."""
    LONGVIDEOBENCH = "longvideobench"
    """JSON list in either of its two shapes, on the clock of the video it was cut from."""


@dataclass(frozen=True, slots=True)
class SubtitleSource:
    """Where a video's subtitles are to be looked for."""

    form: SubtitleForm
    name: str
    """File name or stem."""
    offset_s: float = 0.0
    """Subtracted from every time."""
    duration_s: float | None = None
    """Stands in for an end that is null."""


@dataclass(frozen=True, slots=True)
class Group:
    """The group that a question is scored with (Video-MME-v2)."""

    kind: str
    """`"relevance"` or `"logic"`."""
    structure: str
    """As the annotation writes it, such as `[1, [2, 3], 4]`."""


@dataclass(frozen=True, slots=True)
class Row:
    """One question of a benchmark."""

    benchmark: str
    question_id: str
    """The benchmark's own id, or a stable one made of file and position where it has none."""
    video_id: str
    video_names: tuple[str, ...]
    """File names to look for, the likeliest first; with or without folder and suffix."""
    question: str
    """Without the options."""
    options: tuple[str, ...]
    """Without letters; empty for an open question."""
    answer_idx: int | None = None
    """`None` for open questions, hidden gold and gold that is no option."""
    answer_text: str = ""
    """Gold of an open question."""
    rubric: tuple[str, ...] = ()
    """What an open answer should mention."""
    evidence: tuple[Span, ...] = ()
    duration_s: float | None = None
    subtitles: SubtitleSource | None = None
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {})
    """Name of a division to the parts this question counts in; several where the benchmark is multi-label."""
    group: Group | None = None
    split: str = "test"
    defects: tuple[Defect, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=lambda: {})
    """The row as it was read."""

    @property
    def task_id(self) -> str:
        """`benchmark/question_id`, the id of the task."""
        return f"{self.benchmark}/{self.question_id}"

    @property
    def is_open(self) -> bool:
        """Whether the answer is free text."""
        return not self.options


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """An annotation file that was read."""

    path: Path
    sha256: str
    rows: int
    unread: tuple[str, ...] = ()
    """Columns that this benchmark's files are not known to have, and that nothing here reads."""


@dataclass(frozen=True, slots=True)
class Annotations:
    """All questions of one benchmark that a file or folder holds."""

    benchmark: str
    root: Path
    """Folder below which videos and subtitles are looked for."""
    files: tuple[AnnotationFile, ...]
    rows: tuple[Row, ...]
    defects: tuple[Defect, ...] = ()
    """Of rows that could not be read at all, or are repeated; those of a usable row lie in the row."""
    view: str = ""
    """The condition in which they are played, one of `Benchmark.views`; empty for the whole video."""

    @property
    def broken(self) -> tuple[Defect, ...]:
        """The rows that could not be read."""
        return tuple(defect for defect in self.defects if defect.kind is DefectKind.BROKEN_ROW)

    def __repr__(self) -> str:
        """Name and number of questions, never their answers."""
        return f"Annotations({self.benchmark}, {len(self.rows)} questions)"
