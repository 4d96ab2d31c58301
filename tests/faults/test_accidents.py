"""Full disks, foreign caches, few descriptors, wrong clocks, two at once, files replaced: one line, and no loss."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from support.command_forks import Commands
from support.killed_commands import COMMANDS, Place, check_cache, check_run, hashes
from support.videos import VideoSpec, write_video

from experiments.runs.journal import read_journal
from experiments.runs.read_run import JOURNAL

pytestmark = [pytest.mark.slow, pytest.mark.faults]

INDEX, EVAL, SYNTH = (COMMANDS[name] for name in ("index", "eval", "synth"))
IS_ROOT = os.geteuid() == 0


@pytest.fixture
def place(inputs: Path, tmp_path: Path) -> Place:
    return Place(inputs, tmp_path / "out", tmp_path / "cache")


@pytest.fixture(scope="module")
def expected(commands: Commands, inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Results of undisturbed runs."""
    results: dict[str, object] = {}
    for killed in (INDEX, EVAL):
        folder = tmp_path_factory.mktemp(killed.name)
        place = Place(inputs, folder / "out", folder / "cache")
        done = commands.run(*killed.arguments(place), environment=environment(place))
        assert done.code == 0, done.printed
        results[killed.name] = killed.result(place)
    return results


def environment(place: Place) -> dict[str, str]:
    return {"VT_ENV_CACHE": str(place.cache)}


def says(printed: str, *parts: str) -> bool:
    """Tell whether a command says something in a single line of ours, and shows no traceback."""
    said = [line for line in printed.splitlines() if line.startswith("vt-env: ") and parts[0] in line]
    return len(said) == 1 and all(part in said[0] for part in parts) and "Traceback" not in printed


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[bool]:
    """Make a folder a disk of its own; yields `False` where that is not permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    is_mounted = IS_ROOT and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_under_the_cache_is_one_line_and_room_is_all_it_takes(
    commands: Commands, place: Place, expected: dict[str, object]
) -> None:
    with small_disk(place.cache, 64) as is_mounted:
        # Without the right to mount, the largest file that may be written stands for the disk.
        limits = {} if is_mounted else {"RLIMIT_FSIZE": 20_000}
        full = commands.run(*INDEX.arguments(place), environment=environment(place), limits=limits)
        assert full.code == 2 and says(full.printed, "cannot be written", "free some space"), full.printed
        INDEX.check(place)
        if is_mounted:
            subprocess.run(["mount", "-o", "remount,size=100m", str(place.cache)], check=True)
        done = commands.run(*INDEX.arguments(place), environment=environment(place))
        assert done.code == 0, done.printed
        assert INDEX.result(place) == expected["index"]


@pytest.mark.parametrize("kilobytes", [8, 40])
def test_a_full_disk_under_a_run_is_one_line_and_the_run_goes_on(
    commands: Commands, place: Place, expected: dict[str, object], kilobytes: int
) -> None:
    with small_disk(place.out, kilobytes) as is_mounted:
        if not is_mounted:
            pytest.skip("needs the right to mount a small disk")
        full = commands.run(*EVAL.arguments(place), environment=environment(place))
        assert full.code == 1 and says(full.printed, "No space left on device", "run it again"), full.printed
        check_run(place)
        kept = EVAL.kept(place)
        subprocess.run(["mount", "-o", "remount,size=100m", str(place.out)], check=True)
        done = commands.run(*EVAL.arguments(place), environment=environment(place))
        assert done.code == 0, done.printed
        assert EVAL.kept(place).startswith(kept) and EVAL.result(place) == expected["eval"]


@pytest.mark.parametrize("owner", ["own", "foreign"])
def test_a_cache_that_may_only_be_read_is_read_and_an_empty_one_is_refused_in_one_line(
    commands: Commands, place: Place, expected: dict[str, object], owner: str
) -> None:
    if owner == "foreign" and not IS_ROOT:
        pytest.skip("only root makes files of another owner")
    assert commands.run(*INDEX.arguments(place), environment=environment(place)).code == 0
    empty = Place(place.inputs, place.out, place.cache.with_name("empty"))
    empty.cache.mkdir()
    for folder in (place.cache, empty.cache):
        for path in [*folder.rglob("*"), folder]:
            if owner == "foreign":
                os.chown(path, 65_534, 65_534)
            path.chmod(0o755 if owner == "foreign" and path.is_dir() else 0o555 if path.is_dir() else 0o444)
    before = hashes(place.cache)
    try:
        again = commands.run(*INDEX.arguments(place), environment=environment(place), obeys_modes=True)
        assert again.code == 0 and again.printed.count("already stored and indexed") == 3, again.printed
        refused = commands.run(*INDEX.arguments(empty), environment=environment(empty), obeys_modes=True)
        assert refused.code == 2 and says(refused.printed, "cannot be written", "VT_ENV_CACHE"), refused.printed
    finally:
        for folder in (place.cache, empty.cache):
            for path in [folder, *folder.rglob("*")]:
                path.chmod(0o755)
    assert hashes(place.cache) == before == expected["index"] and hashes(empty.cache) == {}


def test_64_open_files_are_enough_for_many_episodes_at_once(
    commands: Commands, place: Place, expected: dict[str, object]
) -> None:
    arguments = [*EVAL.arguments(place), "--batch", 24]
    done = commands.run(*arguments, environment=environment(place), limits={"RLIMIT_NOFILE": 64})
    assert done.code == 0, done.printed
    assert EVAL.result(place) == expected["eval"]


def test_a_clock_that_jumps_changes_nothing(commands: Commands, place: Place, expected: dict[str, object]) -> None:
    steps_s = (0.0, -86_400.0, 400 * 86_400.0, -3.0)
    for killed in (INDEX, EVAL):
        done = commands.run(*killed.arguments(place), environment=environment(place), clock_s=steps_s)
        assert done.code == 0, done.printed
    assert EVAL.result(place) == expected["eval"]
    stamps = time.time() + 400 * 86_400
    for path in place.cache.rglob("*"):
        os.utime(path, (stamps, stamps))
    gc = commands.run("index", "--gc", "--max-age-days", 1, environment=environment(place))
    assert gc.code == 0, gc.printed
    check_cache(place)


def test_two_builders_of_one_cache_build_one_store(
    commands: Commands, place: Place, expected: dict[str, object]
) -> None:
    done = commands.run(*INDEX.arguments(place), environment=environment(place), copies=3)
    assert list(done.codes) == [0, 0, 0], done.printed
    assert INDEX.result(place) == expected["index"]


def test_of_two_runs_in_one_directory_one_is_refused_and_the_other_is_whole(
    commands: Commands, place: Place, expected: dict[str, object]
) -> None:
    done = commands.run(*EVAL.arguments(place), environment=environment(place), copies=2)
    assert sorted(done.codes) == [0, 2], done.printed
    assert says(done.printed, "is in use by another process"), done.printed
    assert EVAL.result(place) == expected["eval"]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Three videos, and another content for the second one."""
    (tmp_path / "videos").mkdir()
    for number in range(3):
        write_video(tmp_path / f"videos/{number}.mp4", VideoSpec(frames=400 + number, size_px=(128, 72)))
    other = VideoSpec(frames=390, size_px=(128, 72), paint=lambda index, size: np.full((*size[::-1], 3), 99, np.uint8))
    write_video(tmp_path / "other.mp4", other)
    return tmp_path / "videos"


