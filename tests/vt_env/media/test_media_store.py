"""Frame store: correct frames, built once and atomically, even with concurrent or killed builders."""

import json
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.videos import VideoSpec, indices, write_video

from vt_env.config import MediaConfig
from vt_env.errors import ConfigError, DataError
from vt_env.media.cache.build_once import cache_root, content_hash
from vt_env.media.cache.frame_store import FrameStore, build_store
from vt_env.types import Box

CONFIG = MediaConfig(frame_rate_hz=2.0)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "ten_a_second.mp4"
    write_video(path, VideoSpec(frames=95, b_frames=2))
    return path


@pytest.fixture(scope="module")
def store(video: Path, tmp_path_factory: pytest.TempPathFactory) -> FrameStore:
    return build_store(video, CONFIG, tmp_path_factory.mktemp("cache"))


def test_at_the_moments_of_its_rate_a_store_holds_the_frames_on_screen(store: FrameStore) -> None:
    moments_s = np.arange(19) / 2
    frames = store.frames_at(moments_s.tolist())
    assert frames.data.shape == (19, 56, 56, 3)
    assert indices(frames.data) == [round(moment_s * 10) for moment_s in moments_s]
    assert frames.pts_s == pytest.approx(moments_s)


def test_a_rate_that_does_not_divide_the_videos_stores_what_is_on_screen(tmp_path: Path) -> None:
    write_video(tmp_path / "ntsc.mp4", VideoSpec(frames=90, fps=Fraction(30000, 1001)))
    store = build_store(tmp_path / "ntsc.mp4", MediaConfig(), tmp_path)
    assert indices(store.frames_at([0, 1, 2]).data) == [0, 29, 59]


def test_a_frame_that_stays_long_is_stored_once(tmp_path: Path) -> None:
    write_video(tmp_path / "slides.mp4", VideoSpec(frame_times_s=(0, 30.2, 31.1, 60, 60.5)))
    store = build_store(tmp_path / "slides.mp4", MediaConfig(), tmp_path)
    assert store.times_s == pytest.approx([0, 30.2, 31.1, 60])
    assert indices(store.frames_at([29.9, 31, 31.2, 59.9, 60]).data) == [0, 1, 2, 2, 3]


@given(times_s=st.lists(st.floats(0, 9.49), max_size=12))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_stored_frames_come_in_the_order_asked_for_and_never_from_the_future(
    store: FrameStore, times_s: list[float]
) -> None:
    frames = store.frames_at(times_s)
    assert (frames.pts_s <= np.asarray(times_s) + 1e-6).all() and (frames.pts_s > np.asarray(times_s) - 0.6).all()
    assert indices(frames.data) == np.round(frames.pts_s * 10).astype(int).tolist()


@pytest.mark.parametrize("time_s", [-0.1, 9.5, float("nan")])
def test_times_outside_the_video_are_refused(store: FrameStore, time_s: float) -> None:
    with pytest.raises(DataError, match=r"valid times are 0 to below 9\.5 s"):
        store.frames_at([time_s])


