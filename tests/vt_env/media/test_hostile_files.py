"""Files that are not what they claim to be, or change under way, are refused in one line; they end nothing else."""

import errno
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.videos import VideoSpec, indices, write_video

from experiments.data.index import IndexRun, index_all
from experiments.data.video_paths import find_videos
from experiments.settings.models import checkpoint_hash
from vt_env.config import MediaConfig
from vt_env.errors import LOUD, DataError, foreign_input
from vt_env.media.cache import build_once, frame_store
from vt_env.media.cache.build_once import content_hash
from vt_env.media.cache.decoded_frames import DecodedFrames
from vt_env.media.cache.frame_store import build_store
from vt_env.media.decode.video_file import VideoFile, open_video
from vt_env.media.library import VideoLibrary
from vt_env.tasks.read_rows import scan_tasks
from vt_env.types import VideoRef

BACK = VideoSpec(frames=30, paint=lambda index, size_px: np.full((size_px[1], size_px[0], 3), 200, dtype=np.uint8))


@pytest.fixture
def video(tmp_path: Path) -> Path:
    write_video(tmp_path / "video.mp4")
    return tmp_path / "video.mp4"


def test_a_playlist_under_a_video_s_name_opens_no_neighbour(video: Path) -> None:
    lists = {
        "concat.mp4": f"ffconcat version 1.0\nfile '{video.name}'\n",
        "hls.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{video.name}\n#EXT-X-ENDLIST\n",
        "hls.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile://{video}\n#EXT-X-ENDLIST\n",
        "dash.mp4": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
    }
    for name, text in lists.items():
        (video.parent / name).write_text(text)
        with pytest.raises(DataError, match=f"{name}: FFmpeg cannot read it"):
            open_video(video.parent / name)


def test_a_picture_is_read_as_a_picture_whatever_else_pillow_knows(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    with pytest.raises(DataError, match=r"0\.png: it cannot be read as a picture \(UnidentifiedImageError\)"):
        open_video(tmp_path)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


@pytest.mark.parametrize(
    "chunk",
    [
        chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(2 << 20))),
        chunk(b"eXIf", b"garbage!"),
        chunk(b"pHYs", b"a"),
    ],
    ids=["a text of megabytes", "no Exif", "half a chunk"],
)
def test_a_picture_is_refused_where_its_reader_raises_no_error_of_files(tmp_path: Path, chunk: bytes) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "0.png")
    whole = (tmp_path / "0.png").read_bytes()
    at = whole.index(b"IDAT") - 4
    (tmp_path / "0.png").write_bytes(whole[:at] + chunk + whole[at:])
    with pytest.raises(DataError, match=r"0\.png: it cannot be read as a picture \((ValueError|SyntaxError)\)"):
        open_video(tmp_path)


@pytest.mark.parametrize(
    "times",
    ['{"times_s": [0], "end_s": Infinity}', '{"times_s": [NaN], "end_s": 1}', '{"frame_rate_hz": 1e-999}',
     '{"frame_rate_hz": 1' + "0" * 400 + "}", "[" * 100_000, '{"times_s": [-Infinity], "end_s": 1}'],
    ids=range(6),
)  # fmt: skip
def test_times_of_pictures_that_no_clock_has_are_refused(tmp_path: Path, times: str) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "0.png")
    (tmp_path / "frames.json").write_text(times)
    with pytest.raises(DataError, match=r"frames\.json: .*; need "):
        open_video(tmp_path)


def test_a_video_replaced_while_it_is_stored_leaves_no_store(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "other.mp4", BACK)
    opened = frame_store.open_video

    def replacing(path: Path, backend: str) -> VideoFile:
        os.replace(tmp_path / "other.mp4", path)
        return opened(path, backend)

    monkeypatch.setattr(frame_store, "open_video", replacing)
    with pytest.raises(DataError, match="replaced while its frames were read; run the command again"):
        build_store(video, MediaConfig(), tmp_path / "cache")
    monkeypatch.undo()
    assert not [it for it in (tmp_path / "cache" / "stores").iterdir() if it.is_dir()]
    assert (build_store(video, MediaConfig(), tmp_path / "cache").frames_at([0]).data > 150).any()


def test_frames_of_a_video_replaced_since_are_neither_shown_nor_kept(video: Path, tmp_path: Path) -> None:
    store = build_store(video, MediaConfig(), tmp_path / "cache")
    decoded = DecodedFrames(tmp_path / "frames", 1 << 20)
    video.rename(tmp_path / "aside.mp4")
    write_video(video, BACK)
    with pytest.raises(DataError, match="it was changed or replaced since it was opened; start again"):
        decoded.frames_at(store.video, store.media, [1.0])
    (tmp_path / "aside.mp4").replace(video)
    store = build_store(video, MediaConfig(), tmp_path / "cache")
    assert indices(decoded.frames_at(store.video, store.media, [1.0]).data) == [10]


