"""What is published on an object store is fetched whole and verified, and only what has changed is sent again."""

import json
import shutil
from pathlib import Path
from uuid import uuid4

import pytest
from support.videos import write_video

from vt_env.config import MediaConfig
from vt_env.errors import ConfigError, DataError
from vt_env.hashing import frames_hash
from vt_env.media.cache import build_once
from vt_env.media.cache.frame_store import build_store
from vt_env.media.cache.published import REMOTE_CACHE, fetch, publish

pytest.importorskip("fsspec", reason="needs the remote extra")


@pytest.fixture(params=["file", "memory"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"file://{tmp_path}/store/run" if request.param == "file" else f"memory://{uuid4().hex}/run"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "checkpoint-2").mkdir(parents=True)
    (folder / "journal.jsonl").write_text("one\n")
    (folder / "checkpoint-2" / "weights").write_bytes(bytes(range(256)) * 9000)
    (folder / "half.part").write_text("half")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (it for it in folder.rglob("*") if it.is_file() and it.suffix != ".part")
    return {str(it.relative_to(folder)): it.read_bytes() for it in files}


def test_a_folder_comes_back_as_it_was_without_what_is_not_finished(address, folder, tmp_path):
    assert publish(folder, address) == 2
    assert fetch(address, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(folder)


def test_only_what_has_changed_is_sent_again_and_what_is_gone_is_gone_there(address, folder, tmp_path):
    publish(folder, address)
    assert publish(folder, address) == 0
    with (folder / "journal.jsonl").open("a") as journal:
        journal.write("two\n")
    shutil.rmtree(folder / "checkpoint-2")
    assert publish(folder, address) == 1
    assert fetch(address, tmp_path / "back")
    assert contents(tmp_path / "back") == {"journal.jsonl": b"one\ntwo\n"}
    with pytest.raises(FileNotFoundError):
        _open(f"{address}/checkpoint-2/weights")


def _open(address: str) -> bytes:
    import fsspec

    with fsspec.open(address) as file:
        return file.read()


def _write(address: str, data: bytes) -> None:
    import fsspec

    with fsspec.open(address, "wb") as file:
        file.write(data)


def test_what_was_not_published_to_its_end_is_not_there(address, tmp_path):
    _write(f"{address}/journal.jsonl", b"one\n")
    assert not fetch(address, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_file_that_differs_from_its_record_is_refused(address, folder, tmp_path):
    publish(folder, address)
    _write(f"{address}/journal.jsonl", b"two\n")
    with pytest.raises(DataError, match=r"journal.jsonl does not match its record; publish it again"):
        fetch(address, tmp_path / "back")
    assert not (tmp_path / "back" / "journal.jsonl").exists()


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out"])
def test_a_record_that_leads_out_of_the_folder_is_refused(address, tmp_path, name):
    _write(f"{address}.published.json", json.dumps({name: [0, ""]}).encode())
    with pytest.raises(DataError, match="leads out of the folder"):
        fetch(address, tmp_path / "back")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["nosuch://bucket/x", "file:///proc/nowhere/x"])
def test_an_address_that_cannot_be_used_is_one_line(address, folder):
    with pytest.raises(ConfigError) as refused:
        publish(folder, address)
    assert address in str(refused.value) and "\n" not in str(refused.value)


def test_a_store_built_on_one_machine_is_fetched_and_not_decoded_on_another(tmp_path, monkeypatch):
    monkeypatch.setenv(REMOTE_CACHE, f"memory://{uuid4().hex}")
    write_video(tmp_path / "film.mp4")
    built = build_store(tmp_path / "film.mp4", MediaConfig(), tmp_path / "here")
    shares: list[float] = []
    fetched = build_store(tmp_path / "film.mp4", MediaConfig(), tmp_path / "there", shares.append)
    assert shares == []
    assert frames_hash(fetched.frames_at([0, 2.5])) == frames_hash(built.frames_at([0, 2.5]))
    assert contents(tmp_path / "there" / "stores" / fetched.key) == contents(tmp_path / "here" / "stores" / built.key)


def test_an_entry_that_is_damaged_there_is_built_here(tmp_path, monkeypatch):
    monkeypatch.setenv(REMOTE_CACHE, f"file://{tmp_path}/shared")
    write_video(tmp_path / "film.mp4")
    key = build_store(tmp_path / "film.mp4", MediaConfig(), tmp_path / "here").key
    (tmp_path / "shared" / "stores" / key / "frames.bin").write_bytes(b"")
    with pytest.warns(UserWarning, match="it is built here"):
        build_store(tmp_path / "film.mp4", MediaConfig(), tmp_path / "there")
    assert contents(tmp_path / "there" / "stores" / key) == contents(tmp_path / "here" / "stores" / key)


def test_a_remote_cache_that_cannot_be_written_stops_no_build_and_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(REMOTE_CACHE, "file:///proc/nowhere")
    write_video(tmp_path / "film.mp4")
    with pytest.warns(UserWarning, match="what is built here is not shared"):
        store = build_store(tmp_path / "film.mp4", MediaConfig(), tmp_path / "here")
    assert len(store.times_s) == 4


def test_an_address_as_the_cache_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setenv("VT_ENV_CACHE", "s3://bucket/cache")
    with pytest.raises(ConfigError, match="set VT_ENV_REMOTE_CACHE to it"):
        build_once.cache_root()


def test_other_entries_stay_on_their_machine(tmp_path, monkeypatch):
    monkeypatch.setenv(REMOTE_CACHE, f"file://{tmp_path}/shared")
    build_once.build_once(tmp_path / "here" / "summaries" / "one", lambda part: part.write_text("one"))
    assert not (tmp_path / "shared").exists()
