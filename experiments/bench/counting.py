"""The videos that every decoding backend is held to: each frame paints its own index, one file for each difficulty."""

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

# The painter belongs to the tests, which are not installed; a benchmark runs from a checkout.
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from videos import VideoSpec, read_index, write_video

__all__ = ["SPECS", "VideoSpec", "read_index", "write_counting"]

_UNEVEN_S = tuple(float(time_s) for time_s in np.cumsum(np.random.default_rng(0).choice([0.04, 0.1, 0.5, 2.0], 60)))
_HEVC = {"x265-params": "log-level=none:bframes=3:pools=1"}
_OPEN = {"x264-params": "open-gop=1"}
_AV1 = {"preset": "12", "svtav1-params": "lp=1"}

SPECS = {
    "h264_plain.mp4": VideoSpec(frames=60),
    "h264_b_frames.mp4": VideoSpec(frames=60, gop=50, b_frames=3),
    "h264_open_groups.mp4": VideoSpec(frames=60, b_frames=3, options=_OPEN),
    "h264_keyframes_10_s_apart.mp4": VideoSpec(frames=500, fps=Fraction(25), gop=250, b_frames=3),
    "h264_ntsc.mov": VideoSpec(frames=60, fps=Fraction(30000, 1001), b_frames=2),
    "h264_vfr.mp4": VideoSpec(frame_times_s=_UNEVEN_S, b_frames=2),
    "h264_starts_at_5_s.mp4": VideoSpec(start_s=5, b_frames=2, audio=True),
    "h264_upright.mp4": VideoSpec(turned_deg=90),
    "h264_anamorphic.mp4": VideoSpec(size_px=(32, 48), pixel_aspect=Fraction(2)),
    "h264_10_bit.mp4": VideoSpec(frames=60, b_frames=2, pix_fmt="yuv420p10le"),
    "h264_edit_list.mp4": VideoSpec(frames=60, gop=20, b_frames=2),
    "h264_one_frame.mp4": VideoSpec(frames=1),
    "h264_b_frames.mkv": VideoSpec(frames=60, b_frames=2),
    "h264_vfr.mkv": VideoSpec(frame_times_s=_UNEVEN_S, b_frames=2),
    "h264_starts_at_5_s.mkv": VideoSpec(start_s=5, b_frames=2),
    "h264_open_groups.mkv": VideoSpec(frames=60, b_frames=3, options=_OPEN),
    "h264_transport.ts": VideoSpec(frames=60, b_frames=2, audio=True),
    "hevc.mp4": VideoSpec(frames=60, codec="libx265", options=_HEVC),
    "hevc_10_bit.mp4": VideoSpec(frames=60, codec="libx265", options=_HEVC, pix_fmt="yuv420p10le"),
    "hevc_vfr.mkv": VideoSpec(frame_times_s=_UNEVEN_S, codec="libx265", options=_HEVC),
    "vp9.webm": VideoSpec(codec="libvpx-vp9"),
    "vp9_vfr.webm": VideoSpec(codec="libvpx-vp9", frame_times_s=_UNEVEN_S),
    "vp9.mp4": VideoSpec(codec="libvpx-vp9"),
    "av1.mp4": VideoSpec(codec="libsvtav1", options=_AV1),
    "av1_10_bit.mkv": VideoSpec(codec="libsvtav1", options=_AV1, pix_fmt="yuv420p10le"),
    "mpeg4_b_frames.mp4": VideoSpec(codec="mpeg4", b_frames=2),
    "mpeg4.avi": VideoSpec(codec="mpeg4"),
    "mjpeg.mov": VideoSpec(codec="mjpeg"),
}


def write_counting(folder: Path, name: str) -> VideoSpec:
    """Write the video of a name in `SPECS` into `folder`; its `times_s` tell when each frame comes up."""
    if "edit_list" not in name:
        return write_video(folder / name, SPECS[name])
    write_video(folder / "edit_source.mp4", SPECS[name])
    # Copied from the second keyframe on and shifted to begin before 0, which the muxer hides with an edit list.
    target_options = {"avoid_negative_ts": "disabled"}
    with (
        av.open(str(folder / "edit_source.mp4")) as source,
        av.open(str(folder / name), "w", options=target_options) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.pts is not None and packet.dts is not None and packet.pts >= 60_000:
                packet.pts, packet.dts, packet.stream = packet.pts - 75_000, packet.dts - 75_000, stream
                target.mux(packet)
    return SPECS[name]
