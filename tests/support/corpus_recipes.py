"""Files of the generated corpus: containers x codecs x oddities, each with what is expected of it.

Every file is small (64 x 36 pixels, 4 s, where its format allows) and written through PyAV, so that every machine makes
the same kinds. Where an encoder is missing, its files are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from support import corpus_oddities as odd
from support.videos import VideoSpec, write_video

SPEC = VideoSpec(size_px=(64, 36))
X264_B = replace(SPEC, b_frames=3, gop=16)
WRAP_S = 2**33 / 90_000
"""Seconds at which the 33 bits of MPEG's clock are used up."""


@dataclass(frozen=True)
class Recipe:
    """One file of the corpus."""

    name: str
    spec: VideoSpec = SPEC
    muxer: tuple[tuple[str, str], ...] = ()
    """Options of the muxer."""
    change: odd.Bytes | None = None
    """Changes the bytes of the written file."""
    write: Callable[[Path], None] | None = None
    """Writes the file instead of `write_video`."""
    refused: str = ""
    """Pattern of the refusal; empty where every frame must be exact."""
    or_exact: bool = False
    """Whether exact frames are as good as the refusal: a format that others play, too."""

    def make(self, folder: Path) -> None:
        """Write the file.

        Raises:
            ValueError: The encoder or the muxer is not there, or does not take the size or the pixel format.
        """
        path = folder / self.name
        if self.write is not None:
            self.write(path)
        else:
            write_video(path, self.spec, dict(self.muxer))
        if self.change is not None:
            path.write_bytes(self.change(path.read_bytes()))


def recipes() -> list[Recipe]:
    """Return all recipes, in the order of the table."""
    found = [*_matrix(), *_frames(), *_rates(), *_clocks(), *_shapes(), *_headers(), *_damaged(), *_names()]
    assert len({it.name for it in found}) == len(found)
    return found


_PIXELS = {
    "ffv1": "yuv420p", "huffyuv": "rgb24", "ffvhuff": "yuv420p", "utvideo": "yuv420p", "png": "rgb24", "qtrle": "rgb24",
    "rawvideo": "yuv420p", "gif": "rgb8", "apng": "rgb24", "flashsv": "bgr24", "prores_ks": "yuv422p10le",
    "svq1": "yuv410p", "cinepak": "rgb24", "libwebp_anim": "yuv420p", "magicyuv": "gbrp", "jpeg2000": "yuv420p",
    "msvideo1": "rgb555le", "rpza": "rgb555le", "v210": "yuv422p10le", "vc2": "yuv420p", "asv1": "yuv420p",
}  # fmt: skip
_MATRIX = {
    "mp4": "libx264 libx265 libsvtav1 libvpx-vp9 mpeg4 mpeg2video mjpeg",
    "mov": "libx264 libx265 prores_ks qtrle png mjpeg svq1 cinepak rpza v210",
    "mkv": "libx264 libx265 libsvtav1 libvpx libvpx-vp9 mpeg4 mpeg2video ffv1 mjpeg",
    "webm": "libvpx libvpx-vp9 libsvtav1",
    "avi": "libx264 mpeg4 mjpeg ffv1 huffyuv utvideo rawvideo msmpeg4 msmpeg4v2 wmv2 magicyuv msvideo1 asv1",
    "ts": "libx264 libx265 mpeg2video mpeg4",
    "m2ts": "libx264 mpeg2video",
    "mpg": "mpeg1video mpeg2video",
    "vob": "mpeg2video",
    "flv": "flv libx264 flashsv",
    "asf": "msmpeg4 wmv1 wmv2",
    "3gp": "h263 mpeg4",
    "m4v": "libx264 mpeg4",
    "ogv": "libvpx",
    "nut": "libx264 ffv1",
    "ivf": "libvpx libvpx-vp9 libsvtav1",
    "gif": "gif",
    "apng": "apng",
    "mxf": "mpeg2video",
    "wtv": "mpeg2video",
}
_SIZES = {"h263": (176, 144), "flashsv": (64, 48), "libsvtav1": (64, 64), "mxf": (352, 288)}
_QUIET = {"preset": "ultrafast", "x265-params": "log-level=none"}
_WHOLE_RATES = ("mpg", "vob", "mxf", "m2ts", "wtv")
"""Containers and codecs of broadcasting know the rates of television alone."""


