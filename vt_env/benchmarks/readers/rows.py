"""Annotation rows: the common record of a benchmark question, with its gold answer and its defects.

These records contain gold answers. Only task construction and scoring may read them, by an import contract.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

Span = tuple[float, float]
"""Start and end in seconds as written in an annotation or a reply; may be reversed or empty."""


class DefectKind(StrEnum):
    """Kinds of defects of annotation rows and media files."""

    BROKEN_ROW = "broken row"
    """A field is missing or of another type; the row is unusable."""
    DUPLICATE_ID = "duplicate id"
    """An earlier row has the same id; the later one is left out."""
    DUPLICATE_OPTIONS = "duplicate options"
    """Options have equal texts; tasks add the letter to each copy."""
    BLANK_QUESTION = "blank question"
    """The question has no text; it is played and scored all the same, as in the official scripts."""
    PLACEHOLDER_OPTION = "N/A option"
    """An option is padding."""
    TOO_FEW_OPTIONS = "too few options"
    """Fewer than two options remain, so the question is not multiple choice."""
    GOLD_NOT_AN_OPTION = "gold is no option"
    """The gold answer is not among the options; the task is played but not scored."""
    REVERSED_INTERVAL = "reversed interval"
    EMPTY_INTERVAL = "empty interval"
    INTERVAL_OUTSIDE = "interval outside the video"
    """Evidence starts before 0 or ends after the annotated duration."""
    NO_EVIDENCE = "no evidence"
    """A question of a grounded benchmark has no span."""
    PARTIAL_GROUP = "partial group"
    """A group has fewer questions than its score requires."""
    ODD_DURATION = "odd duration"
    """An annotated duration is implausible, or differs between rows of a video."""
    MISSING_VIDEO = "missing video"
    DEAD_VIDEO = "dead video"
    """The file exists but is not a readable video."""
    MISSING_SUBTITLES = "missing subtitles"


@dataclass(frozen=True, slots=True)
class Defect:
    """One defect of a row or a media file."""

    kind: DefectKind
    where: str
    """Id of the question or video, or file and row without an id."""
    detail: str = ""


class SubtitleForm(StrEnum):
    """Subtitle file formats of benchmarks."""

    SRT = "srt"
    """SubRip, possibly with font tags."""
    WORDS = "words"
    """JSONL of timed words (Video-MME-v2)."""
    LONGVIDEOBENCH = "longvideobench"
    """JSON list in either of two layouts, on the clock of the source video of the clip."""


@dataclass(frozen=True, slots=True)
class SubtitleSource:
    """Name and format of a video's subtitle file."""

    form: SubtitleForm
    name: str
    """File name or stem."""
    offset_s: float = 0.0
    """Subtracted from every time."""
    duration_s: float | None = None
    """Replaces a null end time."""


@dataclass(frozen=True, slots=True)
class Group:
    """Group of questions that are scored jointly (Video-MME-v2)."""

    kind: str
    """`"relevance"` or `"logic"`."""
    structure: str
    """JSON text of the annotation, such as `[1, [2, 3], 4]`."""


@dataclass(frozen=True, slots=True)
class Row:
    """One question of a benchmark."""

    benchmark: str
    question_id: str
    """The benchmark's id; without one, an id of file name and row index."""
    video_id: str
    video_names: tuple[str, ...]
    """Candidate file names, most likely first; with or without folder and suffix."""
    question: str
    """Question text, without the options."""
    options: tuple[str, ...]
    """Option texts, without letters; empty for an open question."""
    answer_idx: int | None = None
    """Index of the right option; `None` if open, hidden or not an option."""
    answer_text: str = ""
    """Gold answer of an open question."""
    rubric: tuple[str, ...] = ()
    """Points that an open answer should mention."""
    evidence: tuple[Span, ...] = ()
    duration_s: float | None = None
    subtitles: SubtitleSource | None = None
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {})
    """Values of each label, by label name; several values in multi-label benchmarks."""
    group: Group | None = None
    split: str = "test"
    defects: tuple[Defect, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=lambda: {})
    """The unparsed row."""

    @property
    def task_id(self) -> str:
        """Task id, `benchmark/question_id`."""
        return f"{self.benchmark}/{self.question_id}"

    @property
    def is_open(self) -> bool:
        """Whether the answer is free text."""
        return not self.options


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """Provenance of an annotation file."""

    path: Path
    sha256: str
    rows: int
    unread: tuple[str, ...] = ()
    """Unknown columns, which the reader ignores."""


@dataclass(frozen=True, slots=True)
class Annotations:
    """Questions of one benchmark in a file or folder."""

    benchmark: str
    root: Path
    """Folder that is searched for videos and subtitles."""
    files: tuple[AnnotationFile, ...]
    rows: tuple[Row, ...]
    defects: tuple[Defect, ...] = ()
    """Unreadable and repeated rows; defects of usable rows are in `Row.defects`."""
    positions: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {})
    """Task id of each raw row of a split, in the order of the files; blank for a row that is left out."""
    view: str = ""
    """Condition of the questions, one of `Benchmark.views`; empty for the whole video."""

    @property
    def broken(self) -> tuple[Defect, ...]:
        """Defects of unreadable rows."""
        return tuple(defect for defect in self.defects if defect.kind is DefectKind.BROKEN_ROW)

    def __repr__(self) -> str:
        """Return name and number of questions, without gold answers."""
        return f"Annotations({self.benchmark}, {len(self.rows)} questions)"
