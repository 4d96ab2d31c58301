"""Pooled players return the same pixels as new ones, and threads and forks never share one."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support.videos import VideoSpec, indices, read_index, write_video
from test_media_decode import SPECS

from vt_env.errors import DataError
from vt_env.media.decode import player_pool
from vt_env.media.decode.player_pool import MAX_IDLE
from vt_env.media.decode.pyav_player import PyAVPlayer
from vt_env.media.decode.video_file import open_video


@pytest.fixture(autouse=True)
def empty_pool() -> Iterator[None]:
    player_pool._drop_after_fork()
    yield
    player_pool._drop_after_fork()


def idle_players() -> int:
    return sum(map(len, player_pool._idle._players.values()))


@pytest.mark.parametrize(
    "name", ["b_frames.mp4", "open_groups.mp4", "keyframes_10_s_apart.mp4", "vfr_b_frames.mkv", "transport.ts",
             "vp9.webm", "hevc.mp4", "mpeg4.avi", "upright.mp4"]
)  # fmt: skip
def test_a_player_that_was_used_before_gives_the_very_pixels_of_a_new_one(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / name, SPECS[name])
    video = open_video(tmp_path / name)
    for idx in np.random.default_rng(3).permutation(len(video.timeline.pts))[:8].tolist():
        ((_, kept),) = video.pictures([idx], (84, 56))
        new = PyAVPlayer(video.path, video.timeline, video.size_px).picture(idx, (84, 56))
        assert (kept == new).all()
    assert idle_players() == 1


def test_a_file_that_was_replaced_is_opened_anew_and_one_that_is_gone_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", VideoSpec(frames=30))
    assert indices(open_video(tmp_path / "v.mp4").frames_at([2.0]).data) == [20]
    write_video(tmp_path / "new.mp4", VideoSpec(frames=30, fps=5))
    (tmp_path / "new.mp4").rename(tmp_path / "v.mp4")
    video = open_video(tmp_path / "v.mp4")
    assert indices(video.frames_at([2.0]).data) == [10]
    (tmp_path / "v.mp4").unlink()
    with pytest.raises(DataError, match="no such file"):
        video.frames_at([2.0])


def test_only_a_few_players_stay_open_and_none_that_failed(tmp_path: Path) -> None:
    for number in range(MAX_IDLE + 2):
        write_video(tmp_path / f"{number}.mp4", VideoSpec(frames=10))
        open_video(tmp_path / f"{number}.mp4").frames_at([0.5])
    assert idle_players() == MAX_IDLE
    player_pool._drop_after_fork()
    video = open_video(tmp_path / "0.mp4")
    with pytest.raises(IndexError):
        list(video.pictures([99]))
    assert idle_players() == 0


def test_threads_and_forks_share_no_player(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", VideoSpec(frames=300, gop=100, b_frames=2))
    video = open_video(tmp_path / "v.mp4")

    def look(idx: int) -> int:
        return read_index(video.frames_at([idx / 10]).data[0])

    order = np.random.default_rng(5).permutation(300)[:40].tolist()
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(look, order)) == order
    child = os.fork()
    if child == 0:
        os._exit(0 if idle_players() == 0 and [look(idx) for idx in order[:5]] == order[:5] else 1)
    assert [look(idx) for idx in order[5:10]] == order[5:10]
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
