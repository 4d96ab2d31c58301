"""An object store that speaks S3 takes stores, shards and runs; runs where s3fs and moto are (`.ci/engines remote`)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("s3fs", reason="s3fs and moto have an environment of their own: .ci/engines remote")

from moto.server import ThreadedMotoServer
from support.spread_commands import Folder, check_same_evaluation, write_folder

from experiments.cli import run
from experiments.runs.run_dir import REMOTE_RUNS
from vt_env.errors import ConfigError
from vt_env.media.cache.published import REMOTE_CACHE, fetch, publish


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Address of a bucket of a server in this process, as `AWS_ENDPOINT_URL` names it."""
    import s3fs

    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem().mkdir("clips")
        yield "s3://clips"
    server.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return write_folder(tmp_path / "tasks")


def test_a_folder_comes_back_from_s3_and_only_changes_are_sent(bucket: str, folder: Folder, tmp_path: Path):
    assert publish(folder.path, f"{bucket}/tasks") == 4
    assert publish(folder.path, f"{bucket}/tasks") == 0
    assert fetch(f"{bucket}/tasks", tmp_path / "back")
    assert (tmp_path / "back" / "one.mp4").read_bytes() == (folder.path / "one.mp4").read_bytes()


def test_a_run_goes_on_with_the_stores_of_another_machine(
    bucket: str, folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(REMOTE_CACHE, f"{bucket}/cache")
    monkeypatch.setenv(REMOTE_RUNS, f"{bucket}/runs")
    for machine in ("one", "two"):
        monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / machine / "cache"))
        folder.evaluate(tmp_path / machine / "run")
    check_same_evaluation(tmp_path / "two" / "run", tmp_path / "one" / "run")
    journals = [(tmp_path / machine / "run" / "journal.jsonl").read_bytes() for machine in ("one", "two")]
    assert journals[0] == journals[1]
    assert not (tmp_path / "two" / "cache" / "stores").exists()
    monkeypatch.delenv(REMOTE_RUNS)
    folder.evaluate(tmp_path / "two" / "again")
    assert len(list((tmp_path / "two" / "cache" / "stores").glob("*/meta.json"))) == 2


def test_a_bucket_that_is_missing_is_one_line(bucket: str, folder: Folder):
    with pytest.raises(ConfigError, match=r"s3://nowhere/x: .*check the address and its credentials"):
        publish(folder.path, "s3://nowhere/x")


def test_the_command_copies_there_and_back(bucket: str, folder: Folder, tmp_path: Path, capsys):
    assert not run(["sync", str(folder.path), f"{bucket}/shards"])
    assert not run(["sync", f"{bucket}/shards", str(tmp_path / "back")])
    assert "4 files sent" in capsys.readouterr().out
    assert len(list((tmp_path / "back").iterdir())) == 4
