"""Write training trajectories: `vt-env synth --tasks world --samples 3 --out runs/synth`.

A teacher plays in caption space, filters keep what is worth learning from, the same actions are replayed with frames,
and the data set lands in the run's `dataset` folder. Filters come before the replay since they need no frames, and a
trajectory they reject would not come back. Interrupted, it goes on where it stopped.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from experiments.provenance import PACKAGES, package_version
from experiments.runs import JOURNAL, Run, open_run, resolve
from synth.dataset import DataCard, count_families, write_dataset
from synth.filters import MODES, Filtered, FilterMode, filter_trajectories
from synth.generate import generate, plan_attempts
from synth.ground import Grounded, ground
from synth.teacher import ScriptedTeacher
from vt_env.benchmarks.guard import refuse_training
from vt_env.config import EnvConfig, MediaConfig, resolve_budget
from vt_env.env import make_episode
from vt_env.errors import ConfigError
from vt_env.media.video import VideoLibrary
from vt_env.tasks import TaskSet, load_tasks
from vt_env.trajectory import Trajectory, read_trajectories

DATASET_FOLDER = "dataset"


@dataclass(frozen=True)
class SynthRun:
    """How trajectories are made."""

    out: Path = Path("runs/synth")
    """Run directory; an interrupted run goes on there."""
    tasks: str = "world"
    """Name, folder or JSONL file of tasks."""
    split: str = "train"
    """Split of the tasks. What is trained on it must not be evaluated on it."""
    limit: int | None = None
    """Take only the first so many tasks."""
    samples: int = 3
    """Attempts a task (5 in the paper)."""
    seed: int = 0
    """Seed of the teacher and of the filter."""
    teacher: ScriptedTeacher = field(default_factory=ScriptedTeacher)
    """Who writes the demonstrations."""
    mode: FilterMode = "default"
    """What is kept; `paper` keeps a wrong attempt where none is right."""
    budget: str = "default"
    """Preset of the budget, for captions and frames alike."""
    evaluation_tasks: bool = False
    """Take tasks of a benchmark's evaluation split too. A model that is trained on them has no number there."""

    def __post_init__(self) -> None:
        if self.samples < 1 or (self.limit is not None and self.limit < 1):
            raise ConfigError(f"samples={self.samples}, limit={self.limit}: need 1 or more")
        if self.mode not in MODES:
            raise ConfigError(f"mode={self.mode!r}: allowed are {', '.join(map(repr, MODES))}")
        resolve_budget(self.budget)


def main(config: SynthRun) -> Path:
    """Make the data set, or go on making it, and print where its trajectories come from.

    Returns:
        The run directory; the data set is its `dataset` folder.

    Raises:
        ConfigError: The configuration is impossible, or the directory belongs to another run.
        DataError: The tasks or the journal cannot be read.
    """
    tasks = load_tasks(config.tasks, config.split)
    if not config.evaluation_tasks:
        refuse_training(tasks)
    tasks = tasks if config.limit is None else tasks.head(config.limit)
    library = VideoLibrary(MediaConfig())
    with open_run(config.out, "synth", config) as run:
        attempts = _play(run, config, tasks, library)
        filtered = filter_trajectories(attempts, config.mode, np.random.default_rng(config.seed))
        grounded = _ground(filtered.kept, config, tasks, library)
        kept = [it.trajectory for it in grounded if it.reason(config.mode) is None]
        card = _card(config, attempts, filtered, grounded, kept)
        write_dataset(run.path / DATASET_FOLDER, kept, card)
        run.metric({"event": "written", "trajectories": len(kept)})
    print(card.markdown().partition("\nSettings")[0])
    return config.out


def _play(run: Run, config: SynthRun, tasks: TaskSet, library: VideoLibrary) -> list[Trajectory]:
    """Make the attempts that the journal lacks, and return all."""
    journal = run.path / JOURNAL
    before = list(read_trajectories(journal)) if journal.exists() else []
    attempts = plan_attempts(tasks, config.samples, {(it.task_id, it.sample) for it in before})
    episode_config = EnvConfig("captions", resolve_budget(config.budget))
    made = generate(attempts, config.teacher, library, episode_config, config.seed)
    after: list[Trajectory] = []
    for trajectory in tqdm(made, "attempts", len(before) + len(attempts), initial=len(before), disable=None):
        run.journal(asdict(trajectory))
        after.append(trajectory)
    return before + after


def _ground(kept: Sequence[Trajectory], config: SynthRun, tasks: TaskSet, library: VideoLibrary) -> list[Grounded]:
    episode_config = EnvConfig("frames", resolve_budget(config.budget))
    by_id = {task.item.task_id: task for task in tasks}
    return [
        ground(source, make_episode(by_id[source.task_id], library, episode_config))
        for source in tqdm(kept, "replays", disable=None)
    ]


def _card(
    config: SynthRun,
    attempts: Sequence[Trajectory],
    filtered: Filtered,
    grounded: Sequence[Grounded],
    kept: Sequence[Trajectory],
) -> DataCard:
    diverged = Counter(reason for it in grounded if (reason := it.reason(config.mode)) is not None)
    return DataCard(
        settings=resolve(config),
        versions={name: version for name in PACKAGES if (version := package_version(name))},
        stages={
            "attempts": count_families(attempts),
            "right": count_families(it for it in attempts if it.correct),
            "passed the filters": count_families(filtered.kept),
            "same with frames": count_families(kept),
        },
        rejected={"filters": filtered.reasons, "replay": dict(diverged.most_common())},
        questions={
            "asked": len({it.task_id for it in attempts}),
            "dropped by the filters": filtered.dropped_questions,
            "kept": len({it.task_id for it in kept}),
        },
    )
