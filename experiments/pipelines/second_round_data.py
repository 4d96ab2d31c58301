"""Data of the second round of `vt-env reproduce`: captions of the base, demonstrations, and tasks with two splits."""

from collections.abc import Iterator
from pathlib import Path

from experiments.bench.caption_errors import CaptionErrorsBench, caption_errors
from experiments.data.world import task_row
from experiments.pipelines.reproduce_steps import PROMPTS, ReproduceRun, synthesis
from experiments.report.seed_report import ERRORS_FILE
from experiments.runs.pipeline import PROFILE, Step, command
from experiments.runs.run_dir import as_json, write_json
from vt_env.jsonl import encode_record, write_lines
from vt_env.task_sources import load_tasks
from vt_env.tasks.read_rows import TASKS_FILE

FRAME_COUNTS = (8, 16, 32)
"""Numbers of frames of the rows `uniform`."""
CAPTIONS_FOLDER, LEARN = "captions", "learn"


def caption_steps(run: ReproduceRun) -> Iterator[Step]:
    """List the steps that caption the videos of both splits with the base, and count its errors."""
    backend = "vllm" if run.sizes.backend == "vllm" else "transformers"
    model = ("--model", run.base, "--backend", backend, *PROFILE)
    for split in ("train", "test"):
        tasks = ("--tasks", run.world_folder(split), "--split", split)
        yield command(f"captions {split}", "captions", "--out", captions_folder(run, split), *tasks, *model)
    yield Step("caption errors", lambda: _write_errors(run))


def _write_errors(run: ReproduceRun) -> None:
    found = caption_errors(CaptionErrorsBench(str(run.world_folder("test")), captions_folder(run, "test")))
    write_json(run.out / ERRORS_FILE, as_json(found))


def captions_folder(run: ReproduceRun, split: str) -> Path:
    """Return the folder of the captions of a split, and of the tasks that name them."""
    return run.out / CAPTIONS_FOLDER / split


def data_steps(run: ReproduceRun) -> dict[str, Step]:
    """Return the steps that write demonstrations, by name."""
    tasks, best = run.world_folder("train"), ("--teacher.persistence", 1.0)
    # The paper's filter keeps an attempt at every question, right or wrong.
    attempts = ("--teacher.persistence", run.sizes.persistence, "--mode", "paper")
    read, seen = ("--perception", "captions"), ("--perception", "frames")
    steps = {
        "synth": synthesis(run, "synth", tasks, *attempts, *seen),
        "synth-best": synthesis(run, "synth-best", tasks, *best, *seen),
        "synth-captions": synthesis(run, "synth-captions", tasks, *best, *read),
        "synth-written": synthesis(run, "synth-written", captions_folder(run, "train"), *best, *read),
        "keys-0": _key_step(run, "keys-0", 0, "--answer-form", "letter"),
        "keys-8-numbers": _key_step(run, "keys-8-numbers", 8, "--answer-form", "short", "--notes"),
        "keys-8-direct": _key_step(run, "keys-8-direct", 8, "--answer-form", "letter"),
    }
    notes = ("--answer-form", "letter", "--notes")
    return steps | {f"keys-{count}": _key_step(run, f"keys-{count}", count, *notes) for count in FRAME_COUNTS}


def _key_step(run: ReproduceRun, name: str, frames: int, *flags: object) -> Step:
    fixed = ("--tasks", run.world_folder("train"), *PROFILE, "--frames", frames, *PROMPTS)
    return command(name, "key", "--out", run.out / name, *fixed, *flags)


def write_learning_tasks(run: ReproduceRun) -> None:
    """Write the tasks of training and of its evaluations as one file, with both splits."""
    folder = run.world_folder(LEARN)
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [task for split in ("train", "val") for task in load_tasks(run.world_folder(split), split)]
    write_lines(folder / TASKS_FILE, (encode_record(task_row(task, folder)) for task in tasks))