def _matrix() -> Iterator[Recipe]:
    for suffix, codecs in _MATRIX.items():
        for codec in codecs.split():
            size_px = _SIZES.get(codec, _SIZES.get(suffix, SPEC.size_px))
            is_broadcast = suffix in _WHOLE_RATES or codec in ("mpeg1video", "mpeg2video")
            spec = replace(SPEC, codec=codec, pix_fmt=_PIXELS.get(codec, "yuv420p"), size_px=size_px)
            if codec == "libx265":
                spec = replace(spec, options=_QUIET)
            if is_broadcast:
                spec = replace(spec, fps=Fraction(25), frames=60)
            yield Recipe(f"{codec}.{suffix}", spec)
    yield Recipe("raw.264", refused="a raw stream|cannot read", or_exact=True)
    yield Recipe(
        "raw.hevc",
        replace(SPEC, codec="libx265", options=_QUIET),
        refused="a raw stream|cannot read",
        or_exact=True,
    )
    raw_mpeg = replace(SPEC, codec="mpeg2video", fps=Fraction(25), frames=60)
    yield Recipe("raw.m2v", raw_mpeg, refused="no presentation times", or_exact=True)


def _frames() -> Iterator[Recipe]:
    """Yield orders of frames, kinds of groups, rates."""
    for suffix in ("mp4", "mov", "mkv", "ts", "flv", "avi"):
        yield Recipe(f"b_frames.{suffix}", X264_B)
    for suffix in ("mp4", "mkv", "avi"):
        yield Recipe(f"b_frames_mpeg4.{suffix}", replace(SPEC, codec="mpeg4", b_frames=2))
    broadcast = replace(SPEC, codec="mpeg2video", fps=Fraction(25), frames=75, gop=15, b_frames=2)
    for suffix in ("mpg", "ts", "mkv"):
        yield Recipe(f"b_frames_mpeg2.{suffix}", broadcast)
    for suffix in ("mp4", "mkv", "ts"):
        options = {"preset": "medium", "x264-params": "open-gop=1:bframes=3:keyint=12:min-keyint=12:scenecut=0"}
        yield Recipe(f"open_gop.{suffix}", replace(SPEC, b_frames=3, options=options))
    options = {"preset": "ultrafast", "x265-params": "open-gop=1:bframes=3:keyint=12:min-keyint=12:log-level=none"}
    for suffix in ("mp4", "mkv"):
        yield Recipe(f"open_gop_hevc.{suffix}", replace(SPEC, codec="libx265", options=options))
    for suffix in ("mp4", "mkv"):
        yield Recipe(f"one_keyframe.{suffix}", replace(X264_B, gop=1000))
        yield Recipe(f"keyframes_alone.{suffix}", replace(SPEC, gop=1))
        refresh = {"x264-params": "intra-refresh=1:keyint=12:bframes=0"}
        yield Recipe(f"intra_refresh.{suffix}", replace(SPEC, options=refresh))


def _rates() -> Iterator[Recipe]:
    """Yield frames that are not shown, single frames, rates and fields."""
    hidden = {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "realtime", "cpu-used": "8"}
    for codec in ("libvpx", "libvpx-vp9"):
        yield Recipe(f"hidden_references_{codec}.webm", replace(SPEC, codec=codec, options=hidden, gop=20))
    for suffix in ("mp4", "mkv", "avi", "ts", "gif", "webm"):
        codec = {"gif": "gif", "webm": "libvpx"}.get(suffix, "libx264")
        spec = replace(SPEC, frames=1, codec=codec, pix_fmt=_PIXELS.get(codec, "yuv420p"))
        yield Recipe(f"one_frame.{suffix}", spec, refused="a still picture" if suffix == "gif" else "")
    for name, fps in (("slides", Fraction(1, 5)), ("fast", Fraction(240)), ("ntsc", Fraction(30_000, 1001))):
        yield Recipe(f"{name}.mp4", replace(X264_B, fps=fps, frames=60 if fps > 1 else 12))
    # Its header counts the last frame of five seconds, which its packets do not.
    yield Recipe("slides.mkv", replace(X264_B, fps=Fraction(1, 5), frames=12), refused="cut off", or_exact=True)
    fields = {"flags": "+ilme+ildct", "x264-params": "tff=1"}
    for suffix in ("mp4", "ts"):
        yield Recipe(f"interlaced.{suffix}", replace(SPEC, size_px=(64, 64), options=fields))
    broadcast = replace(SPEC, codec="mpeg2video", fps=Fraction(25), frames=75, gop=15, b_frames=2, size_px=(64, 64))
    yield Recipe("interlaced_mpeg2.mpg", replace(broadcast, options={"flags": "+ilme+ildct"}))


