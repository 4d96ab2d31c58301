"""Pipeline of the table of results: `vt-env reproduce --preset tiny --training-seeds 3`.

    world ──► index ──► synth (attempts; best; captions), keys
      ├─► base, random, blind, scripted, oracle
      ├─► for each training seed: sft (attempts) ──► sft+rft, sft+grpo (outcome reward alone)
      └─► for the first seed, as comparisons: sft ──► sft-best (best), sft+grpo shaped;
                                              uniform (keys), caption-only (captions)

Each trained policy is evaluated greedily; `sft` and `sft+grpo` also at the sampling temperature of GRPO.

`sft` imitates every attempt, right or wrong, of a teacher that gives up after half of its wrong candidates, so that
GRPO has something to improve. `sft-best` continues from `sft` on right attempts of a teacher that never gives up, at
the cost of GRPO. Both are our choice.

Every step is a `vt-env` command in a separate process; an interrupted pipeline resumes. The table is written after
every training seed, to `table.md`, `table.json` and `plots/`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from experiments.bench.world_ceilings import uniform_ceiling
from experiments.data.key import TRAJECTORIES_FILE
from experiments.data.synth import DATASET_FOLDER
from experiments.data.video_paths import run_parallel
from experiments.pipelines.quickstart import TEMPERATURE, UPDATES
from experiments.pipelines.reproduce_sizes import PRESETS
from experiments.pipelines.seed_table import SHARED, make_table, read_evaluations, render_table
from experiments.report.comparison_plots import plot_budget
from experiments.report.plots import plot_accuracy, plot_groups
from experiments.runs.pipeline import PROFILE, PipelineRun, Step, command, index_video, run_pipeline
from experiments.runs.run_dir import Run, write_json, write_text
from experiments.settings.models import BASE_MODEL
from experiments.train.training_run import MODEL_FOLDER
from vt_env.config import HOW_ONLY, at_least
from vt_env.tasks.task_set import TaskSet
from vt_env.world.tasks import world_tasks

BUDGET = "tiny"
"""Budget of every episode, in synthesis, training and evaluation alike."""
PROMPTS = ("--prompts", "tiny")
"""Prompt set of the shipped base model, explicit for policies without a model."""
UNIFORM_FRAMES = 8
TABLE_FILE = "table.md"
GRPO_SETTINGS = (*UPDATES, "--max-completion-length", 1280, "--context-tokens", 1664)
"""Settings of GRPO, with room for eight looks: an ordering question with its thoughts takes over a thousand tokens."""
ORDER = (
    "random", "blind", "uniform", "caption-only", "scripted", "base", "sft", "sft-best", "sft+rft", "sft+grpo",
    "sft+grpo shaped", "sft sampled", "sft+grpo sampled", "oracle",
)  # fmt: skip
"""Policies in the order of the table."""
SAMPLED = ("sft", "sft+grpo")
"""Policies that are also evaluated as GRPO samples."""


@dataclass(frozen=True)
class ReproduceRun(PipelineRun):
    """Train and evaluate all policies of the table of results."""

    out: Path = Path("runs/reproduce")
    """Folder of all runs; an interrupted reproduction resumes there."""
    base: str = str(BASE_MODEL)
    """Checkpoint that training starts from."""
    preset: Literal["tiny", "smoke"] = "tiny"
    """Preset of the sizes of all steps."""
    training_seeds: int = field(default=3, metadata=HOW_ONLY)
    """Number of training seeds; a finished reproduction resumes with a higher number."""
    seed: int = 0
    """First training seed; the others follow it. Comparison policies are trained with the first only, to save hours."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, "training_seeds", 1)

    @property
    def seeds(self) -> range:
        """Training seeds, in order."""
        return range(self.seed, self.seed + self.training_seeds)


def main(run: ReproduceRun) -> int:
    """Run the remaining steps, print one line per step, and write the table.

    Returns:
        0, or the exit code of the command that failed.

    Raises:
        ConfigError: The base model does not exist, or the folder belongs to another run.
    """
    code = run_pipeline(
        "reproduce",
        run,
        PRESETS[run.preset],
        lambda directory: plan(run, directory),
        lambda directory: _write_table(run, directory),
    )
    if not code:
        print((run.out / TABLE_FILE).read_text())
    return code