@pytest.mark.parametrize("size", [5 << 20, 40 << 20])
def test_a_byte_anywhere_in_a_file_changes_its_hash(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes: set[str] = set()
    places = [0, size // 3, size // 2, size * 2 // 3 + 777, size - 1]
    for number, place in enumerate(places):
        data = bytearray(size)
        data[place] = 1
        (tmp_path / "weights.bin").write_bytes(data)
        hashes |= {content_hash(tmp_path / "weights.bin"), str(checkpoint_hash(str(tmp_path)))}
        assert len(hashes) == 2 * number + 2
    # Of files too large to be read whole, long differences are seen.
    monkeypatch.setattr(build_once, "_WHOLE_BYTES", 1 << 20)
    (tmp_path / "other.bin").write_bytes(bytes(size // 2) + b"x" * (size // 10) + bytes(size - size // 2 - size // 10))
    (tmp_path / "zeros.bin").write_bytes(bytes(size))
    assert content_hash(tmp_path / "other.bin") != content_hash(tmp_path / "zeros.bin")
    # A checkpoint is read whole whatever its size.
    monkeypatch.setattr(build_once, "_BLOCKS", 2)
    (tmp_path / "checkpoint").mkdir()
    for number in (0, 1):
        middle = bytes([number])
        (tmp_path / "checkpoint" / "weights.bin").write_bytes(bytes(size // 2) + middle + bytes(size // 2))
        hashes |= {str(checkpoint_hash(str(tmp_path / "checkpoint")))}
    assert len(hashes) == 2 * len(places) + 2


@pytest.fixture
def quiet_readers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(LOUD)
    yield


def test_programming_errors_are_loud_in_tests_and_failures_of_one_element_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(AttributeError), foreign_input("a.mp4"):
        raise AttributeError("none")
    monkeypatch.delenv(LOUD)
    with pytest.raises(DataError, match=r"^a\.mp4: cannot be read \(AttributeError: none\); "), foreign_input("a.mp4"):
        raise AttributeError("none")
    for passes in (MemoryError(), OSError(24, "too many files"), KeyboardInterrupt(), DataError("known")):
        with pytest.raises(type(passes)), foreign_input("a.mp4"):
            raise passes


def test_one_file_that_nobody_foresaw_ends_no_folder(
    video: Path, tmp_path: Path, quiet_readers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "odd.mkv")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "endless.mp4").symlink_to("/dev/zero")
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    opened = frame_store.open_video

    def failing(path: Path, backend: str) -> VideoFile:
        if path.name == "odd.mkv":
            raise AttributeError("'NoneType' object has no attribute 'codec'")
        return opened(path, backend)

    monkeypatch.setattr(frame_store, "open_video", failing)
    results = {
        Path(it.path).name: it for it in index_all(IndexRun(paths=(tmp_path,), workers=1), find_videos([tmp_path]))
    }
    assert {name: it.status for name, it in results.items()} == {
        "video.mp4": "indexed", "odd.mkv": "undecodable", "pipe.mp4": "undecodable", "endless.mp4": "undecodable",
    }  # fmt: skip
    assert "odd.mkv: cannot be read (AttributeError: 'NoneType'" in results["odd.mkv"].line
    with pytest.raises(DataError, match="AttributeError"):
        VideoLibrary(MediaConfig()).open(VideoRef("v", str(tmp_path / "odd.mkv")))


def test_what_may_not_be_read_ends_no_folder_and_is_said(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    for name in ("closed.mp4", "closed/inside.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_video(tmp_path / name)

    def guarded(given: Callable[..., Any]) -> Callable[..., Any]:
        def checked(path: Any, *others: Any) -> Any:
            if Path(path).name.startswith("closed"):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return given(path, *others)

        return checked

    # Permissions do not stop the user root.
    monkeypatch.setattr(os, "scandir", guarded(os.scandir))
    monkeypatch.setattr(frame_store, "open_video", guarded(frame_store.open_video))
    with pytest.warns(UserWarning, match="closed: the folder cannot be read, its videos are left out"):
        paths = find_videos([tmp_path])
    run = IndexRun(paths=(tmp_path,), workers=1)
    results = {Path(it.path).name: (it.status, it.line) for it in index_all(run, paths)}
    assert results["video.mp4"][0] == "indexed"
    assert results["closed.mp4"][0] == "undecodable" and "(Permission denied)" in results["closed.mp4"][1]


def test_videos_of_every_container_are_found_and_the_rest_is_counted(tmp_path: Path) -> None:
    names = [f"a{suffix}" for suffix in (".flv", ".wmv", ".GIF", ".3gp", ".ogv", ".mts", ".vob", ".m2ts", ".mp4")]
    for name in (*names, "a.srt", "notes.txt", "b.xyz", "c.xyz", "noname"):
        (tmp_path / name).touch()
    with pytest.warns(UserWarning, match=r"3 files are left out \(2 of \.xyz, 1 of no suffix\); name a file itself"):
        found = find_videos([tmp_path])
    assert sorted(it.name for it in found) == sorted(names)


def test_a_path_through_a_link_and_back_does_not_leave_the_folder(tmp_path: Path, video: Path) -> None:
    (tmp_path / "far" / "below").mkdir(parents=True)
    (tmp_path / "far" / "private.mp4").write_bytes(video.read_bytes())
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "link").symlink_to(tmp_path / "far" / "below")
    row = {"video": "link/../private.mp4", "question": "q?", "options": ["a", "b"]}
    (tmp_path / "tasks" / "tasks.jsonl").write_text(json.dumps(row))
    tasks, defects = scan_tasks(tmp_path / "tasks")
    assert not tasks and "leads out of the folder of this file" in defects[0].detail
    with pytest.raises(DataError, match="leads out of the folder"):
        find_videos([tmp_path / "tasks" / "tasks.jsonl"])