def _clocks() -> Iterator[Recipe]:
    """Yield times that are not those of a constant rate from zero."""
    steps = np.random.default_rng(5).uniform(0.01, 0.3, 40).cumsum()
    uneven = replace(X264_B, frame_times_s=tuple((steps - steps[0]).round(3).tolist()))
    for suffix in ("mp4", "mkv", "ts", "flv", "nut"):
        yield Recipe(f"variable_rate.{suffix}", uneven)
    yield Recipe("variable_rate.webm", replace(uneven, codec="libvpx", b_frames=0))
    yield Recipe("variable_rate.wmv", replace(uneven, codec="wmv2", b_frames=0))
    gap = replace(X264_B, frame_times_s=tuple(n / 10 + (30 if n >= 20 else 0) for n in range(40)))
    for suffix in ("mp4", "mkv", "ts"):
        yield Recipe(f"gap.{suffix}", gap)
    for suffix in ("mp4", "mkv", "ts", "flv"):
        yield Recipe(f"late_start.{suffix}", replace(X264_B, start_s=5.0))
    negative = (("avoid_negative_ts", "disabled"),)
    for suffix in ("ts", "mp4"):
        yield Recipe(f"negative_start.{suffix}", replace(SPEC, start_s=-1.0), negative)
    # Matroska has no negative times; without a shift, ten frames lose theirs.
    lost = Recipe("negative_start.mkv", replace(SPEC, start_s=-1.0), negative, refused="no presentation times")
    yield replace(lost, or_exact=True)
    yield Recipe("no_edit_list.mp4", X264_B, (("use_editlist", "0"),))
    yield Recipe("edit_list_with_sound.mp4", replace(X264_B, audio=True))
    # A version 0 edit of the whole duration; its media time is moved by half a second (12,800 or 30,000 ticks).
    yield Recipe("edit_list_cuts.mp4", replace(SPEC, gop=40), change=odd.number_after(b"elst", 12, 15_000))
    wrapping = replace(SPEC, start_s=WRAP_S - 2)
    yield Recipe("clock_wraps.ts", wrapping, refused="cut off", or_exact=True)
    yield Recipe("clock_wraps_b_frames.ts", replace(wrapping, b_frames=2), refused="cut off", or_exact=True)
    yield Recipe("late_clock.ts", replace(SPEC, start_s=WRAP_S / 2))
    for suffix in ("mkv", "nut"):
        yield Recipe(f"a_day_late.{suffix}", replace(SPEC, start_s=86_400.0))


