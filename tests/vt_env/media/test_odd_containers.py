"""Containers that pack, declare, crop or time their frames in rarer ways; the judge is what players show."""

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from support.field_coded import write_field_coded
from support.videos import VideoSpec, indices, read_index, write_video

from experiments.data.video_paths import VIDEO_SUFFIXES
from vt_env.config import MediaConfig
from vt_env.errors import ConfigError, DataError
from vt_env.media.cache.frame_store import build_store
from vt_env.media.decode.container import CONTAINERS, open_media, video_stream
from vt_env.media.decode.container_structure import Crop, is_closed, read_crop
from vt_env.media.decode.video_file import VideoFile, open_video
from vt_env.media.library import VideoLibrary
from vt_env.media.text.speech import has_audio
from vt_env.types import Box, VideoRef


def assert_exact(video: VideoFile, frames: int, rate_hz: float = 25.0) -> None:
    """Check that each frame asked for alone, in random order, is the one on screen."""
    assert len(video.timeline.pts) == frames
    for idx in np.random.default_rng(1).permutation(frames)[:40].tolist():
        assert read_index(video.frames_at([(idx + 0.5) / rate_hz]).data[0]) == idx


@pytest.mark.parametrize("name", ["a.ts", "a.mp4", "a.mkv"])
@pytest.mark.parametrize("fields_apart", [True, False])
def test_two_fields_are_one_frame_however_they_are_packed(tmp_path: Path, name: str, fields_apart: bool) -> None:
    write_field_coded(tmp_path / name, 50, 20, fields_apart=fields_apart)
    assert_exact(open_video(tmp_path / name), 50)


@pytest.mark.parametrize("name", ["a.ts", "a.mkv"])
def test_fields_that_begin_behind_whole_frames_are_one_frame_each(tmp_path: Path, name: str) -> None:
    write_field_coded(tmp_path / name, 100, 20, fields_apart=True, first_fields=80)
    assert_exact(open_video(tmp_path / name), 100)


def without_the_first_sync_sample(path: Path, spec: VideoSpec) -> None:
    write_video(path, spec)
    data = bytearray(path.read_bytes())
    at = data.index(b"stss") + 8
    (count,) = struct.unpack_from(">I", data, at)
    numbers = struct.unpack_from(f">{count}I", data, at + 4)
    struct.pack_into(f">{count}I", data, at + 4, *numbers[1:], numbers[-1])
    path.write_bytes(data)


@pytest.mark.parametrize(("codec", "b_frames"), [("libx264", 2), ("mpeg4", 0), ("mpeg4", 2)])
def test_frames_before_the_first_flagged_keyframe_are_shown_where_they_decode(
    tmp_path: Path, codec: str, b_frames: int
) -> None:
    path = tmp_path / "late.mp4"
    without_the_first_sync_sample(path, VideoSpec(100, Fraction(25), codec=codec, gop=24, b_frames=b_frames))
    assert_exact(open_video(path), 100)
    store = build_store(path, MediaConfig(frame_rate_hz=5), tmp_path / "cache")
    assert indices(store.frames_at([0.0, 0.2, 0.8, 1.0]).data) == [0, 5, 20, 25]


@pytest.mark.parametrize("codec", ["mpeg2video", "mpeg4"])
def test_frames_that_need_lost_ones_stay_out(tmp_path: Path, codec: str) -> None:
    # A decoder of MPEG-2 leaves them out itself, one of MPEG-4 shows remains on grey.
    write_video(tmp_path / "whole.ts", VideoSpec(100, Fraction(25), gop=20, codec=codec))
    with av.open(str(tmp_path / "whole.ts")) as read, av.open(str(tmp_path / "cut.ts"), "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in [it for it in read.demux(video=0) if it.size][7:]:
            packet.stream = stream
            written.mux(packet)
    video = open_video(tmp_path / "cut.ts")
    assert [read_index(video.frames_at([time_s]).data[0]) for time_s in (0.0, 1.0)] == [20, 45]


def without_time(path: Path, numbers: set[int]) -> None:
    """Take the times from the headers of some frames of a transport stream."""
    data = bytearray(path.read_bytes())
    packets = [at for at in range(0, len(data), 188) if data[at + 1] & 0x40]
    starts = [at + 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0) for at in packets]
    frames = [at for at in starts if data[at : at + 4] == b"\x00\x00\x01\xe0"]
    for at in (frames[number] for number in numbers):
        assert data[at + 7] & 0xC0
        data[at + 7] &= 0x3F
        data[at + 9 : at + 9 + data[at + 8]] = b"\xff" * data[at + 8]
    path.write_bytes(data)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_frames_without_a_time_are_not_left_out_in_silence(tmp_path: Path, codec: str) -> None:
    write_video(tmp_path / "a.ts", VideoSpec(120, Fraction(25), gop=20, codec=codec))
    without_time(tmp_path / "a.ts", {100, 101})
    with pytest.raises(DataError, match="its frames carry no presentation times; "):
        open_video(tmp_path / "a.ts")


