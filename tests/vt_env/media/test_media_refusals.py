"""Invalid media files raise one line with file, defect and remedy, and never hang."""

import os
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from support.videos import Pixels, VideoSpec, paint_index, read_index, write_video

from vt_env.config import MediaConfig
from vt_env.errors import DataError
from vt_env.media.cache.frame_store import build_store
from vt_env.media.decode.container import open_media, read_timeline, video_stream
from vt_env.media.decode.video_file import open_video


def noisy(index: int, size_px: tuple[int, int]) -> Pixels:
    """A painted index under noise, so that every frame takes some bytes of the file."""
    noise = np.random.default_rng(index).integers(-30, 30, (size_px[1], size_px[0], 3))
    return np.clip(paint_index(index, size_px) * 0.7 + 40 + noise, 0, 255).astype(np.uint8)


LONG = VideoSpec(frames=100, size_px=(96, 64), gop=20, b_frames=2, paint=noisy)


def missing(path: Path) -> None: ...


def folder(path: Path) -> None:
    path.mkdir()


def empty(path: Path) -> None:
    path.touch()


def web_page(path: Path) -> None:
    path.write_text("<html><body>404 Not Found</body></html>")


def plain_text(path: Path) -> None:
    path.with_suffix(".txt").write_text("not a video\n" * 50)
    path.with_suffix(".txt").rename(path)


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(50_000))


def picture(path: Path) -> None:
    Image.new("RGB", (64, 48), "red").save(path, "PNG")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def audio_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def header_at_the_end_lost(path: Path) -> None:
    cut_in_half(path, {})