def plan(run: ReproduceRun, directory: Run) -> Iterator[Step]:
    """List the steps in order."""
    yield from _data(run)
    for agent in ("random", "blind", "scripted", "base", "oracle"):
        model = _generation(run, run.base) if agent in ("blind", "base") else ()
        yield _evaluation(run, run.out / "eval", agent, agent, *model)
    # A table after each seed, so that the first is available hours before the last step.
    for seed in run.seeds:
        yield from _trained(run, seed, _seed_trainings(run, seed))
        yield Step(f"table {seed}", lambda: _write_table(run, directory))
    yield from _trained(run, run.seed, _comparison_trainings(run, run.seed))


def _data(run: ReproduceRun) -> Iterator[Step]:
    sizes, worlds = PRESETS[run.preset], run.out / "world"
    for split, world in (("train", sizes.train), ("test", sizes.test)):
        knobs = [("--world." + name.replace("_", "-"), value) for name, value in vars(world).items()]
        flags = (
            "--split",
            split,
            "--families",
            "all",
            "--processes",
            run.processes,
            *(it for knob in knobs for it in knob),
        )
        yield command(f"world {split}", "world", "--out", worlds / split, *flags)
        yield Step(f"index {split}", lambda split=split: _index(_tasks(run, split), run.processes))
    tasks = ("--tasks", worlds / "train", *PROFILE)
    demonstrations: Mapping[str, tuple[object, ...]] = {
        # The paper's filter keeps an attempt at every question, right or wrong.
        "synth": ("--teacher.persistence", sizes.persistence, "--mode", "paper", "--perception", "frames"),
        "synth-best": ("--teacher.persistence", 1.0, "--perception", "frames"),
        "synth-captions": ("--teacher.persistence", 1.0, "--perception", "captions"),
    }
    for name, flags in demonstrations.items():
        yield command(
            name, "synth", "--out", run.out / name, *tasks, "--samples", 1, "--budget", BUDGET, *PROMPTS, *flags
        )
    yield command("keys", "key", "--out", run.out / "keys", *tasks, "--frames", UNIFORM_FRAMES, *PROMPTS)


def _seed_trainings(run: ReproduceRun, seed: int) -> Mapping[str, tuple[object, ...]]:
    """Return policy to command and flags, for the trainings of every training seed."""
    sizes = PRESETS[run.preset]
    attempts = _trajectories(run, "synth", sizes.sft_weights)
    rounds = ("--limit", sizes.rft_questions, "--samples", sizes.rft_samples, "--temperature", TEMPERATURE)
    again = (*rounds, "--steps", sizes.rft_steps, "--lr", sizes.rft_lr, *_skills(run))
    trainings: dict[str, tuple[object, ...]] = {"sft": ("sft", *attempts, *_from_base(run))}
    if sizes.rft_steps:
        trainings["sft+rft"] = ("rft", "--budget", BUDGET, *again, *_from_sft(run, seed))
    trainings["sft+grpo"] = ("grpo", *_updates(run, seed))
    return trainings


def _comparison_trainings(run: ReproduceRun, seed: int) -> Mapping[str, tuple[object, ...]]:
    """Return policy to command and flags, for the comparison policies of the first training seed."""
    sizes = PRESETS[run.preset]
    best = (*_trajectories(run, "synth-best", sizes.best_weights), "--steps", sizes.best_steps, "--lr", sizes.best_lr)
    answers = ("--trajectories", run.out / "keys" / TRAJECTORIES_FILE, "--tools", "none")
    read = _trajectories(run, "synth-captions", sizes.best_weights)
    return {
        "sft-best": ("sft", *best, *_skills(run), *_from_sft(run, seed)),
        "uniform": ("sft", *answers, *_from_base(run)),
        "caption-only": ("sft", *read, *_from_base(run)),
        "sft+grpo-shaped": ("grpo", "--rewards", "shaped", *_updates(run, seed)),
    }


def _skills(run: ReproduceRun) -> tuple[object, ...]:
    return ("--skills-share", PRESETS[run.preset].skills_share)


