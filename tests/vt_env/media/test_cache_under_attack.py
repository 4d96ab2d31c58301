"""What cannot be read now is not damaged, what is another entry is refused, and damage of any kind ends no check."""

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.videos import VideoSpec, indices, read_index, write_video

from vt_env.config import MediaConfig
from vt_env.errors import LOUD, ConfigError, DataError, is_shortage
from vt_env.media.cache import sealed_files
from vt_env.media.cache.build_once import content_hash
from vt_env.media.cache.decoded_frames import DecodedFrames
from vt_env.media.cache.frame_store import build_store
from vt_env.media.cache_eviction import Limits, collect, find_faults
from vt_env.media.decode.container import open_media
from vt_env.media.decode.video_file import open_video
from vt_env.media.library import VideoLibrary
from vt_env.media.text.speech import transcribe
from vt_env.media.text.subtitles import load_captions
from vt_env.types import Box, VideoRef

WHOLE = Box(0, 0, 1, 1)
OTHER = VideoSpec(paint=lambda index, size_px: np.full((size_px[1], size_px[0], 3), 200, dtype=np.uint8))


@pytest.fixture
def media(tmp_path: Path) -> Path:
    write_video(tmp_path / "a.mp4")
    write_video(tmp_path / "b.mp4", OTHER)
    return tmp_path / "a.mp4"


@pytest.fixture
def cache(media: Path) -> Path:
    """A cache with a store, a clip index and a decoded frame of each of two videos."""
    library = VideoLibrary(MediaConfig(), media.parent / "cache", "colours")
    for name in ("a", "b"):
        library.open(VideoRef(name, str(media.parent / f"{name}.mp4"))).crop(1.0, WHOLE)
    return media.parent / "cache"


def entry_of(cache: Path, kind: str, media: Path) -> tuple[Path, Path]:
    """Return the entry of a video and that of the other one."""
    entries = [it for it in (cache / kind).iterdir() if it.name != "total_bytes" and it.suffix != ".lock"]
    marked = [(it / "meta.json" if it.is_dir() else it).read_bytes() for it in entries]
    is_own = [content_hash(media).encode() in it for it in marked]
    assert sorted(is_own) == [False, True]
    return entries[is_own.index(True)], entries[is_own.index(False)]


@pytest.mark.parametrize("kind", ["stores", "clips", "frames"])
def test_an_entry_copied_under_another_name_is_refused(media: Path, cache: Path, kind: str) -> None:
    own, other = entry_of(cache, kind, media)
    if own.is_dir():
        shutil.rmtree(own)
        shutil.copytree(other, own)
    else:
        shutil.copy(other, own)
    assert [(it.path, it.defect) for it in find_faults(cache)] == [
        (own, "damaged (it is another entry under this name)")
    ]
    library = VideoLibrary(MediaConfig(), cache, "colours")
    if kind == "frames":
        # A frame is decoded again.
        assert read_index(library.open(VideoRef("a", str(media))).crop(1.0, WHOLE).data[0]) == 10
    else:
        with pytest.raises(DataError, match="it is another entry under this name"):
            library.open(VideoRef("a", str(media)))