def test_a_store_is_decoded_once_and_found_again_wherever_the_file_lies(video: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    first = build_store(video, CONFIG, tmp_path, shares.append)
    assert shares == sorted(shares) and shares[-1] == 1.0
    (tmp_path / "copy.mp4").write_bytes(video.read_bytes())
    again = build_store(tmp_path / "copy.mp4", CONFIG, tmp_path, lambda share: pytest.fail("decoded twice"))
    assert again.key == first.key and again.video.path == tmp_path / "copy.mp4"


def test_a_stored_folder_of_pictures_is_cropped_from_its_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in (("0.png", (250, 0, 0)), ("1.png", (0, 0, 250))):
        Image.new("RGB", (64, 48), colour).save(folder / name)
    for video in (build_store(folder, CONFIG, tmp_path).video for _ in range(2)):
        assert video.crop_at(1.0, Box(0, 0, 0.5, 0.5), CONFIG).data.max(axis=(0, 1, 2)).tolist() == [0, 0, 250]


def test_other_parameters_and_other_content_make_other_stores(video: Path, store: FrameStore, tmp_path: Path) -> None:
    write_video(tmp_path / "other.mp4", VideoSpec(frames=95, gop=13, b_frames=2))
    keys = {
        store.key,
        build_store(video, MediaConfig(max_pixels=56 * 56, frame_rate_hz=2.0), tmp_path).key,
        build_store(video, MediaConfig(frame_rate_hz=1.0), tmp_path).key,
        build_store(tmp_path / "other.mp4", CONFIG, tmp_path).key,
    }
    assert len(keys) == 4


def test_building_holds_a_few_pictures_in_memory_and_not_the_video(tmp_path: Path) -> None:
    write_video(tmp_path / "long.mp4", VideoSpec(frames=600, fps=Fraction(2), size_px=(224, 224)))
    tracemalloc.start()
    build_store(tmp_path / "long.mp4", MediaConfig(max_pixels=224 * 224), tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 224 * 224 * 3  # 300 pictures are stored


def run_builder(script: str, video: Path, cache: Path) -> subprocess.Popen[str]:
    head = (
        "import os, signal, sys, time\n"
        "from pathlib import Path\n"
        "from vt_env.config import MediaConfig\n"
        "from vt_env.media.cache.frame_store import build_store\n"
        "video, cache = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "config = MediaConfig(frame_rate_hz=2.0)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", head + script, str(video), str(cache)], stdout=subprocess.PIPE, text=True
    )


def finished(cache: Path) -> list[str]:
    return [path.name for path in (cache / "stores").iterdir() if not path.suffix]


def test_a_builder_killed_half_way_leaves_nothing_that_is_taken_for_whole(video: Path, tmp_path: Path) -> None:
    builder = run_builder(
        "build_store(video, config, cache, lambda share: share > 0.5 and os.kill(os.getpid(), signal.SIGKILL))",
        video,
        tmp_path,
    )
    assert builder.wait(timeout=60) == -signal.SIGKILL
    assert finished(tmp_path) == [] and list((tmp_path / "stores").glob("*.part"))
    store = build_store(video, CONFIG, tmp_path)
    assert indices(store.frames_at([0, 4.5, 9]).data) == [0, 45, 90]
    assert finished(tmp_path) == [store.key] and not list((tmp_path / "stores").glob("*.part"))


def test_two_builders_at_once_end_with_one_right_store(video: Path, tmp_path: Path) -> None:
    # The first to decode waits until both have begun, so they do overlap.
    script = (
        "(cache / f'{os.getpid()}.begun').touch()\n"
        "def wait(share):\n"
        "    while len(list(cache.glob('*.begun'))) < 2: time.sleep(0.01)\n"
        "decoded = []\n"
        "store = build_store(video, config, cache, lambda share: (wait(share), decoded.append(share)))\n"
        "print(len(decoded), store.frames_at([k / 2 for k in range(19)]).data.sum())\n"
    )
    builders = [run_builder(script, video, tmp_path) for _ in range(2)]
    reports = [builder.communicate(timeout=60)[0].split() for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0]
    assert sorted(int(decoded) for decoded, _ in reports) == [0, 19]
    assert reports[0][1] == reports[1][1]
    assert len(finished(tmp_path)) == 1 and not list((tmp_path / "stores").glob("*.part"))


def test_a_builder_that_fails_cleans_up_and_the_next_one_can_build(video: Path, tmp_path: Path) -> None:
    def fail(share: float) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        build_store(video, CONFIG, tmp_path, fail)
    assert finished(tmp_path) == [] and not list((tmp_path / "stores").glob("*.part"))
    assert len(build_store(video, CONFIG, tmp_path).times_s) == 19


DAMAGE: dict[str, Callable[[Path], object]] = {
    "short frames": lambda folder: os.truncate(folder / "frames.bin", 1000),
    "no frames": lambda folder: os.truncate(folder / "frames.bin", 0),
    "no index": lambda folder: (folder / "index.bin").unlink(),
    "short index": lambda folder: os.truncate(folder / "index.bin", 80),
    "empty index": lambda folder: os.truncate(folder / "index.bin", 0),
    "broken meta": lambda folder: (folder / "meta.json").write_text("{"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_store_is_refused_with_the_remedy(video: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "stores" / build_store(video, CONFIG, tmp_path).key
    DAMAGE[damage](folder)
    with pytest.raises(DataError, match=r"damaged.*delete this folder, it is rebuilt") as caught:
        build_store(video, CONFIG, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_store_says_what_it_was_made_from(video: Path, store: FrameStore, tmp_path: Path) -> None:
    build_store(video, CONFIG, tmp_path)
    meta = json.loads((tmp_path / "stores" / store.key / "meta.json").read_text())
    assert (meta["schema"], meta["media"], meta["max_pixels"], meta["frame_rate_hz"], meta["frame_size_px"]) == (
        5, content_hash(video), 12_544, 2, [56, 56]
    )  # fmt: skip
    assert (meta["backend"], meta["decoded_by"]) == ("pyav", "pyav")


def test_the_content_hash_sees_the_head_the_middle_the_tail_and_the_size(tmp_path: Path) -> None:
    data = bytes(5 << 20)
    changed = [data, data + b"\0"]
    for place in (0, len(data) // 2, len(data) - 1):
        changed.append(data[:place] + b"x" + data[place + 1 :])
    hashes = set()
    for number, content in enumerate(changed):
        (tmp_path / str(number)).write_bytes(content)
        hashes.add(content_hash(tmp_path / str(number)))
    assert len(hashes) == len(changed)


def test_the_cache_lies_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    monkeypatch.delenv("VT_ENV_CACHE")
    assert cache_root() == Path.home() / ".cache" / "vt_env"


def test_a_cache_that_cannot_be_written_is_a_configuration_error(video: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="set VT_ENV_CACHE"):
        build_store(video, CONFIG, tmp_path / "file")


def test_a_stored_frame_that_rotted_on_disk_is_refused(video: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stores" / build_store(video, CONFIG, tmp_path).key
    size = (folder / "frames.bin").stat().st_size
    (folder / "frames.bin").write_bytes(bytes(size))
    with pytest.raises(DataError, match="a frame is damaged; delete its folder"):
        build_store(video, CONFIG, tmp_path).frames_at([0])
