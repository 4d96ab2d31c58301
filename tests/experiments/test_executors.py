"""Episodes played by worker processes are those of one process; tests/engines/test_ray.py says it of a cluster."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.spread_commands import (
    Folder,
    check_same_evaluation,
    check_same_synthesis,
    synthesise,
    write_folder,
    write_world,
)

from agents.backends.fake_server import FakeChatServer, completion
from experiments.cli import run
from experiments.runs.executors import ExecutorConfig, Work, run_in_workers
from experiments.runs.journal import read_journal
from experiments.settings.models import ModelConfig, PolicyServerConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return write_folder(tmp_path_factory.mktemp("spread") / "tasks")


@pytest.fixture(autouse=True)
def cache(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VT_ENV_CACHE", str(folder.path / "cache"))


@pytest.fixture
def server() -> Iterator[FakeChatServer]:
    with FakeChatServer(lambda body: completion("<answer>B</answer>", tokens=3)) as server:
        yield server


@pytest.mark.slow
def test_a_run_begun_in_one_process_goes_on_in_two_and_ends_as_in_one(folder: Folder, tmp_path: Path):
    row = folder.evaluate(tmp_path / "one", samples=2, shuffle_frames=True)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    journal = tmp_path / "two" / "journal.jsonl"
    kept = journal.read_bytes().splitlines(keepends=True)[:5]
    journal.write_bytes(b"".join(kept))
    again = folder.evaluate(tmp_path / "two", samples=2, workers=2, shuffle_frames=True)
    assert journal.read_bytes().splitlines(keepends=True)[:5] == kept
    check_same_evaluation(tmp_path / "two", tmp_path / "one")
    assert (again.accuracy, again.ci95, again.calls) == (row.accuracy, row.ci95, row.calls)


@pytest.mark.slow
def test_a_worker_asks_a_server_what_one_process_asks_it(folder: Folder, server: FakeChatServer, tmp_path: Path):
    model = ModelConfig(backend="openai", server=PolicyServerConfig(server.base_url))
    folder.evaluate(tmp_path / "one", "full", model=model)
    folder.evaluate(tmp_path / "two", "full", model=model, workers=1)
    check_same_evaluation(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
def test_an_episode_that_ends_its_worker_is_invalid_and_the_others_are_played(folder: Folder, tmp_path: Path):
    row = folder.evaluate(tmp_path / "run", "Deadly", workers=1)
    assert row.status == {"ok": 11, "error": 1}
    episodes = read_journal(tmp_path / "run")
    assert sorted(it.task_id for it in episodes) == [f"task-{n:02d}" for n in range(12)]
    (invalid,) = (it for it in episodes if it.invalid)
    assert invalid.task_id == "task-03" and "ended its worker twice" in (invalid.invalid or "")


@pytest.mark.slow
def test_a_worker_synthesises_what_one_process_synthesises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    write_world(tmp_path / "world")
    assert synthesise(tmp_path / "world", tmp_path / "one") == 0
    assert synthesise(tmp_path / "world", tmp_path / "two", "--workers", "1") == 0
    check_same_synthesis(tmp_path / "two", tmp_path / "one")


def refuse(setup: str) -> str:
    raise OSError(setup)


def take(worker: str, item: int) -> int:
    return item


@pytest.mark.slow
def test_what_keeps_a_worker_from_opening_is_raised():
    with pytest.raises(OSError, match="no such disk"):
        list(run_in_workers(ExecutorConfig(workers=1), Work(refuse, "no such disk", take), [1]))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["eval", "--agent", "full", "--backend", "vllm", "--workers", "2"], "--backend vllm with --workers 2: serve"),
        (["eval", "--agent", "full", "--backend", "vllm", "--executor", "ray"], "--executor ray: serve the model"),
        (["synth", "--teacher", "vllm", "--teacher.model", "m", "--workers", "1"], "give --teacher server"),
        (["synth", "--support", "--captions", "server", "--executor", "ray"], "replays would ask the captioner"),
        (["eval", "--ray-address", "auto"], "needs --executor ray"),
        (["eval", "--workers", "-1"], "workers=-1: need 0 or more"),
    ],
)
def test_what_cannot_be_spread_is_one_line(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]):
    assert run(arguments) == 2
    told = capsys.readouterr().err
    assert line in told and told.count("\n") == 1
