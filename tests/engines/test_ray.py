"""Work on a real Ray cluster of this machine gives what local processes give; runs where Ray is (`.ci/engines ray`)."""

import os
import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray has an environment of its own: .ci/engines ray")

from support.videos import write_video

from experiments.cli import run
from experiments.runs.executors import ExecutorConfig, Work, run_in_workers
from vt_env.errors import ConfigError

RAY = ExecutorConfig(workers=2, executor="ray")


@pytest.fixture(autouse=True)
def workers_find_the_functions_of_this_file(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", f"{here}:{here.parent}")


def refuse(setup: str) -> str:
    raise OSError(setup)


def open_nothing(setup: str) -> str:
    return setup


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


def test_an_address_without_a_cluster_is_one_line():
    nowhere = ExecutorConfig(executor="ray", ray_address="auto")
    with pytest.raises(ConfigError, match="start one with ray start"):
        list(run_in_workers(nowhere, Work(open_nothing, "", square), [1]))
