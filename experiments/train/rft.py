"""Rejection sampling: `vt-env rft --model runs/sft/model --out runs/rft`.

    sample (frames, or captions) ──► filters ──► ground (captions alone) ──► SFT

Rejection sampling fine-tuning, an alternative to GRPO and an extension (RAFT, arXiv 2304.06767): sample rollouts for a
question, then train on the correct ones. The cost is recorded as in GRPO, so that `experiments.train.training_cost` can
compare both. An interrupted run resumes with the rollouts missing from its journal, or from its last checkpoint.
"""

import gc
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from agents.backends.own_sampling import check_local
from agents.backends.sampling import Sampling
from experiments.data.synth import DATASET_FOLDER
from experiments.runs.journal import drop_failed
from experiments.runs.provenance import PACKAGES, package_version
from experiments.runs.run_dir import Run, resolve
from experiments.settings.prompts import choose_prompts
from experiments.settings.world_version import check_world
from experiments.train.sample_rollouts import RolloutSampler
from experiments.train.sft import SFTSettings, train
from experiments.train.training_run import MODEL_FOLDER, draw_tasks, open_training, process_count
from synth.dataset import DataCard, count_families, write_dataset
from synth.filters import MODES, Filtered, FilterMode, filter_trajectories
from synth.generate import plan_attempts
from synth.ground import Grounded, ground
from vt_env.benchmarks.readers.no_training import check_trainable
from vt_env.config import EnvConfig, at_least, resolve_budget
from vt_env.envs.base import make_episode
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError, DataError
from vt_env.media.terminal import progress_bar
from vt_env.prompts import PromptSet, resolve_prompts
from vt_env.protocols import Library
from vt_env.task_sources import load_tasks
from vt_env.tasks.task_set import TaskSet
from vt_env.tools.builtin import can_search, tools_for


@dataclass(frozen=True, kw_only=True)
class RFTRun(SFTSettings):
    """Settings of rejection sampling."""

    preset: Literal["tiny"] = "tiny"
    """Preset of all settings that are not given."""
    out: Path = Path("runs/rft")
    """Run directory; the model is written to its `model` folder. An interrupted run resumes."""
    model: str = "runs/sft/model"
    """Checkpoint folder or hub name of the policy, from which training also starts."""
    limit: int | None = None
    """Sample this many tasks by the seed; all by default."""
    samples: int = 8
    """Rollouts per question."""
    keep: int = 4
    """Maximum number of correct rollouts kept per question, so that easy questions do not dominate."""
    mode: FilterMode = "default"
    """Trajectory filters, as in `synth.filters`."""
    perception: Literal["frames", "captions"] = "frames"
    """Perception during sampling; rollouts with captions are replayed with frames."""
    budget: str | None = None
    """Budget preset, optionally with changes (`default,max_calls=16`), or changes alone of the profile's."""
    sampling: Annotated[Sampling, tyro.conf.arg(name="")] = field(default_factory=lambda: Sampling(temperature=1.0))
    """How rollouts are sampled."""
    backend: Literal["vllm", "transformers"] = "vllm"
    """Generation backend."""
    batch: int = 48
    """Episodes per batch."""
    only_sample: bool = False
    """Stop after writing the data set, to train on it with `accelerate launch ... vt-env sft` in several processes."""
    lr: float = 1e-4
    """Peak learning rate; linear warm-up over 5 % of the steps, then cosine decay to 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("samples", "keep", "batch"):
            at_least(self, name, 1)
        check_local(self.sampling)
        temperature = self.sampling.temperature
        if self.mode not in MODES or temperature is None or temperature <= 0:
            raise ConfigError(
                f"mode={self.mode!r}, temperature={temperature}: allowed are {', '.join(map(repr, MODES))}, and a "
                "temperature above 0; at 0 all rollouts would be equal"
            )


PRESETS = {"tiny": RFTRun()}


def main(config: RFTRun) -> Path:
    """Sample rollouts, train on the correct ones, and print the data card; resumes an interrupted run.

    Returns:
        The run directory; the model is in its `model` folder, the data set in its `dataset` folder.

    Raises:
        ConfigError: The configuration is invalid, or the directory belongs to another run.
        DataError: The tasks or the journal cannot be read, or no rollout is correct and passes the filters.
        TrainingStopped: The loss or the gradient is not finite.
    """
    if process_count() > 1:
        raise ConfigError(
            "vt-env rft samples in one process: run it alone with --only-sample, then launch vt-env sft --trajectories "
            f"{config.out / DATASET_FOLDER}"
        )
    dataset = config.out / DATASET_FOLDER
    config = config.filled()
    prompts = choose_prompts(config.prompts, config.model, config.out, resolve_prompts(config.chosen.prompts))
    with open_training(config.out, "rft", config, prompts=prompts) as run:
        assert run is not None
        if not dataset.exists():
            _write_dataset(run, config, dataset, prompts)
            # Free the sampler's memory for training.
            gc.collect()
        if not config.only_sample and not (config.out / MODEL_FOLDER).exists():
            train(config, (dataset,), config.out, run)
    return config.out


def _write_dataset(run: Run, config: RFTRun, dataset: Path, prompts: PromptSet) -> None:
    tasks = load_tasks(config.tasks, config.split)
    check_world(config.model, tasks)
    check_trainable(tasks)
    tasks = draw_tasks(tasks, config.limit, config.seed)
    library = config.open_library()
    rollouts = _sample(run, config, tasks, library, prompts)
    evidence = {task.item.task_id: task.gold.evidence for task in tasks if task.gold is not None}
    filtered = filter_trajectories(rollouts, config.mode, np.random.default_rng(config.seed), evidence)
    grounded = _ground(filtered.kept, config, tasks, library, prompts)
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


def _sample(run: Run, config: RFTRun, tasks: TaskSet, library: Library, prompts: PromptSet) -> list[Trajectory]:
    """Sample the rollouts that are missing from the journal or invalid in it, and return all."""
    before = drop_failed(run)
    done = {(it.task_id, it.sample) for it in before}
    left = plan_attempts(tasks, config.samples, done)
    if not left:
        return before
    sampler = RolloutSampler(config, library, prompts, can_search=can_search(library, tasks.videos))
    count = len(tasks) * config.samples
    with progress_bar(f"{config.out} rollouts", count, len(before), "episode") as bar:
        for first in range(0, len(left), config.batch):
            played = sampler.batch(left[first : first + config.batch])
            # Write the cost before the journal: rollouts in the journal are never sampled again.
            run.metric({"event": "sampled", "rollouts": len(played), "sampled_tokens": sampler.pop_tokens()})
            for trajectory in played:
                run.journal(trajectory)
            before += played
            bar.update(len(played))
            bar.set_postfix({"right": f"{np.mean([bool(it.correct) for it in played]):.2f}"})
    return before


def _ground(
    kept: Sequence[Trajectory], config: RFTRun, tasks: TaskSet, library: Library, prompts: PromptSet
) -> list[Grounded]:
    """Replay rollouts with captions on frames; return rollouts with frames unchanged."""
    if config.perception == "frames":
        return [Grounded(it, ()) for it in kept]
    budget, media = resolve_budget(config.chosen.budget), config.chosen.media
    episode_config = EnvConfig("frames", budget, media=media, prompts=prompts)
    by_id = {task.item.task_id: task for task in tasks}
    tools = tools_for(
        "frames",
        config.offered,
        can_search=can_search(library, tasks.videos),
        answers=prompts.answers,
    )
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
