"""Commands that are killed in the fault suite, at tiny size: what must be readable after a kill, and what is compared.

`undisturbed` and resumed runs end with the same `result`, without times of a clock.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.runs.journal import read_journal
from experiments.runs.read_run import CONFIG, JOURNAL, PROVENANCE, read_json, read_metrics
from synth.dataset import read_dataset
from vt_env.episode.trajectory import read_trajectories
from vt_env.jsonl import PART, is_torn
from vt_env.media.cache.build_once import LOCK
from vt_env.media.cache_eviction import find_faults

UNFINISHED = "its builder ended before it was finished"
WORLD = (
    "--split", "train", "--processes", 1, "--world.videos", 3, "--world.tasks-per-video", 4, "--world.facts", 2,
    "--world.duration-min-s", 40, "--world.duration-max-s", 50, "--world.scene-min-s", 8, "--world.scene-max-s", 14,
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where a command works."""

    inputs: Path
    """Folder with the world and, for training, models and trajectories."""
    out: Path
    cache: Path


@dataclass(frozen=True)
class Killed:
    """One command of the suite."""

    name: str
    arguments: Callable[[Place], Sequence[object]]
    check: Callable[[Place], None]
    """Fails where something on disk does not read."""
    result: Callable[[Place], Any]
    kept: Callable[[Place], bytes] = lambda place: b""
    """Finished work, which later runs only append to."""


def hashes(folder: Path) -> dict[str, str]:
    """Return the hash of each file below a folder by its name; locks hold nothing and are left out."""
    files = (it for it in sorted(folder.rglob("*")) if it.is_file() and it.suffix != LOCK)
    return {str(it.relative_to(folder)): hashlib.sha256(it.read_bytes()).hexdigest() for it in files}


def check_cache(place: Place) -> None:
    """Read every entry of the cache; a killed builder may leave unfinished ones, under their own names."""
    faults = [fault for fault in find_faults(place.cache) if fault.defect != UNFINISHED]
    assert faults == []


def check_run(place: Place) -> None:
    """Read what a run directory holds."""
    check_cache(place)
    for name in (CONFIG, PROVENANCE):
        if (place.out / name).exists():
            assert read_json(place.out / name)
    read_metrics(place.out)
    episodes = read_journal(place.out)
    attempts = [(it.task_id, it.sample) for it in episodes]
    assert len(set(attempts)) == len(attempts)
    if (place.out / "report.json").exists():
        assert read_json(place.out / "report.json")["rows"]


def check_synthesis(place: Place) -> None:
    """Read a run directory with a data set, which is there whole or not at all."""
    check_run(place)
    if (place.out / "dataset").exists():
        assert list(read_dataset(place.out / "dataset"))


def check_training(place: Place) -> None:
    """Read a run directory of training; its model is there whole or not at all."""
    for name in (CONFIG, PROVENANCE):
        if (place.out / name).exists():
            assert read_json(place.out / name)
    read_metrics(place.out)
    if (place.out / JOURNAL).exists():
        list(read_trajectories(place.out / JOURNAL, skip_torn=True))
    if (place.out / "model").exists():
        assert weights(place)


def whole_lines(place: Place) -> bytes:
    """Return the journal up to its last whole line."""
    path = place.out / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return b"".join(line for line in lines if not is_torn(line))


def episodes_of(place: Place) -> Any:
    """Return the episodes of a journal in the order of their tasks, and the row of the report."""
    lines = (place.out / JOURNAL).read_text().splitlines()
    episodes = _episodes(place)
    rows = [{name: row[name] for name in _ROW} for row in _report(place)["rows"]]
    return len(lines), episodes, rows


def _episodes(place: Place) -> list[tuple[str, int, str]]:
    # The provenance names the commit, which changes while a developer works.
    plain = (replace(it.without_times(), provenance="") for it in read_journal(place.out))
    return sorted((it.task_id, it.sample, it.to_json()) for it in plain)


_ROW = ("policy", "n", "videos", "accuracy", "ci95", "calls", "frames", "invalid_rate", "no_answer_rate", "status")
"""Fields of a row of a report that no clock measures."""


def _report(place: Place) -> dict[str, Any]:
    return read_json(place.out / "report.json")


def dataset_of(place: Place) -> Any:
    """Return the attempts and the files of a data set."""
    return _episodes(place), hashes(place.out / "dataset")


def weights(place: Place) -> str:
    """Return the hash of the weights."""
    return hashlib.sha256((place.out / "model" / "model.safetensors").read_bytes()).hexdigest()


def training_of(place: Place) -> Any:
    """Return the weights and the rollouts."""
    journal = place.out / JOURNAL
    rollouts = list(read_trajectories(journal)) if journal.exists() else []
    return weights(place), [(it.sample, it.task_id, it.reward, [turn.text for turn in it.turns]) for it in rollouts]


def leftovers(place: Place) -> list[str]:
    """List what is half-written."""
    names = (str(it.relative_to(it.parents[1])) for folder in (place.out, place.cache) for it in folder.rglob("*"))
    return [name for name in names if re.search(rf"\{PART}$", name)]


def _index(place: Place) -> Sequence[object]:
    return "index", place.inputs / "world", "--workers", 1, "--encoder", "colours"


def _eval(place: Place) -> Sequence[object]:
    tasks = "--tasks", place.inputs / "world", "--split", "train"
    return "eval", *tasks, "--agent", "random", "--samples", 2, "--out", place.out, "--batch", 4


def _synth(place: Place) -> Sequence[object]:
    return "synth", "--tasks", place.inputs / "world", "--split", "train", "--samples", 2, "--out", place.out


def _training(place: Place, name: str, steps: int) -> Sequence[object]:
    tasks = "--tasks", place.inputs / "tasks.jsonl", "--out", place.out, "--threads", 1
    return name, *tasks, "--steps", steps, "--save-steps", 1, "--report-to"


def _sft(place: Place) -> Sequence[object]:
    data = "--trajectories", place.inputs / "trajectories.jsonl", "--model", place.inputs / "random"
    return *_training(place, "sft", 4), *data, "--batch-size", 2, "--accumulation", 2, "--skills-share", 0.3


def _grpo(place: Place) -> Sequence[object]:
    rollouts = "--prompts-per-step", 2, "--group-size", 4, "--micro-batch", 4
    lengths = "--max-completion-length", 500, "--context-tokens", 1024
    return *_training(place, "grpo", 3), "--model", place.inputs / "taught/model", *rollouts, *lengths, "--lr", 3e-4


COMMANDS = {
    it.name: it
    for it in (
        Killed("index", _index, check_cache, lambda place: hashes(place.cache)),
        Killed("eval", _eval, check_run, episodes_of, whole_lines),
        Killed("synth", _synth, check_synthesis, dataset_of, whole_lines),
        Killed("sft", _sft, check_training, training_of),
        Killed("grpo", _grpo, check_training, training_of),
    )
}


def described(value: Any) -> str:
    """Shorten a result for a message."""
    return json.dumps(value, default=str)[:500]
