"""Frames stay exact in files whose container says something else than the decoder finds."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
from support.videos import VideoSpec, indices, read_index, write_video

from vt_env.config import MediaConfig
from vt_env.errors import ConfigError, DataError
from vt_env.media.cache.frame_store import build_store
from vt_env.media.decode.video_file import VideoFile, open_video

SIZE_PX = (64, 48)
PLAIN = VideoSpec(frames=120, fps=Fraction(25), gop=50, codec="mpeg4")


def without_sync_samples(path: Path, spec: VideoSpec) -> None:
    """Write an MP4 without `stss`: by its standard, every frame is then a keyframe."""
    write_video(path, spec)
    path.write_bytes(path.read_bytes().replace(b"stss", b"free"))


def index_of_keyframes_alone(path: Path, spec: VideoSpec) -> None:
    """Write an AVI whose index flags every frame as key."""
    write_video(path, spec)
    data = bytearray(path.read_bytes())
    at = data.index(b"idx1")
    for entry in range(at + 8, len(data) - 15, 16):
        data[entry + 4] |= 0x10
    path.write_bytes(data)


def every_block_a_keyframe(path: Path, spec: VideoSpec) -> None:
    """Write a Matroska file of which every block is flagged as a keyframe."""
    source = path.with_name("blocks.mp4")
    write_video(source, spec)
    with av.open(str(source)) as read, av.open(str(path), "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in (it for it in read.demux(video=0) if it.size):
            packet.stream, packet.is_keyframe = stream, True
            written.mux(packet)
    source.unlink()


def with_frames_not_coded(path: Path, spec: VideoSpec, first: int = 0) -> None:
    """Write MPEG-4 in which packets without a picture follow every fifth frame, as DivX and Xvid write them."""
    source = path.with_name("source.mp4")
    write_video(source, spec)
    # Start code of a picture, type P, no whole second, marker, 15 bits of time, marker, "not coded", stuffing.
    not_coded = bytes.fromhex("000001b6") + int("01" + "0" + "1" + "0" * 15 + "1" + "0" + "111", 2).to_bytes(3, "big")
    with av.open(str(source)) as read, av.open(str(path), "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for number, packet in enumerate(it for it in read.demux(video=0) if it.size):
            packet.stream = stream
            written.mux(packet)
            if number >= first and number % 5 == 4:
                empty = av.Packet(not_coded)
                empty.stream, empty.time_base = stream, packet.time_base
                empty.pts = empty.dts = packet.pts + packet.duration // 2
                written.mux(empty)
    source.unlink()


def without_showing(path: Path, hidden: Callable[[int], bool], spec: VideoSpec) -> None:
    """Write VP8, or VP9 whose keyframes alone may be hidden, with some frames that are only there for others."""
    source = path.with_name(f"source_{path.name}")
    write_video(source, spec)
    with av.open(str(source)) as read, av.open(str(path), "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for number, packet in enumerate(it for it in read.demux(video=0) if it.size):
            data = bytearray(memoryview(packet))
            if hidden(number):
                data[0] ^= 0x10 if spec.codec == "libvpx" else 0x02
            copy = av.Packet(bytes(data))
            copy.stream, copy.time_base, copy.is_keyframe = stream, packet.time_base, packet.is_keyframe
            copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
            written.mux(copy)
    source.unlink()


FILES: dict[str, tuple[Callable[[Path, VideoSpec], None], VideoSpec]] = {
    "no_stss.mp4": (without_sync_samples, PLAIN),
    "no_stss_b_frames.mp4": (without_sync_samples, VideoSpec(120, Fraction(25), gop=50, codec="mpeg4", b_frames=2)),
    "index_of_keyframes.avi": (index_of_keyframes_alone, VideoSpec(120, Fraction(25), gop=50, codec="wmv2")),
    "every_block.mkv": (every_block_a_keyframe, PLAIN),
    "program_stream.mpg": (write_video, VideoSpec(200, Fraction(25), gop=15, codec="mpeg2video", b_frames=2)),
    "groups_of_three.mpg": (
        write_video,
        VideoSpec(200, Fraction(25), (352, 288), gop=3, codec="mpeg2video", b_frames=2),
    ),
    "short_groups.vob": (write_video, VideoSpec(200, Fraction(25), gop=6, codec="mpeg2video", b_frames=2)),
    "mpeg1.mpg": (write_video, VideoSpec(200, Fraction(25), gop=12, codec="mpeg1video", b_frames=2)),
    "h264.avi": (write_video, VideoSpec(120, Fraction(25), gop=24, b_frames=3)),
    "mpeg4_b_frames.avi": (write_video, VideoSpec(120, Fraction(25), gop=24, codec="mpeg4", b_frames=2)),
    "not_coded_later.mkv": (
        partial(with_frames_not_coded, first=100),
        VideoSpec(122, Fraction(25), gop=50, codec="mpeg4"),
    ),
    "not_coded.mp4": (with_frames_not_coded, VideoSpec(122, Fraction(25), gop=50, codec="mpeg4")),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("foreign")


def written(folder: Path, name: str) -> tuple[Path, VideoSpec]:
    write, spec = FILES[name]
    if not (folder / name).exists():
        write(folder / name, spec)
    return folder / name, spec


@pytest.mark.parametrize("name", FILES)
def test_a_frame_asked_for_alone_is_the_one_on_screen(folder: Path, name: str) -> None:
    path, spec = written(folder, name)
    video = open_video(path)
    assert len(video.timeline.pts) == spec.frames
    for idx in np.random.default_rng(3).permutation(spec.frames)[:50].tolist():
        frame = video.frames_at([(idx + 0.5) / float(spec.fps)])
        assert read_index(frame.data[0]) == idx
        assert frame.pts_s[0] == pytest.approx(idx / float(spec.fps), abs=0.002)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("rate_hz", [0.2, 0.4, 1.0, 25.0])
def test_a_store_holds_the_frames_on_screen(folder: Path, name: str, rate_hz: float) -> None:
    path, spec = written(folder, name)
    store = build_store(path, MediaConfig(frame_rate_hz=rate_hz), folder / "cache")
    times_s = np.arange(0, store.video.duration_s, 1 / rate_hz)
    expected = np.floor(times_s * float(spec.fps) + 1e-3).astype(int).tolist()
    assert indices(store.frames_at(times_s.tolist()).data) == expected
    again = build_store(path, MediaConfig(frame_rate_hz=rate_hz), folder / "cache").video
    assert indices(again.frames_at([1.5, 3.0]).data) == [int(1.5 * spec.fps), int(3 * spec.fps)]


@pytest.mark.parametrize(("codec", "every"), [("libvpx", 5), ("libvpx-vp9", 20)])
@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_frames_that_are_never_shown_have_no_place_on_the_timeline(
    tmp_path: Path, codec: str, every: int, container: str
) -> None:
    if (codec, container) == ("libvpx", "mp4"):
        pytest.skip("MP4 holds no VP8")
    path = tmp_path / f"hidden.{container}"
    spec = VideoSpec(77, Fraction(25), codec=codec, gop=20)
    without_showing(path, lambda number: number > 0 and number % every == 0, spec)
    video = open_video(path)
    shown = [number for number in range(77) if number == 0 or number % every]
    assert len(video.timeline.pts) == len(shown)
    for number in np.random.default_rng(0).permutation(77).tolist():
        frame = video.frames_at([(number + 0.5) / 25])
        assert read_index(frame.data[0]) == (number if number in shown else number - 1)


def test_frames_that_share_a_time_are_refused(tmp_path: Path) -> None:
    # So small that one packet of the program stream holds several frames and one time.
    spec = VideoSpec(200, Fraction(25), gop=3, codec="mpeg2video", b_frames=2)
    write_video(tmp_path / "shared.mpg", spec)
    with pytest.raises(DataError, match="its frames carry no presentation times of their own; copy it again"):
        open_video(tmp_path / "shared.mpg")


def turned(folder: Path, matrix: tuple[tuple[int, int], tuple[int, int]]) -> VideoFile:
    """Write a video whose display matrix maps a stored (x, y) to `matrix` @ (x, y), y pointing down."""
    (a, c), (b, d) = matrix
    one = 1 << 16
    path = folder / f"turned_{a}_{b}_{c}_{d}.mp4"

    def paint(index: int, size_px: tuple[int, int]) -> np.ndarray:
        width, height = size_px
        picture = np.zeros((height, width, 3), dtype=np.uint8)
        picture[: height // 2, : width // 4] = (255, 0, 0)
        picture[height * 3 // 4 :, width // 2 :] = (0, 0, 255)
        return picture

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height = SIZE_PX
        stream.pix_fmt = "yuv420p"
        stream.set_display_matrix([a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30])
        for index in range(5):
            frame = av.VideoFrame.from_ndarray(paint(index, SIZE_PX), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return open_video(path)


ORIENTATIONS = [matrix for a, b in product((-1, 1), repeat=2) for matrix in (((a, 0), (0, b)), ((0, a), (b, 0)))]


@pytest.mark.parametrize("matrix", ORIENTATIONS)
def test_all_eight_orientations_are_shown_as_players_show_them(tmp_path: Path, matrix) -> None:
    video = turned(tmp_path, matrix)
    picture = video.frames_at([0.2]).data[0].astype(int)
    height, width = picture.shape[:2]
    assert video.size_px == (width, height) == (SIZE_PX if matrix[0][0] else SIZE_PX[::-1])
    # Where the centres of the red and the blue field lie, from the centre of the picture, in stored pixels.
    for channel, (x, y) in ((0, (8 - 32, 12 - 24)), (2, (48 - 32, 42 - 24))):
        rows, columns = np.nonzero(picture[..., channel] > 150)
        shown = (columns.mean() + 0.5 - width / 2, rows.mean() + 0.5 - height / 2)
        assert shown == pytest.approx(tuple(np.asarray(matrix) @ (x, y)), abs=1.5)
    if np.linalg.det(np.asarray(matrix)) < 0:
        with pytest.raises(ConfigError, match="backend torchcodec is not known to be right for mov,h264,mirrored"):
            open_video(video.path, "torchcodec")
