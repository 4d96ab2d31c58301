"""Decoding is exact, on videos whose frames show their own index."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.videos import VideoSpec, indices, paint_index, read_index, write_video

from vt_env.config import MediaConfig
from vt_env.errors import DataError
from vt_env.media.decode.video_file import VideoFile, open_video
from vt_env.types import Box

_UNEVEN_S = tuple(float(time_s) for time_s in np.cumsum(np.random.default_rng(0).choice([0.04, 0.1, 0.5, 2.0], 60)))
SPECS = {
    "plain.mp4": VideoSpec(frames=100),
    "b_frames.mp4": VideoSpec(frames=100, gop=50, b_frames=3),
    "open_groups.mp4": VideoSpec(frames=100, b_frames=3, options={"x264-params": "open-gop=1"}),
    "keyframes_10_s_apart.mp4": VideoSpec(frames=500, fps=Fraction(25), gop=250, b_frames=3),
    "ntsc.mp4": VideoSpec(frames=100, fps=Fraction(30000, 1001), b_frames=2),
    "vfr.mp4": VideoSpec(frame_times_s=_UNEVEN_S),
    "vfr_b_frames.mkv": VideoSpec(frame_times_s=_UNEVEN_S, b_frames=2),
    "starts_at_5_s.mp4": VideoSpec(start_s=5, b_frames=2, audio=True),
    "starts_at_5_s.mkv": VideoSpec(start_s=5, b_frames=2),
    "transport.ts": VideoSpec(frames=100, b_frames=2, audio=True),
    "vp9.webm": VideoSpec(codec="libvpx-vp9"),
    "av1.mp4": VideoSpec(codec="libsvtav1", options={"preset": "12"}),
    "hevc.mp4": VideoSpec(frames=100, codec="libx265", options={"x265-params": "log-level=none:bframes=3"}),
    "mpeg4.mp4": VideoSpec(codec="mpeg4", b_frames=2),
    "mpeg4.avi": VideoSpec(codec="mpeg4"),
    "mjpeg.mov": VideoSpec(codec="mjpeg"),
    "upright.mp4": VideoSpec(turned_deg=90),
    "anamorphic.mp4": VideoSpec(size_px=(32, 48), pixel_aspect=Fraction(2)),
    "one_frame.mp4": VideoSpec(frames=1),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


def opened(folder: Path, name: str) -> VideoFile:
    path = folder / name
    if not path.exists():
        write_video(path, SPECS[name])
    return open_video(path)


@pytest.mark.parametrize("name", SPECS)
def test_every_time_shows_the_frame_whose_presentation_time_came_last(folder: Path, name: str) -> None:
    video, starts_s = opened(folder, name), SPECS[name].times_s - SPECS[name].times_s[0]
    assert len(video.timeline.pts) == len(starts_s)
    shown_s = np.diff(np.append(starts_s, video.duration_s))
    assert (shown_s > 0).all()
    for share in (0.0, 0.5, 0.98):
        order = np.random.default_rng(7).permutation(len(starts_s))[:25]
        frames = video.frames_at((starts_s + share * shown_s)[order].tolist())
        assert indices(frames.data) == order.tolist()
        assert frames.pts_s == pytest.approx(starts_s[order], abs=0.002)


@pytest.mark.parametrize("name", SPECS)
def test_a_frame_asked_for_alone_is_the_same_as_in_a_pass(folder: Path, name: str) -> None:
    video = opened(folder, name)
    for idx in np.linspace(0, len(video.timeline.pts) - 1, 4).astype(int):
        frame = video.frames_at([float(video.timeline.times_s[idx])])
        assert (read_index(frame.data[0]), frame.pts_s[0]) == (idx, video.timeline.times_s[idx])


def test_the_duration_reaches_to_the_end_of_the_last_frame(folder: Path) -> None:
    assert opened(folder, "plain.mp4").duration_s == pytest.approx(10)
    assert opened(folder, "starts_at_5_s.mp4").duration_s == pytest.approx(4)
    assert opened(folder, "transport.ts").duration_s == pytest.approx(10)
    assert opened(folder, "plain.mp4").frame_rate_hz == pytest.approx(10)


@given(times_s=st.lists(st.floats(0, 9.99), max_size=6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_frames_come_in_the_order_of_their_times(folder: Path, times_s: list[float]) -> None:
    frames = opened(folder, "b_frames.mp4").frames_at(times_s, (28, 56))
    assert indices(frames.data) == [int(time_s * 10 + 1e-5) for time_s in times_s]
    assert (frames.pts_s <= np.asarray(times_s) + 1e-6).all()


@pytest.mark.parametrize("time_s", [-0.001, 10.0, 99.0, float("nan"), float("inf")])
def test_times_outside_the_video_are_refused_in_one_line(folder: Path, time_s: float) -> None:
    video = opened(folder, "plain.mp4")
    with pytest.raises(DataError, match=r"no frame at .* valid times are 0 to below 10\.0 s$"):
        video.frames_at([0.0, time_s])


@pytest.mark.parametrize("name", ["plain.mp4", "upright.mp4", "anamorphic.mp4"])
def test_a_frame_is_scaled_to_the_width_and_height_asked_for_and_fills_them(folder: Path, name: str) -> None:
    frame = opened(folder, name).frames_at([3.7], (112, 84))
    assert frame.data.shape == (1, 84, 112, 3) and read_index(frame.data[0]) == 37
    # The lower half is the upper one's complement, up to the last row and column.
    is_white = frame.data[0] > 127
    assert (is_white[0] != is_white[42]).mean() > 0.95 and (is_white[41] != is_white[83]).mean() > 0.95


def test_a_picture_recorded_lying_down_stands_up_in_its_shown_size(folder: Path) -> None:
    assert opened(folder, "upright.mp4").size_px == (64, 48)
    assert opened(folder, "anamorphic.mp4").size_px == (64, 48)


def test_a_crop_shows_native_pixels_of_the_frame_on_screen(tmp_path: Path) -> None:
    def paint(index: int, size_px: tuple[int, int]) -> np.ndarray:
        picture = np.full((size_px[1], size_px[0], 3), 128, dtype=np.uint8)
        picture[40:64, 80:112] = paint_index(index, (32, 24))
        return picture

    write_video(tmp_path / "detail.mp4", VideoSpec(size_px=(160, 120), paint=paint, b_frames=2))
    box = Box(80 / 160, 40 / 120, 112 / 160, 64 / 120)
    crop = open_video(tmp_path / "detail.mp4").crop_at(2.35, box, MediaConfig())
    assert crop.data.shape == (1, 56, 84, 3)
    assert read_index(crop.data[0]) == 23
    assert crop.pts_s.tolist() == [pytest.approx(2.3)]


def test_the_smallest_box_still_shows_a_pixel(folder: Path) -> None:
    crop = opened(folder, "plain.mp4").crop_at(0, Box(0.999, 0.999, 1.0, 1.0), MediaConfig(min_pixels=1))
    assert crop.data.shape == (1, 28, 28, 3)


def test_a_stream_that_begins_before_its_edit_list_shows_only_what_players_show(folder: Path, tmp_path: Path) -> None:
    import av

    write_video(folder / "edited_source.mp4", VideoSpec(frames=60, gop=20, b_frames=2))
    with (
        av.open(str(folder / "edited_source.mp4")) as source,
        av.open(str(tmp_path / "edited.mp4"), "w", options={"avoid_negative_ts": "disabled"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.pts is not None and packet.dts is not None and packet.pts >= 60_000:
                packet.pts, packet.dts, packet.stream = packet.pts - 75_000, packet.dts - 75_000, stream
                target.mux(packet)
    video = open_video(tmp_path / "edited.mp4")
    with av.open(str(tmp_path / "edited.mp4")) as container:
        shown = sum(1 for _ in container.decode(video=0))
    # The edit list that PyAV 15 writes ends a frame early.
    assert shown in (34, 35)
    assert indices(video.frames_at(video.timeline.times_s.tolist()).data) == list(range(25, 25 + shown))


def test_a_real_file_gives_its_best_stream() -> None:
    video = open_video(Path(__file__).parents[2] / "fixtures" / "nasa_13013.mp4")
    assert (video.size_px, len(video.timeline.pts), video.duration_s) == ((480, 270), 390, pytest.approx(13.013))
    assert len(set(video.frames_at([0, 4, 8, 12.99]).pts_s)) == 4


def test_an_opened_video_can_be_sent_to_another_process(folder: Path) -> None:
    import pickle

    video = pickle.loads(pickle.dumps(opened(folder, "plain.mp4")))
    assert indices(replace(video, path=folder / "plain.mp4").frames_at([4.25]).data) == [42]
