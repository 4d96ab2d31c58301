"""Decoder backends are limited to the formats measured as correct, and their frames are checked at run time."""

import json
from pathlib import Path

import pytest
from support.videos import VideoSpec, indices, write_video

from vt_env.errors import ConfigError, DataError
from vt_env.media.decode.other_backends import RIGHT, choose_backend, is_installed
from vt_env.media.decode.video_file import VideoFile, open_video

MEASURED = Path(__file__).parents[3] / "experiments" / "bench" / "results" / "decoding.json"


@pytest.mark.parametrize("backend", ["torchcodec", "decord"])
def test_the_table_of_backends_is_the_measured_one(backend: str) -> None:
    record = json.loads(MEASURED.read_text())
    assert set(RIGHT[backend]) == set(record["right"][backend])
    for name, row in record["files"].items():
        if record["formats"][name] in RIGHT[backend]:
            assert row[backend]["right"] and not row[backend]["wrong"] and not row[backend]["refused"]
        assert not row["pyav"]["wrong"] and not row["pyav"]["refused"]


@pytest.mark.parametrize("backend", ["torchcodec", "decord"])
def test_a_backend_returns_every_frame_of_a_format_it_is_right_for(tmp_path: Path, backend: str) -> None:
    if not is_installed(backend):
        pytest.skip(f"{backend} does not load here")
    write_video(tmp_path / "v.webm", VideoSpec(codec="libvpx-vp9"))
    video = open_video(tmp_path / "v.webm", backend)
    assert video.backend == backend
    times_s = [3.95, 0.0, 2.5, 1.1]
    assert indices(video.frames_at(times_s).data) == [39, 0, 25, 11]
    assert indices(video.frames_at(times_s, (84, 56)).data) == [39, 0, 25, 11]


def test_a_backend_is_refused_where_it_was_wrong_and_auto_passes_it_over(tmp_path: Path) -> None:
    write_video(tmp_path / "v.ts", VideoSpec(b_frames=2))
    for backend in ("torchcodec", "decord"):
        with pytest.raises(ConfigError, match=f"{backend} is not known to be right for mpegts,h264; use pyav or auto"):
            open_video(tmp_path / "v.ts", backend)
    video = open_video(tmp_path / "v.ts", "auto")
    assert video.backend == "pyav" and indices(video.frames_at([1.25]).data) == [12]


def test_an_unknown_backend_is_answered_by_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'decord'"):
        choose_backend("decrod", "mov,h264", Path("v.mp4"))


def test_a_backend_that_counts_other_frames_is_found_out(tmp_path: Path) -> None:
    if not is_installed("decord"):
        pytest.skip("decord does not load here")
    write_video(tmp_path / "v.mp4", VideoSpec(frames=30))
    video = open_video(tmp_path / "v.mp4")
    write_video(tmp_path / "v.mp4", VideoSpec(frames=31))
    with pytest.raises(DataError, match="decord counts 31 frames of 30; use backend pyav"):
        VideoFile(video.path, video.size_px, video.timeline, "decord").frames_at([1.0])
