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

The preset `second` is another list of policies, in `experiments.pipelines.second_round`.

Every step is a `vt-env` command in a separate process; an interrupted pipeline resumes. The table is written after
every training seed, to `table.md`, `table.json` and `plots/`.
"""

from collections.abc import Iterator, Mapping
from shlex import quote

from experiments.analysis.seed_table import TableInputs
from experiments.bench.world_ceilings import uniform_ceiling
from experiments.data.key import TRAJECTORIES_FILE
from experiments.pipelines.quickstart import TEMPERATURE
from experiments.pipelines.reproduce_steps import (
    BUDGET,
    GRPO_SETTINGS,
    PROMPTS,
    ReproduceRun,
    evaluation,
    generation,
    synthesis,
    trajectories,
    world_steps,
)
from experiments.pipelines.second_round import plan_second_round, second_round_inputs
from experiments.report.seed_report import TABLE_FILE, write_inputs, write_seed_report
from experiments.runs.pipeline import PROFILE, Step, command, run_pipeline
from experiments.runs.read_run import read_metrics
from experiments.train.training_run import MODEL_FOLDER
from vt_env.errors import ConfigError

__all__ = ["LABELS", "ORDER", "ReproduceRun", "main", "plan"]

UNIFORM_FRAMES = 8
ORDER = (
    "random", "blind", "uniform", "caption-only", "scripted", "base", "sft", "sft-best", "sft+rft", "sft+grpo",
    "sft+grpo-shaped", "sft-sampled", "sft+grpo-sampled", "oracle",
)  # fmt: skip
"""Policies in the order of the table."""
LABELS = {
    "caption-only": "caption-only, flawless captions (upper bound)",
    "sft+grpo-shaped": "sft+grpo shaped",
    "sft-sampled": "sft sampled",
    "sft+grpo-sampled": "sft+grpo sampled",
}
PAIRS = (
    ("sft+grpo", "sft"),
    ("sft+grpo", "sft-best"),
    ("sft+grpo", "sft+rft"),
    ("sft+rft", "sft"),
    ("sft+grpo", "uniform"),
    ("sft+grpo", "caption-only"),
    ("sft", "uniform"),
    ("sft+grpo-sampled", "sft-sampled"),
    ("sft+grpo-shaped", "sft+grpo"),
)
"""Pairs to compare if both were evaluated: mostly a policy and the one that its training started from."""
SAMPLED = ("sft", "sft+grpo")
"""Policies that are also evaluated as GRPO samples."""
SECOND = ("second", "second-smoke")
"""Presets of the second round."""


def main(run: ReproduceRun) -> int:
    """Run the remaining steps, print one line per step, and write the table.

    Returns:
        0, or the exit code of the command that failed.

    Raises:
        ConfigError: The base model does not exist, the folder belongs to another run, or a row does not exist.
    """
    if run.rows and run.preset not in SECOND:
        raise ConfigError(f"rows={' '.join(run.rows)}: --preset {run.preset} has no rows to choose from; drop --rows")
    if run.world != "world" and run.preset not in SECOND:
        raise ConfigError(f"world={run.world}: --preset {run.preset} is of the first world; give --preset second")
    if run.dry_run:
        _print_commands(run)
        return 0
    code = run_pipeline("reproduce", run, run.sizes, lambda directory: plan(run), lambda directory: write_table(run))
    if not code:
        print((run.out / TABLE_FILE).read_text(encoding="utf-8"))
    return code


def plan(run: ReproduceRun) -> Iterator[Step]:
    """List the steps in order.

    Raises:
        ConfigError: A row does not exist.
    """
    if run.preset in SECOND:
        yield from plan_second_round(run, lambda: write_table(run))
        return
    yield from _data(run)
    for agent in ("random", "blind", "scripted", "base", "oracle"):
        model = generation(run, run.base) if agent in ("blind", "base") else ()
        yield evaluation(run, run.out / "eval", agent, ("--agent", agent, *model))
    # A table after each seed, so that the first is available hours before the last step.
    for seed in run.seeds:
        yield from _trained(run, seed, _seed_trainings(run, seed))
        yield Step(f"table {seed}", lambda: write_table(run))
    yield from _trained(run, run.seed, _comparison_trainings(run, run.seed))


def write_table(run: ReproduceRun) -> None:
    """Write the table of all finished evaluations, and its figures."""
    seconds = {line["phase"]: line["seconds"] for line in read_metrics(run.out) if line.get("event") == "done"}
    write_inputs(run.out, second_round_inputs(run, seconds) if run.preset in SECOND else _inputs(run, seconds))
    write_seed_report(run.out, run.out)


def _inputs(run: ReproduceRun, seconds: Mapping[str, float]) -> TableInputs:
    ceilings = {f"{UNIFORM_FRAMES} frames spread evenly": uniform_ceiling(list(run.tasks("test")))}
    return TableInputs(ORDER, LABELS, PAIRS, (), ceilings, seconds)


def _print_commands(run: ReproduceRun) -> None:
    done = {line["phase"] for line in read_metrics(run.out) if line.get("event") == "done"}
    for step in plan(run):
        if step.name not in done:
            words = " ".join(["vt-env", *map(quote, step.words)]) if step.words else "(in this process)"
            print(f"{step.name}: {words}")


def _data(run: ReproduceRun) -> Iterator[Step]:
    yield from world_steps(run)
    tasks = run.world_folder("train")
    # The paper's filter keeps an attempt at every question, right or wrong.
    attempts = ("--teacher.persistence", run.sizes.persistence, "--mode", "paper", "--perception", "frames")
    yield synthesis(run, "synth", tasks, *attempts)
    yield synthesis(run, "synth-best", tasks, "--teacher.persistence", 1.0, "--perception", "frames")
    yield synthesis(run, "synth-captions", tasks, "--teacher.persistence", 1.0, "--perception", "captions")
    flags = ("--tasks", tasks, *PROFILE, "--frames", UNIFORM_FRAMES, *PROMPTS)
    yield command("keys", "key", "--out", run.out / "keys", *flags)


def _seed_trainings(run: ReproduceRun, seed: int) -> Mapping[str, tuple[object, ...]]:
    """Return policy to command and flags, for the trainings of every training seed."""
    sizes = run.sizes
    attempts = trajectories(run, "synth", sizes.sft_weights)
    rounds = ("--limit", sizes.rft_questions, "--samples", sizes.rft_samples, "--temperature", TEMPERATURE)
    again = (*rounds, "--steps", sizes.rft_steps, "--lr", sizes.rft_lr, *_skills(run))
    trainings: dict[str, tuple[object, ...]] = {"sft": ("sft", *attempts, *_from_base(run))}
    if sizes.rft_steps:
        trainings["sft+rft"] = ("rft", "--budget", BUDGET, *again, *_from_sft(run, seed))
    trainings["sft+grpo"] = ("grpo", *_updates(run, seed))
    return trainings


def _comparison_trainings(run: ReproduceRun, seed: int) -> Mapping[str, tuple[object, ...]]:
    """Return policy to command and flags, for the comparison policies of the first training seed."""
    sizes = run.sizes
    best = (*trajectories(run, "synth-best", sizes.best_weights), "--steps", sizes.best_steps, "--lr", sizes.best_lr)
    answers = ("--trajectories", run.out / "keys" / TRAJECTORIES_FILE, "--tools", "none")
    read = trajectories(run, "synth-captions", sizes.best_weights)
    return {
        "sft-best": ("sft", *best, *_skills(run), *_from_sft(run, seed)),
        "uniform": ("sft", *answers, *_from_base(run)),
        "caption-only": ("sft", *read, *_from_base(run)),
        "sft+grpo-shaped": ("grpo", "--rewards", "shaped", *_updates(run, seed)),
    }


def _skills(run: ReproduceRun) -> tuple[object, ...]:
    return ("--skills-share", run.sizes.skills_share)


def _from_base(run: ReproduceRun) -> tuple[object, ...]:
    return ("--model", run.base, "--steps", run.sizes.sft_steps, "--lr", run.sizes.sft_lr, *_skills(run))


def _from_sft(run: ReproduceRun, seed: int) -> tuple[object, ...]:
    return ("--model", run.folder(seed) / "sft" / MODEL_FOLDER)


def _updates(run: ReproduceRun, seed: int) -> tuple[object, ...]:
    size = ("--steps", run.sizes.grpo_steps, "--prompts-per-step", run.sizes.grpo_prompts)
    return ("--budget", BUDGET, *size, *GRPO_SETTINGS, *_from_sft(run, seed))


def _trained(run: ReproduceRun, seed: int, trainings: Mapping[str, tuple[object, ...]]) -> Iterator[Step]:
    """List a training step and its evaluation steps for each policy."""
    folder = run.folder(seed)
    for name, words in trainings.items():
        tasks = ("--tasks", run.world_folder("train"), "--seed", seed, *PROFILE)
        yield command(f"{name} {seed}", *words, *tasks, "--out", folder / name)
        policy = ("--agent", name.removesuffix("-best").removesuffix("-shaped"))
        model = generation(run, folder / name / MODEL_FOLDER)
        yield evaluation(run, folder / "eval", name, (*policy, *model), seed)
        if name in SAMPLED:
            sampled = (*policy, *model, "--model.temperature", TEMPERATURE)
            yield evaluation(run, folder / "eval", f"{name}-sampled", sampled, seed)
