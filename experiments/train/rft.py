"""Rejection sampling: `vt-env rft --model runs/sft/model --out runs/rft`.

    sample (frames, or captions) ──► filters ──► ground (captions alone) ──► SFT

The alternative to GRPO, and an extension too (RAFT, arXiv 2304.06767): the policy plays every question several times,
and it is trained on what it got right. What is spent is written as for GRPO, so that `experiments.train.training_cost`
can compare the two. Interrupted, it goes on with the rollouts that its journal lacks, or from its last checkpoint.
"""

import gc
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from experiments.data.synth import DATASET_FOLDER
from experiments.runs.journal import without_failed
from experiments.runs.provenance import PACKAGES, package_version
from experiments.runs.run_dir import Run, resolve
from experiments.train.common import MODEL_FOLDER, draw_tasks, open_training, process_count
from experiments.train.sample_rollouts import Seat, SelfPlay
from experiments.train.sft import SFTSettings, train
from synth.dataset import DataCard, count_families, write_dataset
from synth.filters import MODES, Filtered, FilterMode, filter_trajectories
from synth.ground import Grounded, ground
from vt_env.benchmarks.readers.no_training import check_trainable
from vt_env.config import EnvConfig, resolve_budget
from vt_env.envs.base import make_episode
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError, DataError
from vt_env.protocols import Library
from vt_env.task_sources import load_tasks
from vt_env.tasks.task_set import TaskSet
from vt_env.tools.builtin import tools_for