def cut_in_half(path: Path, muxer: dict[str, str] | None = None, spec: VideoSpec = LONG) -> None:
    write_video(path, spec, muxer if muxer is not None else {"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def fragments_cut_in_half(path: Path) -> None:
    cut_in_half(path, {"movflags": "frag_keyframe+empty_moov"})


def encrypted(path: Path) -> None:
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "00112233445566778899aabbccddeeff"}
    write_video(path, LONG, key | {"encryption_kid": "a7e61c373e219033c21091fa607bf3b8"})


def without_times(path: Path) -> None:
    write_video(path, VideoSpec(frames=10, codec="libx265" if path.suffix == ".hevc" else "libx264"))


def nine_days(path: Path) -> None:
    write_video(path, VideoSpec(frame_times_s=(0, 4 * 86_400, 9 * 86_400)))


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing.mp4": (missing, "there is no such file"),
    "folder.mp4": (folder, "a folder without pictures"),
    "pipe.mp4": (pipe, "there is no such file"),
    "empty.mp4": (empty, "the file is empty"),
    "web_page.mp4": (web_page, "cannot read it|not a video"),
    "text.mp4": (plain_text, "cannot read it|not a video"),
    "text.txt": (plain_text, "not a video"),
    "noise.mp4": (noise, "cannot read it|not a video"),
    "picture.mp4": (picture, "not a video but"),
    "audio_only.mp4": (audio_only, "it has no video stream"),
    "encrypted.mp4": (encrypted, "cannot read it|does not decode"),
    "without_times.h264": (
        without_times,
        "a raw stream, which holds no times; give it its frame rate: ffmpeg -framerate",
    ),
    "without_times.hevc": (
        without_times,
        "a raw stream, which holds no times; give it its frame rate: ffmpeg -framerate",
    ),
    "nine_days.mkv": (nine_days, "its times span 216 hours, at most 168"),
    "no_header.mp4": (header_at_the_end_lost, "cannot read it"),
    "half.mp4": (cut_in_half, "breaks off|cut off"),
    "half_fragments.mp4": (fragments_cut_in_half, "breaks off|cut off"),
    "half.mkv": (lambda path: cut_in_half(path, {}), "cut off, it declares 10.0 s and ends after"),
    "half.webm": (lambda path: cut_in_half(path, {}, VideoSpec(100, paint=noisy, codec="libvpx-vp9")), "cut off"),
    "half.flv": (lambda path: cut_in_half(path, {}), "breaks off|cut off"),
    "half.avi": (lambda path: cut_in_half(path, {}, VideoSpec(100, paint=noisy, codec="mpeg4")), "breaks off|cut off"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_no_whole_video_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    write, defect = REFUSED[name]
    write(tmp_path / name)
    for open_it in (open_video, lambda path: build_store(path, MediaConfig(), tmp_path / "cache")):
        with pytest.raises(DataError, match=defect) as caught:
            open_it(tmp_path / name)
        message = str(caught.value)
        assert "\n" not in message and str(tmp_path / name) in message and ";" in message


def test_a_transport_stream_cut_anywhere_is_refused_or_ends_with_its_last_whole_frame(tmp_path: Path) -> None:
    write_video(tmp_path / "whole.ts", LONG)
    data = (tmp_path / "whole.ts").read_bytes()
    for share in np.linspace(0.4, 0.6, 12):
        (tmp_path / "cut.ts").write_bytes(data[: int(len(data) * share)])
        try:
            video = open_video(tmp_path / "cut.ts")
        except DataError:
            continue
        assert video.frames_at([video.duration_s - 0.01]).pts_s[0] == video.timeline.times_s[-1]


def test_a_hole_in_the_middle_is_found_while_the_store_is_built(tmp_path: Path) -> None:
    write_video(tmp_path / "hole.mp4", LONG)
    data = bytearray((tmp_path / "hole.mp4").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    (tmp_path / "hole.mp4").write_bytes(data)
    with pytest.raises(DataError, match=r"damaged, its frame at .* does not decode"):
        build_store(tmp_path / "hole.mp4", MediaConfig(), tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache" / "stores").iterdir() if path.suffix != ".lock"]


def test_frames_larger_than_any_real_video_are_refused_before_one_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "large.mp4", VideoSpec(frames=2))
    monkeypatch.setattr("vt_env.media.decode.container.MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(DataError, match="its frames are 64x48, at most 3071 pixels are read; scale it down"):
        open_video(tmp_path / "large.mp4")


def test_a_frame_16_thousand_pixels_wide_is_stored_like_any_other(tmp_path: Path) -> None:
    write_video(tmp_path / "wide.mp4", VideoSpec(frames=3, fps=1, size_px=(16_384, 96)))
    store = build_store(tmp_path / "wide.mp4", MediaConfig(), tmp_path / "cache")
    assert store.video.size_px == (16_384, 96) and store.frames_at([2]).data.shape == (1, 28, 448, 3)


@pytest.mark.parametrize("size_px", [(4000, 16), (16, 4000)])
def test_a_video_thinner_than_any_processor_reads_is_refused(tmp_path: Path, size_px: tuple[int, int]) -> None:
    write_video(tmp_path / "thin.mp4", VideoSpec(frames=2, size_px=size_px))
    with pytest.raises(DataError, match=rf"{size_px[0]}x{size_px[1]}, one side more than 200 times the other; crop it"):
        open_video(tmp_path / "thin.mp4")


def test_a_picture_one_pixel_wide_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (1, 4000)).save(tmp_path / "0.png")
    with pytest.raises(DataError, match="its frames are 1x4000, one side more than 200 times the other"):
        open_video(tmp_path)


def test_fifty_hours_are_stored_by_their_frames_and_not_by_their_seconds(tmp_path: Path) -> None:
    times_s = tuple(float(hour * 3600) for hour in range(51))
    write_video(tmp_path / "slides.mkv", VideoSpec(frame_times_s=times_s))
    store = build_store(tmp_path / "slides.mkv", MediaConfig(), tmp_path / "cache")
    assert len(store.times_s) == 51
    assert read_index(store.frames_at([49.99 * 3600]).data[0]) == 49


def test_a_file_that_declares_no_frame_rate_is_played_by_its_own_times(tmp_path: Path) -> None:
    write_video(tmp_path / "zero.avi", VideoSpec(codec="mpeg4"))
    data = bytearray((tmp_path / "zero.avi").read_bytes())
    header, stream = data.index(b"avih") + 8, data.index(b"strh") + 8
    data[header : header + 4] = bytes(4)  # microseconds a frame
    data[stream + 20 : stream + 28] = bytes(8)  # scale and rate
    (tmp_path / "zero.avi").write_bytes(data)
    video = open_video(tmp_path / "zero.avi")
    assert 0 < video.duration_s < 60
    assert [read_index(frame) for frame in video.frames_at(video.timeline.times_s.tolist()).data] == list(range(40))


def test_a_file_under_a_wrong_suffix_is_read_for_what_it_is(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mkv", VideoSpec(frames=10))
    (tmp_path / "v.mkv").rename(tmp_path / "v.mp4")
    assert read_index(open_video(tmp_path / "v.mp4").frames_at([0.75]).data[0]) == 7


def test_the_timeline_of_many_packets_takes_a_few_bytes_a_packet(tmp_path: Path) -> None:
    write_video(tmp_path / "many.mp4", VideoSpec(frames=5000, fps=Fraction(25), gop=250))
    tracemalloc.start()
    with open_media(tmp_path / "many.mp4") as container:
        timeline = read_timeline(container, video_stream(container, tmp_path / "many.mp4"), tmp_path / "many.mp4")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 50 hours at 25 frames a second would be 4.5 million packets.
    assert len(timeline.pts) == 5000 and peak < 80 * 5000 + 100_000
