"""Flags and steps that both rounds of `vt-env reproduce` share."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from experiments.data.synth import DATASET_FOLDER
from experiments.data.video_paths import run_parallel
from experiments.pipelines.quickstart import UPDATES
from experiments.pipelines.reproduce_sizes import PRESETS, ReproduceSizes, SecondRoundSizes
from experiments.runs.pipeline import PROFILE, PipelineRun, Step, command, index_video
from experiments.settings.models import BASE_MODEL
from vt_env.config import HOW_ONLY, at_least
from vt_env.tasks.task_set import TaskSet
from vt_env.world.config import WorldConfig
from vt_env.world.tasks import world_tasks
from vt_env.world2.config import World2Config
from vt_env.world2.tasks import world2_tasks

BUDGET = "tiny"
"""Budget of every episode, in synthesis, training and evaluation alike."""
PROMPTS = ("--prompts", "tiny")
"""Prompt set of the shipped base model, explicit for policies without a model."""
GRPO_SETTINGS = (*UPDATES, "--max-completion-length", 1280, "--context-tokens", 1664)
"""Settings of GRPO, with room for eight looks: an ordering question with its thoughts takes over a thousand tokens."""
WORLD_FOLDER = "world"
_ALL = ("--families", "all")

Preset = Literal["tiny", "smoke", "second", "second-smoke"]


@dataclass(frozen=True)
class ReproduceRun(PipelineRun):
    """Train and evaluate all policies of the table of results."""

    out: Path = Path("runs/reproduce")
    """Folder of all runs; an interrupted reproduction resumes there."""
    base: str = str(BASE_MODEL)
    """Checkpoint that training starts from."""
    preset: Preset = "tiny"
    """Rows and sizes of all steps: `tiny` makes the first table, `second` that of the second round with stronger
    rivals; `smoke` and `second-smoke` only test that the steps fit together."""
    training_seeds: int = field(default=3, metadata=HOW_ONLY)
    """Number of training seeds; a finished reproduction resumes with a higher number."""
    seed: int = 0
    """First training seed; the others follow it."""
    world: Literal["world", "world2"] = "world"
    """Generated world, for the preset `second`; `--base` must be a base model of it."""
    rows: tuple[str, ...] = field(default=(), metadata=HOW_ONLY)
    """Rows of the preset `second` to run now, with what they need; by default all. The others can follow later."""
    dry_run: bool = field(default=False, metadata=HOW_ONLY)
    """Print the commands that are left in place of running them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, "training_seeds", 1)

    @property
    def sizes(self) -> ReproduceSizes:
        """Sizes of the preset."""
        return PRESETS[self.preset]

    @property
    def seeds(self) -> range:
        """Training seeds, in order."""
        return range(self.seed, self.seed + self.training_seeds)

    def folder(self, seed: int) -> Path:
        """Return the folder of a training seed."""
        return self.out / f"seed-{seed}"

    def world_folder(self, split: str) -> Path:
        """Return the folder of a split of the generated world."""
        return self.out / WORLD_FOLDER / split

    def world_config(self, split: str) -> WorldConfig | World2Config:
        """Return number and properties of the videos of a split."""
        if isinstance(self.sizes, SecondRoundSizes) and self.world == "world2":
            return self.sizes.world2[split]
        return getattr(self.sizes, split)

    def tasks(self, split: str) -> TaskSet:
        """Return the tasks of a split, generated anew; those on disk are equal."""
        return _tasks(split, self.world_config(split), self.world_folder(split))


def world_steps(run: ReproduceRun, splits: Sequence[str] = ("train", "test")) -> Iterator[Step]:
    """List the steps that write and index the videos of some splits."""
    for split in splits:
        config = run.world_config(split)
        prefix, version = ("world2", ("--version", 2)) if isinstance(config, World2Config) else ("world", _ALL)
        knobs = [(f"--{prefix}." + name.replace("_", "-"), value) for name, value in vars(config).items()]
        flags = ("--split", split, *version, "--processes", run.processes, *(it for knob in knobs for it in knob))
        yield command(f"world {split}", "world", "--out", run.world_folder(split), *flags)
        yield Step(f"index {split}", lambda split=split: _index(run.tasks(split), run.processes))


def synthesis(run: ReproduceRun, name: str, tasks: Path, *flags: object) -> Step:
    """Return a step that writes demonstrations of the script, one attempt a question, to the folder of its name."""
    fixed = ("--tasks", tasks, *PROFILE, "--samples", 1, "--budget", BUDGET, *PROMPTS)
    return command(name, "synth", "--out", run.out / name, *fixed, *flags)


def trajectories(run: ReproduceRun, name: str, weights: Mapping[str, float]) -> tuple[object, ...]:
    """Return the flags of `vt-env sft` for demonstrations and their repeats by family."""
    words = [word for item in weights.items() for word in item]
    return ("--trajectories", run.out / name / DATASET_FOLDER, *(("--weights", *words) if words else ()))


def evaluation(
    run: ReproduceRun,
    folder: Path,
    name: str,
    flags: Sequence[object],
    seed: int | None = None,
    tasks: Path | None = None,
) -> Step:
    """Return a step that evaluates a policy on all held-out questions.

    Args:
        run: The reproduction.
        folder: Folder of the evaluations.
        name: Folder of this one.
        flags: Policy and model.
        seed: Training seed; `None` for policies that are not trained.
        tasks: Task folder; by default the world's.
    """
    fixed = ("--n", len(run.tasks("test")), "--budget", BUDGET, *PROFILE, *PROMPTS, "--seed", seed or 0)
    label = f"eval {name}" if seed is None else f"eval {name} {seed}"
    return command(label, "eval", "--out", folder / name, "--tasks", tasks or run.world_folder("test"), *fixed, *flags)


def generation(run: ReproduceRun, model: object, reply_tokens: int | None = None) -> tuple[object, ...]:
    """Return the flags of `vt-env eval` for a checkpoint."""
    length = ("--model.max-new-tokens", reply_tokens or run.sizes.max_new_tokens)
    return ("--model.backend", run.sizes.backend, *length, "--model.path", model)


@lru_cache(maxsize=4)
def _tasks(split: str, config: WorldConfig | World2Config, folder: Path) -> TaskSet:
    if isinstance(config, World2Config):
        return world2_tasks(split, None, config, folder)
    return world_tasks(split, ("all",), config, folder)


def _index(tasks: TaskSet, processes: int) -> None:
    videos = list({task.item.video: None for task in tasks})
    run_parallel(index_video, videos, processes, "index")
