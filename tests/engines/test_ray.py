"""Work on a real Ray cluster of this machine gives what local processes give; runs where Ray is (`.ci/engines ray`)."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Barrier

import pytest

pytest.importorskip("ray", reason="Ray has an environment of its own: .ci/engines ray")

from support.spread_commands import (
    Folder,
    check_same_evaluation,
    check_same_synthesis,
    synthesise,
    write_folder,
    write_world,
)
from support.videos import write_video

from agents.backends.fake_server import FakeChatServer, completion
from agents.language.confidence_gate import GateConfig
from agents.rollout import EpisodeLimits
from experiments.cli import run
from experiments.evaluate.play_attempts import EvalWorkerSpec, play_in_workers
from experiments.runs.executors import EpisodeExecutorConfig, ExecutorConfig, Work, run_in_workers
from experiments.runs.journal import read_journal
from experiments.settings.library import LibraryConfig
from experiments.settings.models import ModelConfig, PolicyServerConfig
from experiments.settings.policies import SeededAttempt, Setting
from vt_env.errors import ConfigError
from vt_env.testing import fake_task

RAY = ExecutorConfig(workers=2, executor="ray")
ON_RAY = {"executor": "ray", "workers": 2}
FLAGS = ("--executor", "ray", "--workers", "2")


@pytest.fixture(autouse=True)
def workers_find_the_functions_of_this_file(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", f"{here}:{here.parent}")


def refuse(setup: str) -> str:
    raise OSError(setup)


def open_nothing(setup: str) -> str:
    return setup


def open_barrier(parties: int) -> Barrier:
    return Barrier(parties, timeout=60)


def meet(worker: Barrier, item: int) -> int:
    """Return when as many items as the barrier waits for are in progress."""
    worker.wait()
    return item


def square(worker: str, item: int) -> tuple[str, int]:
    return worker, item * item


def die_at_three_once(worker: str, item: int) -> int:
    """End the process at item 3, the first time; leave a mark in the folder that the worker was opened with."""
    (Path(worker) / f"{item}-{time.time_ns()}").touch()
    if item == 3 and len(list(Path(worker).glob("3-*"))) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def die_at_three(worker: str, item: int) -> int:
    if item == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_every_item_is_done_once_with_the_worker_that_was_opened():
    results = dict(run_in_workers(RAY, Work(open_nothing, "opened", square), range(20)))
    assert results == {item: ("opened", item * item) for item in range(20)}


def test_a_worker_that_is_killed_loses_and_doubles_nothing(tmp_path: Path):
    results = list(run_in_workers(RAY, Work(open_nothing, str(tmp_path), die_at_three_once), range(8)))
    assert sorted(results) == [(item, item) for item in range(8)]
    assert len(list(tmp_path.iterdir())) == 9


def test_an_item_that_kills_its_worker_is_named_and_the_others_are_done():
    results = dict(run_in_workers(RAY, Work(open_nothing, "", die_at_three), range(6)))
    assert results == {item: None if item == 3 else item for item in range(6)}


def test_videos_indexed_on_ray_are_those_indexed_locally_to_the_byte(tmp_path: Path, monkeypatch, capsys):
    (tmp_path / "videos").mkdir()
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / "videos" / name)
    stores = []
    for executor in ("local", "ray"):
        monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / executor))
        arguments = ["index", str(tmp_path / "videos"), "--workers", "2", "--executor", executor, "--encoder", "none"]
        assert run(arguments) == 0
        assert "2 of 2 videos are indexed" in capsys.readouterr().out
        root = tmp_path / executor
        stores.append(
            {str(it.relative_to(root)): it.read_bytes() for it in root.rglob("*") if it.is_file() and it.stat().st_size}
        )
    assert stores[0]
    assert stores[0] == stores[1]


def test_what_keeps_a_worker_from_opening_is_raised():
    with pytest.raises(Exception, match="no such disk"):
        list(run_in_workers(RAY, Work(refuse, "no such disk", square), [1]))


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1:99999"])
def test_an_address_without_a_cluster_is_one_line(address: str):
    nowhere = ExecutorConfig(executor="ray", ray_address=address)
    with pytest.raises(ConfigError, match="start one with ray start"):
        list(run_in_workers(nowhere, Work(open_nothing, "", square), [1]))


def test_a_worker_that_waits_for_a_server_takes_several_items_at_once():
    work = Work(open_barrier, 4, meet, at_once=4)
    results = list(run_in_workers(ExecutorConfig(workers=1, executor="ray"), work, range(8)))
    assert sorted(results) == [(item, item) for item in range(8)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    return write_folder(tmp_path / "tasks")


def test_episodes_on_ray_are_those_of_one_process(folder: Folder, tmp_path: Path):
    folder.evaluate(tmp_path / "local", samples=2)
    folder.evaluate(tmp_path / "ray", samples=2, **ON_RAY)
    check_same_evaluation(tmp_path / "ray", tmp_path / "local")


def test_workers_on_ray_ask_a_server_what_one_process_asks_it(folder: Folder, tmp_path: Path):
    with FakeChatServer(lambda body: completion("<answer>B</answer>", tokens=3)) as server:
        model = ModelConfig(backend="openai", server=PolicyServerConfig(server.base_url))
        folder.evaluate(tmp_path / "local", "full", model=model)
        folder.evaluate(tmp_path / "ray", "full", model=model, **ON_RAY)
    check_same_evaluation(tmp_path / "ray", tmp_path / "local")


def test_a_worker_that_is_killed_costs_no_episode(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "once").mkdir()
    monkeypatch.setenv("DEADLY_ONCE", str(tmp_path / "once"))
    row = folder.evaluate(tmp_path / "ray", "Deadly", **ON_RAY)
    assert (tmp_path / "once" / "died").exists()
    assert row.status == {"ok": 12}
    assert sorted(it.task_id for it in read_journal(tmp_path / "ray")) == [f"task-{n:02d}" for n in range(12)]


def test_a_run_whose_process_is_killed_goes_on_and_ends_as_one_that_was_not(folder: Folder, tmp_path: Path):
    folder.evaluate(tmp_path / "local", samples=40)
    arguments = ["--tasks", str(folder.path), "--encoder", "none", "--samples", "40", *FLAGS]
    command = [sys.executable, "-m", "experiments.cli", "eval", *arguments, "--out", str(tmp_path / "ray")]
    driver = subprocess.Popen(command, start_new_session=True)
    journal = tmp_path / "ray" / "journal.jsonl"
    while driver.poll() is None and not (journal.exists() and journal.stat().st_size > 100_000):
        time.sleep(0.01)
    driver.kill()
    driver.wait()
    kept = [line for line in journal.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    assert 0 < len(kept) < 480
    folder.evaluate(tmp_path / "ray", samples=40, **ON_RAY)
    assert journal.read_bytes().splitlines(keepends=True)[: len(kept)] == kept
    check_same_evaluation(tmp_path / "ray", tmp_path / "local")


def test_demonstrations_synthesised_on_ray_are_those_of_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    write_world(tmp_path / "world")
    assert synthesise(tmp_path / "world", tmp_path / "local") == 0
    assert synthesise(tmp_path / "world", tmp_path / "ray", *FLAGS) == 0
    check_same_synthesis(tmp_path / "ray", tmp_path / "local")


def test_an_agent_that_a_worker_has_otherwise_is_refused(folder: Folder, tmp_path: Path):
    spec = EvalWorkerSpec(
        "constant",
        ModelConfig(),
        GateConfig(),
        Setting(),
        LibraryConfig(),
        0,
        1,
        EpisodeLimits(),
        {"source": {"hash": "1"}},
    )
    attempts = [SeededAttempt(fake_task(), 0)]
    with pytest.raises(ConfigError, match="give all machines the same files") as refused:
        list(play_in_workers(EpisodeExecutorConfig(workers=1, executor="ray"), spec, attempts, ""))
    assert "\n" not in str(refused.value)