@pytest.mark.parametrize(
    "meta", ["[]", "[" * 100_000, "1" * 5000, '{"schema": 5}', "null", '{"schema": 5, "files": []}']
)
def test_a_description_of_any_kind_is_a_fault_and_ends_no_check(
    media: Path, cache: Path, meta: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, _ = entry_of(cache, "stores", media)
    (own / "meta.json").write_text(meta)
    assert [it.path for it in find_faults(cache)] == [own]
    with pytest.raises(DataError, match="delete this folder, it is rebuilt on the next use"):
        build_store(media, MediaConfig(), cache)


def test_what_a_check_did_not_foresee_is_a_fault_of_that_entry(
    media: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(LOUD)
    own, _ = entry_of(cache, "clips", media)
    read = sealed_files.unseal

    def failing(head: bytes) -> dict[str, object]:
        about = read(head)
        if content_hash(media) in str(about) and "clip_s" in about:
            raise AttributeError("'list' object has no attribute 'get'")
        return about

    monkeypatch.setattr(sealed_files, "unseal", failing)
    (fault,) = find_faults(cache)
    assert fault.path == own and "AttributeError" in fault.defect


def refused_by_the_system(path: Path) -> bytes:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def test_what_the_system_does_not_let_be_read_is_reported_and_kept(
    media: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refused_by_the_system)
        faults = tuple(find_faults(cache))
        assert len(faults) == 6 and all("cannot be read (Permission denied)" in str(it) for it in faults)
        assert not any("--gc" in str(it) for it in faults)
        assert collect(cache, Limits(), 0.0, faults).removed == ()
    assert list(find_faults(cache)) == []


@pytest.fixture
def few_files() -> Iterator[None]:
    """Leave no descriptor to open another file with."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    free = [os.open("/dev/null", os.O_RDONLY) for _ in range(8)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(highest, *free) + 1, before[1]))
    taken: list[int] = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
    for descriptor in (*taken, *free):
        os.close(descriptor)


def test_without_descriptors_nothing_is_called_damaged_and_nothing_is_deleted(
    media: Path, cache: Path, request: pytest.FixtureRequest
) -> None:
    rows = media.parent / "captions.jsonl"
    rows.write_text('{"start_s": 0, "end_s": 1, "text": "t"}\n')
    Image.new("RGB", (32, 32)).save(media.parent / "0.png")
    before = {it: it.stat().st_mtime_ns for it in cache.rglob("*.png")}
    store = build_store(media, MediaConfig(), cache)
    decoded = DecodedFrames(cache / "frames", 1 << 20)
    request.getfixturevalue("few_files")
    for action in (
        lambda: open_video(media),
        lambda: build_store(media, MediaConfig(), cache),
        lambda: store.frames_at([1.0]),
        lambda: load_captions(rows),
        lambda: open_media(media).__enter__(),
    ):
        with pytest.raises(OSError) as caught:
            action()
        assert is_shortage(caught.value)
    # Decoded again, where a player still holds the file open.
    with suppress(OSError):
        assert read_index(decoded.frames_at(store.video, store.media, [1.0]).data[0]) == 10
    assert set(before) == set(cache.rglob("*.png"))


def test_an_open_video_takes_one_descriptor(media: Path, cache: Path) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    store = build_store(media, MediaConfig(), cache)
    before = open_files()
    kept = [build_store(media, MediaConfig(), cache) for _ in range(20)]
    assert open_files() - before <= 20
    assert indices(kept[-1].frames_at([1.0, 3.0]).data) == indices(store.frames_at([1.0, 3.0]).data) == [10, 30]


def test_a_store_deleted_under_an_open_video_says_so(media: Path, cache: Path) -> None:
    store = build_store(media, MediaConfig(), cache)
    shutil.rmtree(cache / "stores" / store.key)
    with pytest.raises(DataError, match="deleted while it was open; run the command again"):
        store.frames_at([1.0])


def test_names_that_are_not_utf_8_are_names_like_others(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"pictures\xff")
    folder.mkdir()
    Image.new("RGB", (20, 20)).save(folder / os.fsdecode(b"0\xfe.png"), "PNG")
    write_video(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").rename(tmp_path / os.fsdecode(b"a\xe9.mp4"))
    for path in (folder, tmp_path / os.fsdecode(b"a\xe9.mp4")):
        assert build_store(path, MediaConfig(), tmp_path / "cache").media == content_hash(path)


def test_a_picture_larger_than_any_video_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "0.png")
    monkeypatch.setattr("vt_env.media.decode.picture_folder.MAX_PIXELS", 64 * 48 - 1)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("unpacked"))
    with pytest.raises(DataError, match=r"0\.png: it is 64x48, at most 3071 pixels are read"):
        open_video(tmp_path)


def test_speech_of_a_video_that_changes_under_way_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, VideoSpec(audio=True))
    (tmp_path / "model.bin").write_bytes(b"weights")

    def replacing(path: Path, model: object, progress: object) -> list[object]:
        write_video(path, VideoSpec(frames=20, audio=True))
        return []

    monkeypatch.setattr("vt_env.media.text.speech._load_model", lambda name: None)
    monkeypatch.setattr("vt_env.media.text.speech._recognise", replacing)
    with pytest.raises(DataError, match="it was replaced while its speech was recognised; run the command again"):
        transcribe(path, str(tmp_path), cache_dir=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.json"))


def test_a_cache_that_others_may_write_is_pointed_out(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    with pytest.warns(UserWarning, match="any user of this machine may write it"):
        build_store(tmp_path / "a.mp4", MediaConfig(), tmp_path / "cache")


def test_a_home_that_is_not_known_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from vt_env.media.cache.build_once import cache_root

    monkeypatch.delenv("VT_ENV_CACHE", raising=False)

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    with pytest.raises(ConfigError, match="no home folder is known; set VT_ENV_CACHE"):
        cache_root()
