"""The data card of a synthesis run and the tables beside its shards."""

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
class Outcome:
    """What came of a run's attempts."""

    mode: FilterMode
    attempts: Sequence[Trajectory]
    filtered: Filtered
    grounded: Sequence[Grounded]

    @property
    def kept(self) -> list[Trajectory]:
        """What the data set holds."""
        return [it.trajectory for it in self.grounded if it.reason(self.mode) is None]


def make_card(config: object, loaded: LoadedQuestions, outcome: Outcome, models: Models, leakage: Leakage) -> DataCard:
    """Write the card of a run."""
    kept = outcome.kept
    diverged = Counter(reason for it in outcome.grounded if (reason := it.reason(outcome.mode)) is not None)
    captioner = models.captioner
    return DataCard(
        settings=resolve(config),
        versions={name: version for name in PACKAGES if (version := package_version(name))},
        stages={
            "attempts": count_families(outcome.attempts),
            "right": count_families(it for it in outcome.attempts if it.correct),
            "passed the filters": count_families(outcome.filtered.kept),
            "same with frames": count_families(kept),
        },
        rejected={"filters": outcome.filtered.reasons, "replay": dict(diverged.most_common())},
        questions={
            "asked": len({it.task_id for it in outcome.attempts}),
            "dropped by the filters": outcome.filtered.dropped_questions,
            "kept": len({it.task_id for it in kept}),
        },
        left_out=loaded.counts,
        failures=_failures(outcome.attempts),
        divergences=_counted(it.kind for found in outcome.grounded for it in found.divergences),
        support=_counted(it.verdict for found in outcome.grounded for it in found.support),
        usage=models.usage,
        captions={} if captioner is None else {"made": captioner.counts.made, "cached": captioner.counts.cached},
        leakage=asdict(leakage),
    )


def tables(
    outcome: Outcome, pictures: Sequence[PictureRecord], videos: Sequence[VideoRecord]
) -> dict[str, list[Mapping[str, Any]]]:
    """Make the tables that lie beside the shards, by file name."""
    return {
        PICTURES_FILE: [asdict(it) for it in pictures],
        VIDEOS_FILE: [asdict(it) for it in videos],
        REJECTED_FILE: list(_rejected(outcome)),
        GROUNDING_FILE: [
            {
                **_key(it.trajectory),
                "divergences": [asdict(one) for one in it.divergences],
                "support": [asdict(one) for one in it.support],
            }
            for it in outcome.grounded
            if it.divergences or it.support
        ],
    }


def _rejected(outcome: Outcome) -> Iterator[Mapping[str, Any]]:
    for it in outcome.filtered.rejected:
        yield {**_key(it.trajectory), "stage": "filters", "reason": it.reason, "detail": it.detail}
    for found in outcome.grounded:
        reason = found.reason(outcome.mode)
        if reason is not None:
            first = next(it for it in found.divergences if it.kind == reason)
            detail = f"turn {first.turn_idx + 1}: {first.expected!r} became {first.got!r}"
            yield {**_key(found.trajectory), "stage": "replay", "reason": reason, "detail": detail}


def _key(trajectory: Trajectory) -> dict[str, Any]:
    return {"task_id": trajectory.task_id, "sample": trajectory.sample}


def _failures(attempts: Sequence[Trajectory]) -> dict[str, int]:
    """Count attempts that a model or a video failed, by the words before the colon; a video's reason has many."""
    heads = ((it.invalid or "").partition(": ")[0] for it in attempts if it.invalid is not None)
    return _counted(head if head.startswith(("teacher ", "captioner ")) else "video" for head in heads)


def _counted(kinds: Iterator[str]) -> dict[str, int]:
    return dict(Counter(kinds).most_common())