def _shapes() -> Iterator[Recipe]:
    """Yield sizes, pixel aspects, orientations, depths and alpha."""
    for degrees in (90, 180, 270):
        for suffix in ("mp4", "mov"):
            yield Recipe(f"turned_{degrees}.{suffix}", replace(SPEC, turned_deg=degrees))
    mirrored = {"across": (-1, 0, 0, 1), "down": (1, 0, 0, -1), "transposed": (0, 1, 1, 0), "both": (0, -1, -1, 0)}
    for name, matrix in mirrored.items():
        yield Recipe(f"mirrored_{name}.mp4", write=partial(odd.write_turned, spec=SPEC, matrix=matrix))
    for aspect in (Fraction(4, 3), Fraction(16, 11), Fraction(8, 9), Fraction(1, 2)):
        name = f"aspect_{aspect.numerator}_{aspect.denominator}"
        yield Recipe(f"{name}.mp4", replace(SPEC, pixel_aspect=aspect))
    yield Recipe("aspect_mpeg2.mpg", replace(SPEC, codec="mpeg2video", fps=Fraction(25), pixel_aspect=Fraction(16, 15)))
    for codec, suffix in (
        ("mpeg4", "mp4"),
        ("libvpx", "webm"),
        ("libvpx-vp9", "webm"),
        ("ffv1", "mkv"),
        ("png", "mov"),
    ):
        spec = replace(SPEC, codec=codec, pix_fmt=_PIXELS.get(codec, "yuv420p"), size_px=(63, 37))
        yield Recipe(f"odd_size_{codec}.{suffix}", spec)
    yield Recipe("odd_size_444.mp4", replace(SPEC, pix_fmt="yuv444p", size_px=(65, 35)))
    for codec, suffix in (("libx264", "mp4"), ("libx265", "mp4"), ("libsvtav1", "mkv"), ("ffv1", "mkv")):
        size_px = _SIZES.get(codec, SPEC.size_px)
        yield Recipe(
            f"ten_bit_{codec}.{suffix}",
            replace(
                SPEC, codec=codec, pix_fmt="yuv420p10le", size_px=size_px, options=_QUIET if codec == "libx265" else {}
            ),
        )
    for codec, pix_fmt, suffix in (
        ("libvpx-vp9", "yuva420p", "webm"), ("png", "rgba", "mov"), ("qtrle", "argb", "mov"),
        ("ffv1", "bgra", "mkv"), ("prores_ks", "yuva444p10le", "mov"), ("apng", "rgba", "apng"),
    ):  # fmt: skip
        yield Recipe(f"alpha_{codec}.{suffix}", replace(SPEC, codec=codec, pix_fmt=pix_fmt))
    yield Recipe("grey.mkv", replace(SPEC, pix_fmt="gray"))
    yield Recipe("wide.mp4", replace(SPEC, size_px=(640, 16)))
    yield Recipe("thin.mkv", replace(SPEC, codec="ffv1", size_px=(2048, 8)), refused="more than 200 times the other")


def _headers() -> Iterator[Recipe]:
    """Yield layouts of containers, and headers that say something else than the frames."""
    layouts = {
        "faststart": "faststart",
        "fragments": "frag_keyframe+empty_moov",
        "fragments_of_all": "frag_every_frame+empty_moov+default_base_moof",
        "cmaf": "cmaf+frag_keyframe",
    }
    for name, flags in layouts.items():
        yield Recipe(f"{name}.mp4", X264_B, (("movflags", flags),))
    yield Recipe("live.mkv", X264_B, (("live", "1"),))
    yield Recipe("live.webm", replace(SPEC, codec="libvpx"), (("live", "1"),))
    yield Recipe("cues_in_front.mkv", X264_B, (("cues_to_front", "1"), ("reserve_index_space", "4096")))
    plain = replace(SPEC, codec="mpeg4", gop=30)
    yield Recipe("no_sync_samples.mp4", plain, change=odd.renamed(b"stss", b"free"))
    yield Recipe("index_of_keyframes.avi", replace(plain, codec="wmv2"), change=odd.keyframes_alone)
    yield Recipe("no_index.avi", plain, change=odd.renamed(b"idx1", b"junk"), refused="does not decode", or_exact=True)
    yield Recipe("no_times_of_display.mp4", X264_B, change=odd.renamed(b"ctts", b"free"), refused="does not decode")
    spoken = replace(SPEC, audio=True, subtitles=((0.5, 1.5, "a line"),))
    yield from (Recipe(f"sound_and_lines.{suffix}", spoken) for suffix in ("mp4", "mkv"))
    yield Recipe("sound.ts", replace(SPEC, audio=True))
    yield Recipe("sound.avi", replace(SPEC, audio=True, codec="mpeg4"))
    yield Recipe("two_pictures.mkv", write=partial(odd.write_two_pictures, spec=SPEC))
    yield Recipe("two_pictures.mp4", write=partial(odd.write_two_pictures, spec=SPEC))
    for suffix, codec in (("m4a", "aac"), ("wav", "pcm_s16le"), ("flac", "flac"), ("mka", "libopus"), ("mp4", "aac")):
        yield Recipe(
            f"sound_alone.{suffix}", write=partial(odd.write_sound, codec=codec), refused="it has no video stream"
        )
    yield Recipe("cover.mp4", write=partial(odd.write_with_picture, spec=SPEC), refused="it has no video stream")
    for suffix in ("mp4", "mkv"):
        yield Recipe(f"sound_goes_on.{suffix}", write=partial(odd.write_sound_after_picture, spec=SPEC, seconds=20))
    longer = odd.number_after(b"mvhd", 16, 900_000)
    yield Recipe("header_promises_more.mp4", change=longer, refused="cut off", or_exact=True)