@dataclass(frozen=True, kw_only=True)
class RFTRun(SFTSettings):
    """How a model is trained on its own right answers."""

    preset: Literal["tiny"] = "tiny"
    """Where the other settings come from, unless they are given."""
    out: Path = Path("runs/rft")
    """Run directory; the model lands in its `model` folder, and an interrupted run goes on there."""
    model: str = "runs/sft/model"
    """Checkpoint folder or hub name: who plays, and where training starts."""
    limit: int | None = None
    """Take only so many tasks, drawn by the seed."""
    samples: int = 8
    """Rollouts a question."""
    keep: int = 4
    """Right rollouts kept of a question at most, so that easy ones do not crowd out the others."""
    mode: FilterMode = "default"
    """What is kept, as in `synth.filters`."""
    perception: Literal["frames", "captions"] = "frames"
    """What the policy sees while it samples; what it did with captions is replayed with frames."""
    budget: str = "default"
    """Preset of the budget, with changes if need be (`default,max_calls=16`)."""
    temperature: float = 1.0
    """Sampling temperature."""
    max_new_tokens: int = 128
    """Length at which a reply is cut off."""
    backend: Literal["vllm", "transformers"] = "vllm"
    """What generates."""
    batch: int = 48
    """Episodes played at once."""
    only_sample: bool = False
    """Stop once the data set is written: `accelerate launch ... vt-env sft` then trains on it in several processes."""
    lr: float = 1e-4
    """Peak learning rate; linear warm-up over 5 % of the steps, then cosine to 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("samples", "keep", "batch", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: need 1 or more")
        if self.mode not in MODES or self.temperature <= 0:
            raise ConfigError(
                f"mode={self.mode!r}, temperature={self.temperature}: allowed are {', '.join(map(repr, MODES))}, and a "
                "temperature above 0, without which all rollouts are the same"
            )
        resolve_budget(self.budget)


PRESETS = {"tiny": RFTRun()}


def main(config: RFTRun) -> Path:
    """Sample and train, or go on with either, and print where the trajectories come from.

    Returns:
        The run directory; the model is its `model` folder, the data set its `dataset` folder.

    Raises:
        ConfigError: The configuration is impossible, or the directory belongs to another run.
        DataError: The tasks or the journal cannot be read, or the policy got nothing right.
        TrainingStopped: The loss is no number.
    """
    if process_count() > 1:
        raise ConfigError(
            "vt-env rft samples in one process: run it alone with --only-sample, then launch vt-env sft --trajectories "
            f"{config.out / DATASET_FOLDER}"
        )
    dataset = config.out / DATASET_FOLDER
    with open_training(config.out, "rft", config) as run:
        assert run is not None
        if not dataset.exists():
            _write_dataset(run, config, dataset)
            # The sampler's memory is needed now.
            gc.collect()
        if not config.only_sample and not (config.out / MODEL_FOLDER).exists():
            train(config, (dataset,), config.out, run)
    return config.out


def _write_dataset(run: Run, config: RFTRun, dataset: Path) -> None:
    tasks = load_tasks(config.tasks, config.split)
    check_trainable(tasks)
    tasks = draw_tasks(tasks, config.limit, config.seed)
    library = config.open_library()
    rollouts = _sample(run, config, tasks, library)
    evidence = {task.item.task_id: task.gold.evidence for task in tasks if task.gold is not None}
    filtered = filter_trajectories(rollouts, config.mode, np.random.default_rng(config.seed), evidence)
    grounded = _ground(filtered.kept, config, tasks, library)
    same = [it.trajectory for it in grounded if it.reason(config.mode) is None]
    kept = at_most(same, config.keep)
    card = _card(config, rollouts, filtered, grounded, kept)
    if not kept:
        raise DataError(
            f"{config.model}: of {len(rollouts)} rollouts none was right and worth keeping ({dict(filtered.reasons)}): "
            "train it with vt-env sft first, or take easier tasks or more --samples"
        )
    write_dataset(dataset, kept, card)
    run.metric({"event": "written", "trajectories": len(kept)})
    print(card.markdown().partition("\nSettings")[0])


def at_most(trajectories: Sequence[Trajectory], count: int) -> list[Trajectory]:
    """Keep the first `count` trajectories of each task, in order."""
    seen: Counter[str] = Counter()
    kept: list[Trajectory] = []
    for it in trajectories:
        seen[it.task_id] += 1
        if seen[it.task_id] <= count:
            kept.append(it)
    return kept


def _sample(run: Run, config: RFTRun, tasks: TaskSet, library: Library) -> list[Trajectory]:
    """Play the rollouts that the journal lacks or whose data failed, and return all."""
    before = without_failed(run)
    done = {(it.task_id, it.sample) for it in before}
    seats = [Seat(task, sample) for task in tasks for sample in range(config.samples)]
    left = [it for it in seats if (it.task.item.task_id, it.sample) not in done]
    if not left:
        return before
    play = SelfPlay(config, library)
    with tqdm(desc=f"{config.out} rollouts", total=len(seats), initial=len(before), unit="episode") as bar:
        for first in range(0, len(left), config.batch):
            played = play.batch(left[first : first + config.batch])
            # What is spent is written first: a rollout in the journal is never played again.
            run.metric({"event": "sampled", "rollouts": len(played), "sampled_tokens": play.take_tokens()})
            for trajectory in played:
                run.journal(asdict(trajectory))
            before += played
            bar.update(len(played))
            bar.set_postfix(right=f"{np.mean([bool(it.correct) for it in played]):.2f}")
    return before


def _ground(kept: Sequence[Trajectory], config: RFTRun, tasks: TaskSet, library: Library) -> list[Grounded]:
    """Replay what was done with captions; what was done with frames is as it is."""
    if config.perception == "frames":
        return [Grounded(it, ()) for it in kept]
    episode_config = EnvConfig("frames", resolve_budget(config.budget))
    by_id = {task.item.task_id: task for task in tasks}
    tools = tools_for("frames", config.tools)
    return [ground(it, make_episode(by_id[it.task_id], library, episode_config, tools)) for it in kept]


def _card(
    config: RFTRun,
    rollouts: Sequence[Trajectory],
    filtered: Filtered,
    grounded: Sequence[Grounded],
    kept: Sequence[Trajectory],
) -> DataCard:
    diverged = Counter(reason for it in grounded if (reason := it.reason(config.mode)) is not None)
    return DataCard(
        settings=resolve(config),
        versions={name: version for name in PACKAGES if (version := package_version(name))},
        stages={
            "rollouts": count_families(rollouts),
            "right": count_families(it for it in rollouts if it.correct),
            "passed the filters": count_families(filtered.kept),
            f"kept, at most {config.keep} a question": count_families(kept),
        },
        rejected={"filters": filtered.reasons, "replay": dict(diverged.most_common())},
        questions={
            "asked": len({it.task_id for it in rollouts}),
            "dropped by the filters": filtered.dropped_questions,
            "kept": len({it.task_id for it in kept}),
        },
    )
