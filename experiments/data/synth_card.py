"""Data card of a synthesis run, and the tables beside its shards."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from experiments.data.synth_models import Models
from experiments.runs.provenance import PACKAGES, package_version
from experiments.runs.run_dir import resolve
from synth.benchmark_overlap import Leakage
from synth.dataset import GROUNDING_FILE, PICTURES_FILE, REJECTED_FILE, VIDEOS_FILE, DataCard, count_families
from synth.filters import Filtered, FilterMode
from synth.frame_files import PictureRecord, VideoRecord
from synth.ground import Grounded
from synth.load_questions import LoadedQuestions
from vt_env.episode.trajectory import Trajectory


@dataclass(frozen=True)
class SynthResult:
    """Attempts of a run with the results of filter and replay."""

    mode: FilterMode
    attempts: Sequence[Trajectory]
    filtered: Filtered
    grounded: Sequence[Grounded]

    @property
    def kept(self) -> list[Trajectory]:
        """Trajectories of the data set."""
        return [it.trajectory for it in self.grounded if it.reason(self.mode) is None]


def make_card(
    config: object, loaded: LoadedQuestions, result: SynthResult, models: Models, leakage: Leakage
) -> DataCard:
    """Build the data card of a run."""
    kept = result.kept
    diverged = Counter(reason for it in result.grounded if (reason := it.reason(result.mode)) is not None)
    captioner = models.captioner
    return DataCard(
        settings=resolve(config),
        versions={name: version for name in PACKAGES if (version := package_version(name))},
        stages={
            "attempts": count_families(result.attempts),
            "right": count_families(it for it in result.attempts if it.correct),
            "passed the filters": count_families(result.filtered.kept),
            "same with frames": count_families(kept),
        },
        rejected={"filters": result.filtered.reasons, "replay": dict(diverged.most_common())},
        questions={
            "asked": len({it.task_id for it in result.attempts}),
            "dropped by the filters": result.filtered.dropped_questions,
            "kept": len({it.task_id for it in kept}),
        },
        left_out=loaded.counts,
        failures=_failures(result.attempts),
        divergences=_counted(it.kind for found in result.grounded for it in found.divergences),
        support=_counted(it.verdict for found in result.grounded for it in found.support),
        usage=models.usage,
        captions={} if captioner is None else {"made": captioner.counts.made, "cached": captioner.counts.cached},
        leakage=asdict(leakage),
    )


def tables(
    result: SynthResult, pictures: Sequence[PictureRecord], videos: Sequence[VideoRecord]
) -> dict[str, list[Mapping[str, Any]]]:
    """Return file name to rows, for the tables beside the shards."""
    return {
        PICTURES_FILE: [asdict(it) for it in pictures],
        VIDEOS_FILE: [asdict(it) for it in videos],
        REJECTED_FILE: list(_rejected(result)),
        GROUNDING_FILE: [
            {
                **_key(it.trajectory),
                "divergences": [asdict(one) for one in it.divergences],
                "support": [asdict(one) for one in it.support],
            }
            for it in result.grounded
            if it.divergences or it.support
        ],
    }


def _rejected(result: SynthResult) -> Iterator[Mapping[str, Any]]:
    for it in result.filtered.rejected:
        yield {**_key(it.trajectory), "stage": "filters", "reason": it.reason, "detail": it.detail}
    for found in result.grounded:
        reason = found.reason(result.mode)
        if reason is not None:
            first = next(it for it in found.divergences if it.kind == reason)
            detail = f"turn {first.turn_idx + 1}: {first.expected!r} became {first.got!r}"
            yield {**_key(found.trajectory), "stage": "replay", "reason": reason, "detail": detail}


def _key(trajectory: Trajectory) -> dict[str, Any]:
    return {"task_id": trajectory.task_id, "sample": trajectory.sample}


def _failures(attempts: Sequence[Trajectory]) -> dict[str, int]:
    """Count invalid attempts by kind: the text before the colon for a model, `video` for all reasons of a video."""
    heads = ((it.invalid or "").partition(": ")[0] for it in attempts if it.invalid is not None)
    return _counted(head if head.startswith(("teacher ", "captioner ")) else "video" for head in heads)


def _counted(kinds: Iterator[str]) -> dict[str, int]:
    return dict(Counter(kinds).most_common())