def _damaged() -> Iterator[Recipe]:
    """Yield files that are not whole, or no video at all."""
    cut = "cut off|no video stream|breaks off|cannot read|does not decode|damaged"
    for suffix in ("mp4", "mkv", "avi", "flv", "nut"):
        yield Recipe(f"cut_at_70.{suffix}", X264_B, change=odd.cut_to(0.7), refused=cut)
    yield Recipe("cut_at_70.webm", replace(SPEC, codec="libvpx"), change=odd.cut_to(0.7), refused=cut)
    # Transport streams and raw files declare no end; the half packet at their end tells.
    yield Recipe("cut_at_70.ts", X264_B, change=odd.cut_to(0.7), refused=cut, or_exact=True)
    yield Recipe("cut_at_70.ogv", replace(SPEC, codec="libvpx"), change=odd.cut_to(0.7), refused=cut, or_exact=True)
    yield Recipe("cut_index_in_front.mp4", X264_B, (("movflags", "faststart"),), odd.cut_to(0.7), refused=cut)
    yield Recipe("cut_by_one.mp4", X264_B, change=odd.cut_by(1), refused=cut, or_exact=True)
    yield Recipe("cut_by_one.mkv", X264_B, change=odd.cut_by(1), refused=cut, or_exact=True)
    yield Recipe("zeros_at_the_end.mp4", change=odd.followed_by(bytes(5000)), or_exact=True)
    yield Recipe("noise_at_the_end.ts", change=odd.followed_by(b"\x13\x57" * 3000), refused=cut, or_exact=True)
    yield Recipe("noise_in_front.ts", change=odd.preceded_by(b"\x13\x57" * 300), or_exact=True)
    joined = "cut off|backwards|presentation times|does not decode|damaged|breaks off"
    for suffix in ("ts", "mkv", "mp4", "flv"):
        yield Recipe(f"joined_to_itself.{suffix}", change=odd.twice, refused=joined, or_exact=True)
    stream = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nlibx264.ts\n#EXT-X-ENDLIST\n"
    for name, data, refused in (
        ("empty.mp4", b"", "the file is empty"),
        ("text.mp4", b"no video", "FFmpeg cannot read it"),
        ("zeros.mp4", bytes(9000), "FFmpeg cannot read it"),
        ("playlist.mp4", b"ffconcat version 1.0\nfile 'libx264.mp4'\n", "FFmpeg cannot read it"),
        ("playlist.m3u8", stream.encode(), "FFmpeg cannot read it"),
    ):
        yield Recipe(name, write=partial(_write_bytes, data=data), refused=refused)
    zeroed = odd.zeroed(0.5, 0.7)
    yield Recipe("frames_zeroed.mkv", replace(X264_B, gop=1000), change=zeroed, refused=cut, or_exact=True)


def _write_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _names() -> Iterator[Recipe]:
    """Yield file names that programs misread."""
    yield from map(Recipe, ("-i.mp4", "file:a.mp4", "100%03d.mp4", "a b'c\"d.mp4", "Ünï 河.mkv", "*.mp4", "a:b|c.mp4"))


def write_corpus(folder: Path) -> list[Recipe]:
    """Write the corpus once; return the recipes whose files are there."""
    done = folder.with_suffix(".txt")
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for recipe in recipes():
            try:
                recipe.make(folder)
            except (ValueError, LookupError, av.error.FFmpegError):
                # The encoder or the muxer is missing, or does not take the size or the pixel format.
                (folder / recipe.name).unlink(missing_ok=True)
        done.write_text("".join(f"{it.name}\n" for it in recipes() if (folder / it.name).exists()))
    names = done.read_text().splitlines()
    return [recipe for recipe in recipes() if recipe.name in names]