@pytest.mark.parametrize("accident", ["replaced", "deleted", "truncated"])
def test_a_video_that_changes_while_it_is_stored_leaves_no_frames_of_another_content(
    commands: Commands, place: Place, videos: Path, accident: str
) -> None:
    whole = Place(place.inputs, place.out, place.cache.with_name("whole"))
    arguments = "index", videos, "--workers", 1, "--encoder", "colours"
    done = commands.run(*arguments, environment=environment(whole))
    assert done.code == 0, done.printed
    assert commands.run("index", videos.parent / "other.mp4", *arguments[2:], environment=environment(whole)).code == 0
    right = hashes(whole.cache)
    rng = np.random.default_rng(len(accident))
    sound = shutil.copy(videos / "1.mp4", videos.parent / "sound.mp4")
    for number in range(2):
        changed = Place(place.inputs, place.out, place.cache.with_name(f"changed-{number}"))
        commands.start(*arguments, environment=environment(changed))
        with changing(videos / "1.mp4", videos.parent / "other.mp4", accident, float(rng.uniform(0, done.seconds))):
            after = commands.done()
        assert after.code in (0, 2) and "Traceback" not in after.printed, after.printed
        assert hashes(changed.cache).items() <= right.items()
        os.replace(shutil.copy(sound, videos.parent / "copy.mp4"), videos / "1.mp4")
        again = commands.run(*arguments, environment=environment(changed))
        assert again.code == 0, again.printed
        assert hashes(changed.cache).items() <= right.items()
        assert commands.run("index", "--verify", environment=environment(changed)).code == 0


@contextmanager
def changing(video: Path, other: Path, accident: str, after_s: float) -> Iterator[None]:
    """Delete or cut the video after a while, or replace it to and fro as long as the block runs."""
    if accident != "replaced":
        time.sleep(after_s)
        if accident == "deleted":
            video.unlink()
        else:
            with video.open("rb+") as file:
                file.truncate(video.stat().st_size // 2)
        yield
        return
    is_over, rng = Event(), np.random.default_rng(0)
    contents = [other.read_bytes(), video.read_bytes()]

    def replace_it() -> None:
        for turn in count():
            video.with_name("new.part").write_bytes(contents[turn % 2])
            os.replace(video.with_name("new.part"), video)
            if is_over.wait(float(rng.uniform(0, 2 * after_s / 3))):
                return

    thread = Thread(target=replace_it)
    thread.start()
    yield
    is_over.set()
    thread.join()


def test_a_video_that_goes_while_it_is_played_is_an_invalid_episode_and_is_played_when_it_is_back(
    commands: Commands, place: Place, expected: dict[str, object]
) -> None:
    shutil.copytree(place.inputs / "world", place.inputs / "copy")
    copied = sorted((place.inputs / "copy").rglob("video.mp4"))
    arguments = [*EVAL.arguments(place)]
    arguments[2] = place.inputs / "copy"
    commands.start(*arguments, environment=environment(place))
    journal = place.out / JOURNAL
    while not journal.exists() or not journal.stat().st_size:
        time.sleep(0.005)
    copied[2].rename(copied[2].with_suffix(".away"))
    done = commands.done()
    assert done.code == 0, done.printed
    check_run(place)
    bad = [it for it in read_journal(place.out) if it.invalid is not None]
    assert len({it.video_handle for it in bad}) <= 1 and len(bad) <= 8
    copied[2].with_suffix(".away").rename(copied[2])
    again = commands.run(*arguments, environment=environment(place))
    assert again.code == 0, again.printed
    assert all(it.invalid is None for it in read_journal(place.out)) and len(read_journal(place.out)) == 24
