"""Cache verification and garbage collection: damage is found, entries in use are kept, a full disk loses no data."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from support.videos import VideoSpec, read_index, write_video

from vt_env.config import MediaConfig
from vt_env.errors import ConfigError, DataError
from vt_env.media.cache import decoded_frames
from vt_env.media.cache.build_once import build_once, cache_key
from vt_env.media.cache.frame_store import build_store
from vt_env.media.cache.sealed_files import read_sealed, seal, unseal, write_sealed
from vt_env.media.cache_eviction import Limits, collect, find_faults, list_cached
from vt_env.media.library import Video, VideoLibrary
from vt_env.types import Box, VideoRef

WHOLE = Box(0, 0, 1, 1)
NOTHING_MORE = Limits()


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "v.mp4"
    write_video(path, VideoSpec(frames=120, b_frames=2))
    return path


@pytest.fixture
def cache(media: Path, tmp_path: Path) -> Path:
    """A cache with one store, one clip index and one decoded frame, open nowhere."""
    opened(media, tmp_path).crop(3.0, WHOLE)
    return tmp_path


def opened(media: Path, cache: Path, decoded_bytes: int = 1 << 20) -> Video:
    return VideoLibrary(MediaConfig(), cache, "colours", decoded_bytes=decoded_bytes).open(VideoRef("v", str(media)))


def only(folder: Path) -> Path:
    (path,) = [it for it in folder.iterdir() if it.suffix != ".lock" and it.name != "total_bytes"]
    return path


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def older_version(path: Path) -> None:
    meta = unseal(path.read_text())
    path.write_text(json.dumps({**meta, "schema": 1}))


DAMAGE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "flipped bit in the frames": ("stores", lambda it: flip_a_bit(it / "frames.bin"), "frames.bin does not match"),
    "flipped bit in the index": ("stores", lambda it: flip_a_bit(it / "index.bin"), "index.bin does not match"),
    "flipped bit in the description": ("stores", lambda it: flip_a_bit(it / "meta.json"), "damaged"),
    "truncated frames": ("stores", lambda it: os.truncate(it / "frames.bin", 100), "frames.bin does not match"),
    "no frames": ("stores", lambda it: (it / "frames.bin").unlink(), "it has no frames.bin"),
    "no description": ("stores", lambda it: (it / "meta.json").unlink(), "it has no meta.json"),
    "older version": ("stores", lambda it: older_version(it / "meta.json"), "version 1 of the format, this is version"),
    "flipped bit in the clips": ("clips", flip_a_bit, "damaged"),
    "truncated clips": ("clips", lambda it: os.truncate(it, it.stat().st_size - 1), "does not match its checksum"),
    "empty clips": ("clips", lambda it: os.truncate(it, 0), "damaged"),
    "clips without a seal": ("clips", lambda it: it.write_bytes(bytes(96)), "damaged"),
    "flipped bit in a decoded frame": ("frames", flip_a_bit, "damaged"),
}


def test_a_whole_cache_has_no_faults(cache: Path) -> None:
    assert [it.kind for it in list_cached(cache)] == ["stores", "clips", "frames"]
    assert list(find_faults(cache)) == []


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_in_one_line_with_the_remedy_which_works(media: Path, cache: Path, damage: str) -> None:
    kind, do, defect = DAMAGE[damage]
    do(only(cache / kind))
    (fault,) = find_faults(cache)
    assert fault.path == only(cache / kind) and defect in fault.defect
    assert "vt-env index --gc --verify" in str(fault) and "\n" not in str(fault)
    assert fault.path in collect(cache, NOTHING_MORE, 0.0, (fault,)).removed and not fault.path.exists()
    video = opened(media, cache)
    assert read_index(video.crop(3.0, WHOLE).data[0]) == 30 and list(find_faults(cache)) == []


@pytest.mark.parametrize("name", ["index.bin", "meta.json"])
def test_a_flipped_bit_in_a_store_s_times_is_refused_when_it_is_opened(media: Path, cache: Path, name: str) -> None:
    flip_a_bit(only(cache / "stores") / name)
    with pytest.raises(DataError, match="damaged"):
        build_store(media, MediaConfig(), cache)


def test_a_flipped_bit_in_a_stored_frame_is_refused_when_that_frame_is_read(media: Path, cache: Path) -> None:
    flip_a_bit(only(cache / "stores") / "frames.bin")
    store = build_store(media, MediaConfig(), cache)
    refused = 0
    for second in range(12):
        try:
            assert read_index(store.frames_at([second]).data[0]) == second * 10
        except DataError:
            refused += 1
    assert refused == 1


def test_faults_can_be_looked_for_in_some_videos_only(media: Path, cache: Path) -> None:
    flip_a_bit(only(cache / "stores") / "frames.bin")
    assert list(find_faults(cache, frozenset(["of another video"]))) == []
    assert len(list(find_faults(cache, frozenset([build_store(media, MediaConfig(), cache).media])))) == 1


def test_a_sealed_file_gives_back_what_it_holds_and_nothing_else(tmp_path: Path) -> None:
    about = {"schema": 3, "of": "me"}
    path = tmp_path / f"{cache_key(**about)}.bin"
    write_sealed(path, about, b"a\nb\0")
    sealed = read_sealed(path, 3)
    assert (sealed.payload, dict(sealed.about)) == (b"a\nb\0", {"schema": 3, "of": "me"})
    with pytest.raises(DataError, match="written by version 3 of the format, this is version 4"):
        read_sealed(path, 4)
    with pytest.raises(ValueError, match="does not match its checksum"):
        unseal(json.dumps(seal({"a": 1}) | {"a": 2}))


def test_what_is_open_is_kept_and_goes_once_it_is_closed(media: Path, cache: Path) -> None:
    everything = Limits(max_bytes=0)
    video = opened(media, cache)
    kept = collect(cache, everything, 0.0)
    assert {path.parent.name for path in kept.kept_in_use} == {"stores", "clips"}
    assert [path.parent.name for path in kept.removed if path.suffix == ".png"] == ["frames"]
    assert read_index(video.frames_at([5]).data[0]) == 50
    del video
    gone = collect(cache, everything, 0.0)
    assert gone.left_bytes == 0 and not gone.kept_in_use and list_cached(cache) == []


def test_another_process_s_use_counts_and_ends_with_it(media: Path, cache: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from vt_env.config import MediaConfig\n"
        "from vt_env.media.cache.frame_store import build_store\n"
        "store = build_store(sys.argv[1], MediaConfig(), Path(sys.argv[2]))\n"
        "print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(media), str(cache)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None and reader.stdout.readline() == "open\n"
        assert only(cache / "stores") in collect(cache, Limits(max_bytes=0), 0.0).kept_in_use
        reader.kill()
    assert not collect(cache, Limits(max_bytes=0), 0.0).kept_in_use


def test_what_was_used_longest_ago_goes_first_and_opening_counts_as_use(tmp_path: Path) -> None:
    stores: list[Path] = []
    for number in range(3):
        write_video(tmp_path / f"{number}.mp4", VideoSpec(frames=20 + number))
        stores.append(tmp_path / "stores" / build_store(tmp_path / f"{number}.mp4", MediaConfig(), tmp_path).key)
        os.utime(stores[-1] / "meta.json", (1000 + number, 1000 + number))
    build_store(tmp_path / "0.mp4", MediaConfig(), tmp_path)
    sizes = [sum(it.stat().st_size for it in store.iterdir()) for store in stores]
    by_size = collect(tmp_path, Limits(max_bytes=sum(sizes) - 1), 0.0)
    assert [path for path in by_size.removed if path.suffix != ".lock"] == [stores[1]]
    assert by_size.left_bytes == sizes[0] + sizes[2]
    by_age = collect(tmp_path, Limits(max_age_s=60.0), now_s=1100.0)
    assert [path for path in by_age.removed if path.suffix != ".lock"] == [stores[2]] and stores[0].exists()


def test_what_a_killed_builder_left_goes_and_what_a_live_one_writes_stays(tmp_path: Path) -> None:
    (tmp_path / "stores").mkdir()
    dead = tmp_path / "stores" / "dead.part"
    dead.mkdir()
    (dead / "frames.bin").write_bytes(bytes(1000))
    (tmp_path / "stores" / "dead.lock").touch()

    def build(aside: Path) -> None:
        aside.write_bytes(b"half")
        assert [fault.path for fault in find_faults(tmp_path)] == [dead]
        done = collect(tmp_path, NOTHING_MORE, 0.0)
        assert set(done.removed) == {dead, dead.with_suffix(".lock")} and done.freed_bytes == 1000
        assert aside.exists()

    build_once(tmp_path / "stores" / "alive", build)
    assert sorted(it.name for it in (tmp_path / "stores").iterdir()) == ["alive", "alive.lock"]


def test_a_decoded_frame_that_is_being_written_stays_and_one_that_was_left_half_written_goes(cache: Path) -> None:
    half = cache / "frames" / "half.part"
    half.write_bytes(bytes(1000))
    collecting = Thread(target=collect, args=(cache, NOTHING_MORE, 0.0))
    with decoded_frames.locked_total(cache / "frames"):
        collecting.start()
        collecting.join(0.2)
        assert half.exists()
    collecting.join()
    assert not half.exists()


def test_decoded_frames_are_the_same_whether_they_were_kept_or_not(media: Path, tmp_path: Path) -> None:
    kept, never = opened(media, tmp_path), opened(media, tmp_path, decoded_bytes=0)
    box = Box(0.2, 0.1, 0.7, 0.9)
    for _ in range(2):
        assert (kept.crop(7.35, box).data == never.crop(7.35, box).data).all()
    assert len(list((tmp_path / "frames").glob("*.png"))) == 1


def test_a_kept_frame_is_not_decoded_again(media: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    shutil.copy(media, copy)
    video = opened(copy, tmp_path)
    first = video.crop(4.0, WHOLE)
    copy.unlink()
    assert (video.crop(4.0, WHOLE).data == first.data).all()
    with pytest.raises(DataError, match="no such file"):
        video.crop(5.0, WHOLE)


def test_decoded_frames_stay_within_their_limit_and_the_latest_stay(media: Path, tmp_path: Path) -> None:
    limit_bytes = 12_000
    video = opened(media, tmp_path, limit_bytes)
    for idx in range(40):
        video.crop(idx / 10, WHOLE)
        paths = list((tmp_path / "frames").glob("*.png"))
        assert sum(path.stat().st_size for path in paths) <= limit_bytes
        assert idx in [read_sealed(path, decoded_frames.SCHEMA).about["idx"] for path in paths]
    assert 2 < len(paths) < 40


@pytest.mark.parametrize("text", ["", "nonsense", "999999999"])
def test_a_wrong_total_of_decoded_frames_mends_itself(media: Path, tmp_path: Path, text: str) -> None:
    video = opened(media, tmp_path)
    video.crop(0.0, WHOLE)
    (tmp_path / "frames" / "total_bytes").write_text(text)
    video.crop(1.0, WHOLE)
    sizes = [path.stat().st_size for path in (tmp_path / "frames").glob("*.png")]
    assert len(sizes) == 2 and int((tmp_path / "frames" / "total_bytes").read_text()) == sum(sizes)


def in_small_disk(script: str, media: Path, disk: Path, options: str) -> subprocess.CompletedProcess[str]:
    """Run a script with `disk` on a file system of its own, in a mount namespace that ends with it."""
    inside = f'mount -t tmpfs -o {options} tmpfs "$2" && exec "$0" -c "$3" "$1" "$2"'
    command = ["unshare", "-rm", "sh", "-c", inside, sys.executable, str(media), str(disk), script]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def can_mount() -> bool:
    return bool(shutil.which("unshare")) and (
        subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/tmp"], capture_output=True).returncode == 0
    )


HEAD = (
    "import resource, subprocess, sys; from pathlib import Path\n"
    "from vt_env.config import MediaConfig; from vt_env.errors import VtEnvError\n"
    "from vt_env.media.library import VideoLibrary; from vt_env.types import Box, VideoRef\n"
    "media, cache = sys.argv[1], Path(sys.argv[2])\n"
    "ref, library = VideoRef('v', media), VideoLibrary(MediaConfig(), cache, 'colours')\n"
)
FULL = (
    "try: library.open(ref)\n"
    "except VtEnvError as error: print(type(error).__name__, error)\n"
    "print([it.name for it in (cache / 'stores').iterdir() if it.suffix != '.lock'])\n"
)


@pytest.mark.skipif(not can_mount(), reason="needs user namespaces")
def test_a_full_disk_is_one_clear_error_and_nothing_is_left_half_written(media: Path, tmp_path: Path) -> None:
    done = in_small_disk(HEAD + FULL, media, tmp_path, "size=24k")
    error, left = done.stdout.splitlines()
    assert error.startswith("ConfigError") and "No space left" in error and "vt-env index --gc" in error
    assert left == "[]"


@pytest.mark.skipif(not can_mount(), reason="needs user namespaces")
def test_frames_are_decoded_each_time_where_the_disk_is_full_or_read_only(media: Path, tmp_path: Path) -> None:
    script = HEAD + (
        "video = library.open(ref)\n"
        "before = video.crop(1.0, Box(0, 0, 1, 1)).data\n"
        "try: (cache / 'filler').write_bytes(bytes(1 << 20))\n"
        "except OSError: pass\n"
        "video.crop(2.0, Box(0, 0, 1, 1))\n"
        "(cache / 'filler').unlink()\n"
        "subprocess.run(['mount', '-o', 'remount,ro', str(cache)], check=True)\n"
        "again = VideoLibrary(MediaConfig(), cache, 'colours').open(ref)\n"
        "print((again.crop(1.0, Box(0, 0, 1, 1)).data == before).all(), again.crop(3.0, Box(0, 0, 1, 1)).data.shape)\n"
        "print(len(list((cache / 'frames').glob('*.png'))))\n"
    )
    done = in_small_disk(script, media, tmp_path, "size=400k")
    assert done.stdout.splitlines() == ["True (1, 56, 56, 3)", "1"], done.stderr


def test_a_file_size_limit_is_as_a_full_disk(media: Path, tmp_path: Path) -> None:
    script = HEAD + "resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000))\n" + FULL
    command = [sys.executable, "-c", script, str(media), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    error, left = done.stdout.splitlines()
    assert error.startswith("ConfigError") and "cannot be written" in error and left == "[]"


def test_a_cache_that_may_not_be_written_is_one_clear_error(media: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be written .* set VT_ENV_CACHE"):
        build_store(media, MediaConfig(), Path("/proc/nothing"))


def test_clip_vectors_survive_the_way_to_disk(media: Path, cache: Path) -> None:
    first, again = opened(media, cache).index.vectors, opened(media, cache).index.vectors
    assert first.dtype == np.float32 and (first == again).all()
