"""Second round of the table of results: `vt-env reproduce --preset second --rows uniform-32 --training-seeds 3`.

    world ──► index ──► captions of the base ──► demonstrations and keys
      ├─► rivals, trained from the base with as many updates as the policy that looks: blind, uniform, caption-only
      ├─► sft ──► sft-best ──► grpo over 60,000 rollouts
      └─► sft-best ──► ablations and controls of grpo over 9,600 rollouts

A row is a policy of the table: what it is trained on, from which other row, and how it is evaluated. `--rows` runs some
of them with what they need; a later call with others goes on in the same folder.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.analysis.seed_table import Claim, TableInputs
from experiments.bench.fixtures.written_captions import WrittenCaptions
from experiments.bench.world_ceilings import captions_ceiling, uniform_ceiling
from experiments.data.key import TRAJECTORIES_FILE
from experiments.pipelines.reproduce_sizes import SecondRoundSizes
from experiments.pipelines.reproduce_steps import (
    BUDGET,
    GRPO_SETTINGS,
    ReproduceRun,
    evaluation,
    generation,
    trajectories,
    world_steps,
)
from experiments.pipelines.second_round_data import (
    FRAME_COUNTS,
    LEARN,
    caption_steps,
    captions_folder,
    data_steps,
    write_learning_tasks,
)
from experiments.runs.pipeline import PROFILE, Step, command
from experiments.train.grpo import MEAN_FOLDER
from experiments.train.grpo_config import GRPORun
from experiments.train.training_run import MODEL_FOLDER
from vt_env.errors import ConfigError, suggest
from vt_env.tasks.read_rows import TASKS_FILE

NOTE_TOKENS = {"world": 12, "world2": 32}
"""Room of a frame's note in a reply, in tokens: in the first world a name, a number, a place and the line end take
eight; the second one names two things with their sizes."""
BASE = "base"
"""Start of a row whose training starts from the base model."""
SHORT = "grpo-short"
"""Row that ablations of GRPO are compared with."""
NO_OPTION = "default,no_option=0.2"
"""Rewards with a penalty for answers that are no option."""


@dataclass(frozen=True)
class Row:
    """One policy of the table."""

    label: str
    """Name in the table."""
    agent: str
    """Policy of `vt-env eval`."""
    train: tuple[object, ...] = ()
    """Training command with its flags; empty for a policy that is not trained further."""
    start: str = BASE
    """Row whose model training starts from; without training, whose model plays."""
    data: tuple[str, ...] = ()
    """Data steps that training needs."""
    play: tuple[object, ...] = ()
    """Further flags of `vt-env eval`."""
    reply_tokens: int | None = None
    """Largest length of a reply in the evaluation; by default that of the preset."""
    reads_written: bool = False
    """Whether the policy trains and plays on the captions of the base."""
    has_model: bool = True
    model: str = MODEL_FOLDER
    """Folder of the model in the run of the row that plays."""

    @property
    def is_shared(self) -> bool:
        """Whether the row is the same for all training seeds."""
        return not self.train and self.start == BASE


def second_round_rows(run: ReproduceRun) -> Mapping[str, Row]:
    """Return all rows by name, in the order of the table; a row follows the one that it starts from."""
    return {**_untrained(run), **_one_turn(run), **_readers(run), **_lookers(run), **_variants(run)}


def plan_second_round(run: ReproduceRun, table: Callable[[], None]) -> Iterator[Step]:
    """List the steps of the chosen rows in order, with the table after each training seed.

    Args:
        run: The reproduction.
        table: Writes the table.

    Raises:
        ConfigError: A chosen row does not exist.
    """
    rows = second_round_rows(run)
    chosen = _with_starts(run.rows or tuple(rows), rows)
    yield from world_steps(run)
    if any(_is_grpo(rows[name]) for name in chosen):
        yield from world_steps(run, ("val",))
        yield Step("world learn", lambda: write_learning_tasks(run))
    needed = dict.fromkeys(step for name in chosen for step in rows[name].data)
    if any(rows[name].reads_written for name in chosen):
        yield from caption_steps(run)
    for name in needed:
        yield data_steps(run)[name]
    for name in chosen:
        if rows[name].is_shared:
            yield _evaluation(run, name, rows[name], None)
    for seed in run.seeds:
        for name in chosen:
            if not rows[name].is_shared:
                yield from _of_seed(run, name, rows[name], seed)
        yield Step(f"table {seed}", table)


def second_round_inputs(run: ReproduceRun, seconds: Mapping[str, float]) -> TableInputs:
    """Return the order, names, pairs, claims and ceilings of the table.

    Args:
        run: The reproduction.
        seconds: Wall time of each finished step.
    """
    rows, tasks = second_round_rows(run), list(run.tasks("test"))
    uniform = tuple(name for name in rows if name.startswith("uniform-"))
    pairs = [("grpo", rival) for rival in ("sft-best", "caption-only-written", *uniform, "caption-only-flawless")]
    pairs += [("sft-best", "sft"), ("caption-only-flawless", "caption-only-written")]
    pairs += [(name, SHORT) for name, row in _variants(run).items() if row.train and name != SHORT]
    pairs += [("grpo-asymmetric", "grpo-two-updates"), ("grpo-mean", "grpo"), ("grpo-shuffled-rewards", "sft-best")]
    pairs += [("grpo-shuffled-frames", "blind")]
    claims = (
        Claim("grpo", ("caption-only-written",), 0.15),
        Claim("grpo", uniform, 0.15),
        Claim("grpo", ("sft-best",), 0.05, calls_share=2 / 3),
    )
    ceilings = {f"{count} frames spread evenly": uniform_ceiling(tasks, count) for count in FRAME_COUNTS}
    ceilings["the flawless captions"] = captions_ceiling(tasks)
    if (captions_folder(run, "test") / TASKS_FILE).exists():
        ceilings["the captions of the base"] = captions_ceiling(tasks, WrittenCaptions(captions_folder(run, "test")))
    labels = {name: row.label for name, row in rows.items()}
    return TableInputs(tuple(rows), labels, tuple(pairs), claims, ceilings, seconds)


def _untrained(run: ReproduceRun) -> dict[str, Row]:
    # The script of the second world reads views of frames where captions are the world's own.
    read = "captions" if run.world == "world" else "views of frames"
    return {
        "random": Row("random", "random", has_model=False),
        "scripted-flawless": Row(f"script, flawless {read} (upper bound)", "scripted", has_model=False),
        "scripted-written": Row("script, captions of the base", "scripted", has_model=False, reads_written=True),
        "base": Row("base", "base"),
    }


def _one_turn(run: ReproduceRun) -> dict[str, Row]:
    """Return the policies that answer at once: without a frame, and with frames spread evenly."""
    rows = {"blind": Row("blind", "blind", _rival(run, _keys(run, "keys-0")), data=("keys-0",))}
    for count in FRAME_COUNTS:
        rows[f"uniform-{count}"] = _uniform(run, count, f"keys-{count}", f"uniform, {count} frames")
    numbers, direct = "uniform, 8 frames, answers as numbers", "uniform, 8 frames, without notes"
    rows["uniform-8-numbers"] = _uniform(run, 8, "keys-8-numbers", numbers)
    rows["uniform-8-direct"] = _uniform(run, 8, "keys-8-direct", direct)
    return rows


def _uniform(run: ReproduceRun, frames: int, keys: str, label: str) -> Row:
    train, play = _rival(run, _keys(run, keys)), ("--model.uniform-frames", frames)
    room = NOTE_TOKENS[run.world]
    tokens = None if run.sizes.max_new_tokens < room else room * frames + 32
    return Row(label, "uniform", train, data=(keys,), play=play, reply_tokens=tokens)


def _readers(run: ReproduceRun) -> dict[str, Row]:
    """Return the policies that read captions."""
    sources = {
        "caption-only-flawless": ("synth-captions", "caption-only, flawless captions (upper bound)"),
        "caption-only-written": ("synth-written", "caption-only, captions of the base"),
    }
    return {
        name: Row(
            label,
            "caption-only",
            _rival(run, trajectories(run, data, _weights(run, run.sizes.best_weights))),
            data=(data,),
            reads_written=data == "synth-written",
        )
        for name, (data, label) in sources.items()
    }


def _lookers(run: ReproduceRun) -> dict[str, Row]:
    """Return the policy that looks, in its three stages."""
    sizes = run.sizes
    attempts = trajectories(run, "synth", _weights(run, sizes.sft_weights))
    best = trajectories(run, "synth-best", _weights(run, sizes.best_weights))
    first = ("--steps", sizes.sft_steps, "--lr", sizes.sft_lr)
    second = ("--steps", sizes.best_steps, "--lr", sizes.best_lr)
    return {
        "sft": Row("sft", "sft", ("sft", *attempts, *first, *_skills(run)), data=("synth",)),
        "sft-best": Row("sft-best", "sft", ("sft", *best, *second, *_skills(run)), "sft", ("synth-best",)),
        "grpo": Row("grpo", "sft+grpo", _grpo(run, _sizes(run).grpo_steps, *_long_run(run)), "sft-best"),
    }


def _long_run(run: ReproduceRun) -> tuple[object, ...]:
    """Return the options of the long run of GRPO."""
    sizes, group = _sizes(run), GRPORun().group_size
    options = ("--dynamic-sampling", 2 * group * sizes.grpo_prompts, "--curriculum", "learnability")
    measured = ("--eval-every", sizes.grpo_eval_every, "--eval-tasks", sizes.grpo_eval_tasks)
    return (*options, "--rewards", NO_OPTION, "--average-last", sizes.average_last, *measured)


def _variants(run: ReproduceRun) -> dict[str, Row]:
    """Return the ablations and controls of GRPO, all of the same number of updates but those that play its model."""
    group, questions = GRPORun().group_size, run.sizes.grpo_prompts
    flags: Mapping[str, tuple[str, tuple[object, ...]]] = {
        SHORT: ("grpo, few updates", ()),
        "grpo-dynamic": ("with dynamic sampling", ("--dynamic-sampling", 2 * group * questions)),
        "grpo-curriculum": ("with a curriculum", ("--curriculum", "learnability")),
        "grpo-groups": ("with groups twice as large", _twice_as_large(group, questions)),
        "grpo-two-updates": ("with two updates a step", ("--num-iterations", 2)),
        "grpo-asymmetric": ("with two updates, clipped at 0.28", ("--num-iterations", 2, "--epsilon-high", 0.28)),
        "grpo-frames": ("with 4 to 8 frames", ("--frame-budgets", 4, 8)),
        "grpo-no-option": ("with a penalty for no option", ("--rewards", NO_OPTION)),
        "grpo-rloo": ("RLOO", ("--advantage-estimator", "rloo")),
        "grpo-reinforce": ("REINFORCE++", ("--advantage-estimator", "reinforce_plus_plus")),
        "grpo-shuffled-rewards": ("control: shuffled rewards", ("--shuffle-rewards",)),
    }
    rows = {
        name: Row(label, "sft+grpo", _grpo(run, _sizes(run).ablation_steps, *some), "sft-best")
        for name, (label, some) in flags.items()
    }
    played = {
        "grpo-mean": Row("grpo, mean of the last checkpoints", "sft+grpo", start="grpo", model=MEAN_FOLDER),
        "grpo-shuffled-frames": Row(
            "control: grpo on shuffled frames", "sft+grpo", start="grpo", play=("--shuffle-frames",)
        ),
    }
    return {**rows, **played, "oracle": Row("oracle", "oracle", has_model=False)}


def _twice_as_large(group: int, questions: int) -> tuple[object, ...]:
    # As many rollouts a step, of half as many questions.
    return ("--group-size", 2 * group, "--prompts-per-step", questions // 2)


def _rival(run: ReproduceRun, data: Sequence[object]) -> tuple[object, ...]:
    steps = ("--steps", _sizes(run).rival_steps, "--lr", run.sizes.sft_lr)
    return ("sft", *data, *steps, *_skills(run))


def _grpo(run: ReproduceRun, steps: int, *flags: object) -> tuple[object, ...]:
    size = ("--steps", steps, "--prompts-per-step", run.sizes.grpo_prompts)
    return ("grpo", "--budget", BUDGET, *size, *GRPO_SETTINGS, *flags)


def _keys(run: ReproduceRun, name: str) -> tuple[object, ...]:
    return ("--trajectories", run.out / name / TRAJECTORIES_FILE, "--tools", "none")


def _skills(run: ReproduceRun) -> tuple[object, ...]:
    return ("--skills-share", run.sizes.skills_share)


def _weights(run: ReproduceRun, weights: Mapping[str, float]) -> Mapping[str, float]:
    """Return the repeats by family of the first world; the second has as many questions of each family."""
    return weights if run.world == "world" else {}


def _sizes(run: ReproduceRun) -> SecondRoundSizes:
    assert isinstance(run.sizes, SecondRoundSizes), run.preset
    return run.sizes


def _with_starts(names: Sequence[str], rows: Mapping[str, Row]) -> list[str]:
    """Return the named rows and those that they start from, in the order of the table.

    Raises:
        ConfigError: A row does not exist.
    """
    wanted: set[str] = set()
    for name in names:
        if name not in rows:
            raise ConfigError(f"rows={name!r}: allowed are {', '.join(rows)}{suggest(name, rows)}")
        wanted.add(name)
        while rows[name].start != BASE:
            name = rows[name].start
            wanted.add(name)
    return [name for name in rows if name in wanted]


def _of_seed(run: ReproduceRun, name: str, row: Row, seed: int) -> Iterator[Step]:
    if row.train:
        tasks = captions_folder(run, "train") if row.reads_written else run.world_folder("train")
        tasks = run.world_folder(LEARN) if _is_grpo(row) else tasks
        fixed = ("--model", _model(run, row.start, seed), "--tasks", tasks, "--seed", seed, *PROFILE)
        yield command(f"{name} {seed}", *row.train, *fixed, "--out", run.folder(seed) / name)
    yield _evaluation(run, name, row, seed)


def _is_grpo(row: Row) -> bool:
    return row.train[:1] == ("grpo",)


def _model(run: ReproduceRun, row: str, seed: int | None, folder: str = MODEL_FOLDER) -> Path:
    return Path(run.base) if row == BASE or seed is None else run.folder(seed) / row / folder


def _evaluation(run: ReproduceRun, name: str, row: Row, seed: int | None) -> Step:
    folder = run.out if seed is None else run.folder(seed)
    path = _model(run, name if row.train else row.start, seed, row.model)
    model = generation(run, path, row.reply_tokens) if row.has_model else ()
    tasks = captions_folder(run, "test") if row.reads_written else None
    return evaluation(run, folder / "eval", name, ("--agent", row.agent, *model, *row.play), seed, tasks)
