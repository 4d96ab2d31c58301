"""Benchmark audit: compare a local copy with the authors' counts and check every row, video and subtitle file."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vt_env.benchmarks.readers.find_media import MediaFolder
from vt_env.benchmarks.readers.registry import BENCHMARKS, read_annotations
from vt_env.benchmarks.readers.rows import AnnotationFile, Annotations, Defect, DefectKind, Row
from vt_env.benchmarks.scoring.video_mme_groups import GROUP_SIZE
from vt_env.media.terminal import track

LONGEST_S = 3 * 3600.0
"""Maximum plausible duration; the longest videos of these benchmarks last a little more than two hours."""
DURATION_SLACK_S = 1.0
"""Allowed difference between the durations that rows give for a video."""
KNOWN_REVISIONS: Mapping[str, str] = {
    "ac5a1eb1d6dee9cd84ab7f9c94ab345b2404646f24b79ac182cd2aa9e2d424c1": "doc-doc/NExT-GQA 63772e02, val.csv",
    "4feb23e53102cb2d4779e857ff8f9fd9b552fc38435621406b2ed9b0bf76204b": "doc-doc/NExT-GQA 63772e02, gsub_val.json",
}
"""Revisions of the files that this code was tested with, by SHA-256."""
MAX_EXAMPLES = 5
"""Number of examples per kind of defect in the table."""

Probe = Callable[[Path], str | None]
"""Returns the reason why a file is not a readable video, or `None`."""


@dataclass(frozen=True, slots=True)
class SplitCoverage:
    """Questions, gold answers and videos found of one split."""

    split: str
    questions: int
    official_questions: int | None
    """`None` without an official count."""
    open_questions: int
    official_open_questions: int
    with_gold: int
    """Multiple-choice questions with a gold answer."""
    videos: int
    official_videos: int | None
    videos_found: int
    playable: int
    """Multiple-choice questions with a readable video."""

    @property
    def complete(self) -> bool:
        """Whether the copy has every official multiple-choice question and its video."""
        return self.questions == self.official_questions == self.playable


@dataclass(frozen=True, slots=True)
class Coverage:
    """Result of an audit."""

    benchmark: str
    terms: str
    files: tuple[AnnotationFile, ...]
    splits: tuple[SplitCoverage, ...]
    defects: tuple[Defect, ...]

    @property
    def complete(self) -> bool:
        """Whether every split of the copy is complete and no row is broken."""
        return all(split.complete for split in self.splits) and not self.counts.get(DefectKind.BROKEN_ROW)

    @property
    def counts(self) -> Mapping[DefectKind, int]:
        """Number of defects by kind."""
        return Counter(defect.kind for defect in self.defects)

    @property
    def missing_videos(self) -> tuple[str, ...]:
        """Ids of the missing videos."""
        return tuple(defect.where for defect in self.defects if defect.kind is DefectKind.MISSING_VIDEO)

    def to_json(self) -> dict[str, Any]:
        """Convert the report to JSON values, with every defect."""
        return {**asdict(self), "complete": self.complete, "counts": dict(self.counts)}

    def text(self, max_examples: int = MAX_EXAMPLES) -> str:
        """Format the report as a plain-text table.

        Args:
            max_examples: Number of examples per kind of defect.
        """
        return "\n".join(_lines(self, max_examples))


def audit(path: str | Path, name: str | None = None, media: Path | None = None, probe: Probe | None = None) -> Coverage:
    """Audit the annotations, videos and subtitles of a benchmark.

    Args:
        path: An annotation file, or a folder with annotation files.
        name: Name of the benchmark, required if the folder has several.
        media: Folder of videos and subtitles; `None` means the folder of the annotations.
        probe: Checks each video; `None` only checks that files exist and are not empty.

    Raises:
        ConfigError: The path does not exist, or the benchmark is unknown.
        DataError: No known benchmark is found, or several are.
    """
    annotations = read_annotations(path, name)
    folder = MediaFolder(media or annotations.root)
    media_defects = list(_media_defects(annotations.rows, folder, probe or _is_empty))
    gone = {
        defect.where for defect in media_defects if defect.kind in (DefectKind.MISSING_VIDEO, DefectKind.DEAD_VIDEO)
    }
    of_rows = [defect for row in annotations.rows for defect in row.defects]
    return Coverage(
        benchmark=annotations.benchmark,
        terms=BENCHMARKS[annotations.benchmark].terms,
        files=annotations.files,
        splits=tuple(_splits(annotations, gone)),
        defects=(
            *annotations.defects,
            *of_rows,
            *_group_defects(annotations.rows),
            *_duration_defects(annotations.rows),
            *media_defects,
        ),
    )


def _splits(annotations: Annotations, gone: set[str]) -> Iterator[SplitCoverage]:
    official = BENCHMARKS[annotations.benchmark].official
    for split in sorted({row.split for row in annotations.rows}):
        rows = [row for row in annotations.rows if row.split == split]
        choices = [row for row in rows if not row.is_open]
        videos = {row.video_id for row in rows}
        known = official.get(split)
        yield SplitCoverage(
            split=split,
            questions=len(choices),
            official_questions=known.questions if known else None,
            open_questions=len(rows) - len(choices),
            official_open_questions=known.open_questions if known else 0,
            with_gold=sum(row.answer_idx is not None for row in choices),
            videos=len(videos),
            official_videos=known.videos if known else None,
            videos_found=len(videos - gone),
            playable=sum(row.video_id not in gone and len(row.options) >= 2 for row in choices),
        )


def _media_defects(rows: Sequence[Row], folder: MediaFolder, probe: Probe) -> Iterator[Defect]:
    first = {row.video_id: row for row in rows}
    for row in track(first.values(), "videos", len(first), delay_s=2.0):
        path = folder.video(row.video_names)
        reason = None if path is None else probe(path)
        if path is None:
            yield Defect(DefectKind.MISSING_VIDEO, row.video_id, f"no video named {' or '.join(row.video_names)}")
        elif reason is not None:
            yield Defect(DefectKind.DEAD_VIDEO, row.video_id, reason)
        if row.subtitles is not None and folder.subtitles(row.subtitles) is None:
            yield Defect(DefectKind.MISSING_SUBTITLES, row.video_id)


def _group_defects(rows: Sequence[Row]) -> Iterator[Defect]:
    sizes = Counter(row.video_id for row in rows if row.group is not None)
    for video_id, size in sizes.items():
        if size != GROUP_SIZE:
            yield Defect(DefectKind.PARTIAL_GROUP, video_id, f"{size} of {GROUP_SIZE} questions")


def _duration_defects(rows: Sequence[Row]) -> Iterator[Defect]:
    lengths: defaultdict[str, set[float]] = defaultdict(set)
    for row in rows:
        if row.duration_s is not None:
            lengths[row.video_id].add(row.duration_s)
    for video_id, found in lengths.items():
        shortest, longest = min(found), max(found)
        if longest > LONGEST_S or shortest <= 0:
            yield Defect(DefectKind.ODD_DURATION, video_id, f"{longest if longest > LONGEST_S else shortest:g} s")
        elif longest - shortest > DURATION_SLACK_S:
            yield Defect(DefectKind.ODD_DURATION, video_id, f"{shortest:g} s in one row, {longest:g} s in another")


def _is_empty(path: Path) -> str | None:
    return None if path.stat().st_size else f"{path.name} is empty"


def _lines(coverage: Coverage, max_examples: int) -> Iterator[str]:
    yield f"{coverage.benchmark}: {'complete' if coverage.complete else 'not complete'}  ({coverage.terms})"
    for file in coverage.files:
        known = KNOWN_REVISIONS.get(file.sha256, "a revision that is not known here")
        yield f"  {file.path}: {file.rows} rows, sha256 {file.sha256[:16]} ({known})"
        if file.unread:
            yield f"    columns that are not read: {', '.join(file.unread)}"
    yield ""
    yield f"  {'split':<8} {'questions':>13} {'open':>9} {'with gold':>9} {'videos':>11} {'found':>6} {'playable':>8}"
    for split in coverage.splits:
        questions = _of(split.questions, split.official_questions)
        opened = _of(split.open_questions, split.official_open_questions or None)
        videos = _of(split.videos, split.official_videos)
        yield (
            f"  {split.split:<8} {questions:>13} {opened:>9} {split.with_gold:>9} {videos:>11} "
            f"{split.videos_found:>6} {split.playable:>8}"
        )
    if coverage.defects:
        yield ""
    for kind, count in sorted(coverage.counts.items()):
        yield f"  {kind}: {count}"
        examples = [defect for defect in coverage.defects if defect.kind is kind]
        yield from (f"    {defect.where}  {defect.detail}".rstrip() for defect in examples[:max_examples])
        if len(examples) > max_examples:
            yield f"    and {len(examples) - max_examples} more"


def _of(count: int, official: int | None) -> str:
    return str(count) if official is None else f"{count} of {official}"