def _from_base(run: ReproduceRun) -> tuple[object, ...]:
    sizes = PRESETS[run.preset]
    return ("--model", run.base, "--steps", sizes.sft_steps, "--lr", sizes.sft_lr, *_skills(run))


def _from_sft(run: ReproduceRun, seed: int) -> tuple[object, ...]:
    return ("--model", _folder(run, seed) / "sft" / MODEL_FOLDER)


def _updates(run: ReproduceRun, seed: int) -> tuple[object, ...]:
    sizes = PRESETS[run.preset]
    size = ("--steps", sizes.grpo_steps, "--prompts-per-step", sizes.grpo_prompts)
    return ("--budget", BUDGET, *size, *GRPO_SETTINGS, *_from_sft(run, seed))


def _folder(run: ReproduceRun, seed: int) -> Path:
    return run.out / f"seed-{seed}"


def _trained(run: ReproduceRun, seed: int, trainings: Mapping[str, tuple[object, ...]]) -> Iterator[Step]:
    """List a training step and its evaluation steps for each policy."""
    folder = _folder(run, seed)
    for name, words in trainings.items():
        tasks = ("--tasks", run.out / "world" / "train", "--seed", seed, *PROFILE)
        yield command(f"{name} {seed}", *words, *tasks, "--out", folder / name)
        agent = name.removesuffix("-best").removesuffix("-shaped")
        model = _generation(run, folder / name / MODEL_FOLDER)
        yield _evaluation(run, folder / "eval", name, agent, *model, seed=seed)
        if name in SAMPLED:
            sampled = (*model, "--model.temperature", TEMPERATURE)
            yield _evaluation(run, folder / "eval", f"{name}-sampled", agent, *sampled, seed=seed)


def _trajectories(run: ReproduceRun, name: str, weights: Mapping[str, float]) -> tuple[object, ...]:
    words = [word for item in weights.items() for word in item]
    return ("--trajectories", run.out / name / DATASET_FOLDER, *(("--weights", *words) if words else ()))


def _evaluation(run: ReproduceRun, folder: Path, name: str, agent: str, *model: object, seed: int = 0) -> Step:
    count, budget = len(_tasks(run, "test")), ("--budget", BUDGET, *PROFILE)
    tasks = ("--tasks", run.out / "world" / "test", "--n", count, *budget, *PROMPTS)
    label = f"eval {name}" if folder.parent == run.out else f"eval {name} {seed}"
    return command(label, "eval", "--agent", agent, "--out", folder / name, *tasks, "--seed", seed, *model)


def _generation(run: ReproduceRun, model: object) -> tuple[object, ...]:
    sizes = PRESETS[run.preset]
    length = ("--model.max-new-tokens", sizes.max_new_tokens)
    return ("--model.backend", sizes.backend, *length, "--model.path", model)


def _tasks(run: ReproduceRun, split: str) -> TaskSet:
    """Return the tasks of a split, generated anew; those on disk are equal."""
    sizes = PRESETS[run.preset]
    return world_tasks(split, ("all",), sizes.train if split == "train" else sizes.test, run.out / "world" / split)


def _index(tasks: TaskSet, processes: int) -> None:
    videos = list({task.item.video: None for task in tasks})
    run_parallel(index_video, videos, processes, "index")


def _write_table(run: ReproduceRun, directory: Run) -> None:
    """Write the table of all finished evaluations, and its plots."""
    folders = {SHARED: run.out / "eval"} | {seed: _folder(run, seed) / "eval" for seed in run.seeds}
    seconds = {line["phase"]: line["seconds"] for line in directory.metrics() if line.get("event") == "done"}
    ceilings = {f"{UNIFORM_FRAMES} frames spread evenly": uniform_ceiling(list(_tasks(run, "test")))}
    table = make_table(read_evaluations(folders), ORDER, ceilings, seconds)
    write_json(run.out / "table.json", table.to_json())
    write_text(run.out / TABLE_FILE, render_table(table))
    rows = [it.row for it in table.rows]
    plot_accuracy(rows, 0.25, run.out / "plots" / "accuracy.png")
    plot_groups({row.policy: row.families for row in rows}, 0.25, run.out / "plots" / "families.png")
    if table.calls:
        plot_budget(table.calls, "calls", 0.25, run.out / "plots" / "calls.png")