def test_a_clock_that_wraps_at_33_bits_is_no_cut(tmp_path: Path) -> None:
    spec = VideoSpec(100, Fraction(25), gop=20, b_frames=2, start_s=2**33 / 90_000 - 2)
    write_video(tmp_path / "wraps.ts", spec)
    assert_exact(open_video(tmp_path / "wraps.ts"), 100)


def declare(path: Path, mark: bytes, layout: str, value: float, behind: int = 0) -> None:
    data = bytearray(path.read_bytes())
    struct.pack_into(layout, data, data.index(mark) + len(mark) + behind, value)
    path.write_bytes(data)


_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
DECLARED: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a.mkv": ("libx264", lambda path: declare(path, b"\x44\x89\x88", ">d", 60_000.0)),
    "a.flv": ("flv", lambda path: declare(path, b"\x00\x08duration\x00", ">d", 60.0)),
    # In ticks of 1/30,000 s, and in tenths of microseconds from 3.1 s before the first frame.
    "a.ivf": ("libvpx-vp9", lambda path: declare(path, struct.pack("<II", 30_000, 1), "<I", 60 * 30_000)),
    "a.wmv": ("wmv2", lambda path: declare(path, _ASF_PROPERTIES, "<Q", 631_000_000, behind=48)),
}


@pytest.mark.parametrize("name", DECLARED)
def test_a_header_that_promises_too_much_does_not_make_a_whole_file_cut_off(tmp_path: Path, name: str) -> None:
    codec, lie = DECLARED[name]
    write_video(tmp_path / name, VideoSpec(100, Fraction(25), gop=20, codec=codec))
    whole = (tmp_path / name).read_bytes()
    lie(tmp_path / name)
    assert (tmp_path / name).read_bytes() != whole
    assert_exact(open_video(tmp_path / name), 100)
    # What does not reach the end of its own structure is cut off, whatever else it says.
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[: len(whole) * 2 // 3])
    with pytest.raises(DataError, match=r"cut off, it declares 60\.0 s|breaks off"):
        open_video(tmp_path / name)


def test_a_hole_that_ends_the_reading_is_a_cut_though_the_file_has_its_size(tmp_path: Path) -> None:
    for name, codec in (("a.mkv", "libx264"), ("a.flv", "flv")):
        write_video(tmp_path / name, VideoSpec(100, Fraction(25), gop=20, codec=codec))
        data = bytearray((tmp_path / name).read_bytes())
        data[len(data) // 3 : len(data) * 2 // 3] = bytes(len(data) * 2 // 3 - len(data) // 3)
        (tmp_path / name).write_bytes(data)
        assert not is_closed(tmp_path / name, name.removeprefix("a.").replace("mkv", "matroska,webm"))


def with_long_sound(path: Path) -> None:
    """Write 2 s of pictures under 12 s of sound."""
    write_video(path.with_name("sound.mp4"), VideoSpec(frames=121, audio=True))
    write_video(path.with_name("short.mp4"), VideoSpec(frames=20))
    pictures, sound = path.with_name("short.mp4"), path.with_name("sound.mp4")
    with av.open(str(path), "w") as written, av.open(str(pictures)) as first, av.open(str(sound)) as second:
        sources = (first.streams.video[0], second.streams.audio[0])
        streams = [written.add_stream_from_template(it) for it in sources]
        for source, stream in zip(sources, streams, strict=True):
            for packet in [it for it in source.container.demux(source) if it.size]:
                packet.stream = stream
                written.mux(packet)


def test_sound_that_outlives_the_pictures_keeps_the_last_one_on_screen(tmp_path: Path) -> None:
    with_long_sound(tmp_path / "a.mkv")
    cue = "1\n00:00:{}.000 --> 00:00:{}.000\n{}\n\n"
    (tmp_path / "a.srt").write_text(cue.format("08", "10", "Spoken late") + cue.format("30", "31", "Never"))
    with pytest.warns(UserWarning, match="1 of 2 lines left out, since they begin after the video's end"):
        video = VideoLibrary(MediaConfig(), tmp_path / "cache", None).open(
            VideoRef("a", str(tmp_path / "a.mkv"), str(tmp_path / "a.srt"))
        )
    assert video.duration_s == pytest.approx(12.1, abs=0.1) and has_audio(video.ref.path)
    assert [line.text for line in video.subtitles.lines] == ["Spoken late"]
    assert indices(video.frames_at([0.0, 1.5, 9.0]).data) == [0, 10, 19]
    assert read_index(video.crop(11.0, Box(0, 0, 1, 1)).data[0]) == 19


def test_sound_that_ends_with_the_pictures_changes_nothing(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", VideoSpec(frames=40, audio=True))
    assert open_video(tmp_path / "a.mp4").duration_s == 4.0


def test_texts_go_no_further_than_the_video(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", VideoSpec(frames=40))
    rows = [f'{{"start_s": {start}, "end_s": {end}, "text": "t"}}\n' for start, end in ((0, 2), (3, 9), (4, 5))]
    (tmp_path / "captions.jsonl").write_text("".join(rows))
    ref = VideoRef("a", str(tmp_path / "a.mp4"), None, str(tmp_path / "captions.jsonl"))
    with pytest.warns(UserWarning, match="1 of 3 captions are left out"):
        captions = VideoLibrary(MediaConfig(), tmp_path / "cache", None).open(ref).captions
    assert captions is not None
    assert [(it.interval.start_s, it.interval.end_s) for it in captions] == [(0, 2), (3, 4)]


SUFFIXES = {
    "libx264": "3g2 3gp asf avi f4v flv m2ts m4v mkv mov mp4 mpeg mpg mts mxf nut ts vob wmv wtv",
    "libvpx-vp9": "webm ivf", "mjpeg": "mjpeg mjpg", "rawvideo": "y4m", "libvpx": "ogv",
}  # fmt: skip
"""Encoder to the suffixes of files that FFmpeg writes with it; `VIDEO_SUFFIXES` has more."""


@pytest.mark.parametrize(("codec", "suffix"), [(codec, it) for codec, its in SUFFIXES.items() for it in its.split()])
def test_common_containers_are_let_in(tmp_path: Path, codec: str, suffix: str) -> None:
    assert f".{suffix}" in VIDEO_SUFFIXES
    write_video(tmp_path / f"a.{suffix}", VideoSpec(10, Fraction(25), codec=codec))
    with open_media(tmp_path / f"a.{suffix}") as container:
        assert video_stream(container, tmp_path / f"a.{suffix}").width == 64


def test_what_is_let_in_reads_one_file_and_ffmpeg_knows_it() -> None:
    known = {name for names in av.formats_available for name in names.split(",")}
    assert set(CONTAINERS.split(",")) <= known
    # These open what a file names. None of them may be in the list, whatever their aliases.
    assert not set(CONTAINERS.split(",")) & {
        "hls",
        "applehttp",
        "dash",
        "concat",
        "sdp",
        "rtsp",
        "rtp",
        "imf",
        "image2",
    }


def ebml(name: str, *values: bytes) -> bytes:
    content = b"".join(values)
    return bytes.fromhex(name) + (1 << 56 | len(content)).to_bytes(8) + content


def with_crop(path: Path, shown: VideoSpec, *numbers: tuple[str, int]) -> None:
    """Write a Matroska file, then put further elements into its only `Video` element, growing all around it."""
    write_video(path, shown)
    data = path.read_bytes()
    # Segment, Tracks, TrackEntry and Video, each in the one before.
    names, spans, start, end = ("18538067", "1654ae6b", "ae", "e0"), list[tuple[int, int, int]](), 0, len(data)
    for name in names:
        head, at, size = next(it for it in elements(data, start, end) if data[it[0] : it[1]].hex().startswith(name))
        spans.append((head, at, at + size))
        start, end = at, at + size
    inner = data[start:end] + b"".join(ebml(name, value.to_bytes(2)) for name, value in numbers)
    for number in (3, 2, 1):
        (_, outer, outer_end), (head, _, last) = spans[number - 1 : number + 1]
        inner = data[outer:head] + ebml(names[number], inner) + data[last:outer_end]
    path.write_bytes(data[: spans[0][0]] + ebml(names[0], inner))


def elements(data: bytes, start: int, end: int) -> list[tuple[int, int, int]]:
    """List where elements of EBML begin, where their content does, and its size."""
    found: list[tuple[int, int, int]] = []
    while start < end:
        name = 9 - data[start].bit_length()
        size = 9 - data[start + name].bit_length()
        at = start + name + size
        count = int.from_bytes(data[start + name : at]) & (1 << 7 * size) - 1
        found.append((start, at, count))
        start = at + count
    return found


LEFT, TOP, RIGHT, BOTTOM = "54cc", "54bb", "54dd", "54aa"
DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT = "54b0", "54ba", "54b2"


def test_the_crop_of_matroska_is_shown_and_no_more(tmp_path: Path) -> None:
    def paint(index: int, size_px: tuple[int, int]) -> np.ndarray:
        ramp = np.add.outer(np.arange(size_px[1]), np.arange(size_px[0])).astype(np.uint8)
        return np.repeat(ramp[..., None], 3, axis=2)

    spec = VideoSpec(10, size_px=(96, 64), paint=paint)
    write_video(tmp_path / "whole.mkv", spec)
    with_crop(tmp_path / "a.mkv", spec, (LEFT, 10), (RIGHT, 22), (TOP, 8), (BOTTOM, 16))
    video = open_video(tmp_path / "a.mkv")
    whole = open_video(tmp_path / "whole.mkv").frames_at([0.5]).data[0]
    assert video.size_px == (64, 40)
    assert np.array_equal(video.frames_at([0.5]).data[0], whole[8:48, 10:74])
    stored = build_store(tmp_path / "a.mkv", MediaConfig(), tmp_path / "cache").frames_at([0.5]).data[0]
    assert stored.mean() == pytest.approx(whole[8:48, 10:74].mean(), abs=2)
    with pytest.raises(ConfigError, match="backend torchcodec is not known to be right for matroska,h264,cropped"):
        open_video(tmp_path / "a.mkv", "torchcodec")


def test_the_display_size_of_a_cropped_picture_is_that_of_its_shown_part(tmp_path: Path) -> None:
    crop = ((LEFT, 16), (RIGHT, 16), (TOP, 8), (BOTTOM, 8), (DISPLAY_UNIT, 0))
    with_crop(tmp_path / "a.mkv", VideoSpec(5, size_px=(96, 64)), *crop, (DISPLAY_WIDTH, 128), (DISPLAY_HEIGHT, 48))
    assert open_video(tmp_path / "a.mkv").size_px == (128, 48)


def box(name: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I", 8 + len(data)) + name + data


def test_the_clean_aperture_of_mp4_is_read_as_a_crop(tmp_path: Path) -> None:
    aperture = box(b"clap", struct.pack(">IIIIiIiI", 64, 1, 40, 1, -6, 1, -4, 1))
    entry = box(b"avc1", bytes(24), struct.pack(">HH", 96, 64), bytes(50), aperture)
    table = box(b"stbl", box(b"stsd", bytes(4), struct.pack(">I", 1), entry))
    track = box(b"trak", box(b"mdia", box(b"minf", table)))
    (tmp_path / "a.mp4").write_bytes(box(b"ftyp", b"isom" + bytes(4)) + box(b"moov", track))
    assert read_crop(tmp_path / "a.mp4", "mov,mp4", (96, 64)) == Crop(left=10, top=8, right=22, bottom=16)
    assert read_crop(tmp_path / "a.mp4", "mov,mp4", (97, 64)) == Crop()


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_broken_header_has_no_crop_and_raises_nothing(tmp_path: Path, suffix: str) -> None:
    write_video(tmp_path / f"a.{suffix}", VideoSpec(5))
    whole = (tmp_path / f"a.{suffix}").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 30):
            data[place] = rng.integers(0, 256)
        (tmp_path / "b").write_bytes(data[: rng.integers(1, len(data))])
        left = read_crop(tmp_path / "b", "matroska,webm" if suffix == "mkv" else "mov,mp4", (64, 48)).size_px((64, 48))
        assert min(left) > 0


def test_a_picture_of_the_mp4_family_is_no_video(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "red").save(tmp_path / "still.avif")
    (tmp_path / "still.avif").rename(tmp_path / "still.mp4")
    with pytest.raises(DataError, match="not a video but a still picture"):
        open_video(tmp_path / "still.mp4")


@pytest.mark.parametrize("suffix", ["gif", "ico", "png", "webp", "tiff"])
def test_a_picture_of_one_frame_is_no_video(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (64, 48), "red").save(tmp_path / f"still.{suffix}")
    (tmp_path / f"still.{suffix}").rename(tmp_path / "still.mp4")
    with pytest.raises(DataError, match="not a video but"):
        open_video(tmp_path / "still.mp4")


@pytest.mark.parametrize(("aspect", "shown_px"), [(Fraction(1, 2), (64, 96)), (Fraction(2), (128, 48))])
def test_pixels_that_are_not_square_lose_no_detail(tmp_path: Path, aspect: Fraction, shown_px: tuple[int, int]) -> None:
    write_video(tmp_path / "a.mp4", VideoSpec(5, pixel_aspect=aspect))
    assert open_video(tmp_path / "a.mp4").size_px == shown_px


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_frames_that_all_have_one_time_are_refused(tmp_path: Path, codec: str) -> None:
    write_video(tmp_path / "source.mkv", VideoSpec(40, codec=codec))
    with av.open(str(tmp_path / "source.mkv")) as read, av.open(str(tmp_path / "a.mkv"), "w") as written:
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in [it for it in read.demux(video=0) if it.size]:
            packet.stream, packet.pts, packet.dts = stream, 0, 0
            written.mux(packet)
    with pytest.raises(DataError, match="its frames carry no presentation times of their own"):
        open_video(tmp_path / "a.mkv")
