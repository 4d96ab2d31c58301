"""Timelines by decoding, for files whose packets are not their frames.

Knows decoders and times; knows nothing of pixels. Packets without a picture (MPEG-4 "not coded", single fields) and
containers that store decoding times alone (AVI with B-frames) show only in what the decoder returns.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import av.error
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vt_env.errors import DataError
from vt_env.media.decode.container import REENCODE, WITHHOLDING, Timeline, open_media, video_stream

_PROBED_FRAMES = 64
"""Frames at the start that are compared with the packets: more than any decoder reorders."""
_REORDERED_FRAMES = 16
"""Maximum distance between a frame's places in decoding and in display order (H.264, A.3.1)."""
_WITH_FIELDS = ("h264", "mpeg2video", "vc1")
"""Codecs in which two fields of a frame may be packets with a time each, also of some frames alone."""
_FIELD_SHARE = 0.6
"""Share of the least gap between frames, up to which the gap to the next packet may be that between fields: half."""
_WITHOUT_TIMES = ("avi", "mpeg")
"""Containers that store no presentation time for some packets."""


def checked_timeline(path: Path, timeline: Timeline) -> Timeline:
    """Return `timeline`, or the times by decoding the whole file where the decoder returns other frames.

    Compares the first frames, or all where the container stores no time for some or fields may begin later. Frames that
    decode before the first one that the container flags as a keyframe are put in front.

    Raises:
        DataError: The frames do not decode, or have no times of their own.
    """
    with open_media(path) as container:
        stream = video_stream(container, path)
        stream.codec_context.thread_count = 1
        turns = stream.codec_context.codec.canonical_name in _WITH_FIELDS and _may_turn_to_fields(timeline)
        is_doubtful = timeline.has_untimed_packets or timeline.has_small_packets or turns
        is_timed = container.format.name not in _WITHOUT_TIMES and not is_doubtful
        if is_timed or not stream.codec_context.codec.reorder:
            pts = [frame.pts for frame in islice(_frames(container.demux(stream)), _PROBED_FRAMES)]
            if pts == timeline.pts[: len(pts)].tolist():
                return _with_earlier_frames(path, timeline)
    return _decoded_timeline(path, timeline)


def _may_turn_to_fields(timeline: Timeline) -> bool:
    """Return whether packets behind the compared frames are so close that they may be fields, as cameras mix them."""
    gaps = np.diff(timeline.pts)
    probed, rest = gaps[: _PROBED_FRAMES - 1], gaps[_PROBED_FRAMES - 1 :]
    return bool(len(rest)) and bool(rest.min() <= _FIELD_SHARE * probed.min())


def _with_earlier_frames(path: Path, timeline: Timeline) -> Timeline:
    """Put the frames that decode before the first flagged keyframe in front of the timeline."""
    if not timeline.has_leading_packets:
        return timeline
    first, earlier = int(timeline.pts[0]), list[int]()
    with open_media(path) as container:
        stream = video_stream(container, path)
        stream.codec_context.thread_count = 1
        withholds = stream.codec_context.codec.canonical_name in WITHHOLDING
        for frame in _earlier_frames(container.demux(stream), withholds):
            if frame.pts is None or frame.pts >= first:
                break
            earlier.append(frame.pts)
    if earlier != sorted(set(earlier)):
        return timeline
    return replace(timeline, pts=np.concatenate([np.array(earlier, dtype=np.int64), timeline.pts]))


def _earlier_frames(packets: Iterable["Packet[VideoStream]"], withholds: bool) -> Iterator[VideoFrame]:
    """Yield the sound frames from the first one on that decoding can start from, by the decoder's own word."""
    is_begun = False
    for packet in packets:
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            if is_begun:
                return
            continue
        for frame in frames:
            if frame.is_corrupt and is_begun:
                return
            is_begun = is_begun or (not frame.is_corrupt and (withholds or frame.key_frame))
            if is_begun:
                yield frame


def _frames(packets: Iterable["Packet[VideoStream]"]) -> Iterator[VideoFrame]:
    """Yield the frames from the first keyframe to the end, as far as they decode."""
    is_begun, first = False, None
    try:
        for packet in packets:
            if not is_begun and packet.is_keyframe:
                is_begun, first = True, packet.pts
            if not is_begun:
                continue
            for frame in packet.decode():
                if frame.is_corrupt:
                    return
                if frame.pts is None or first is None or frame.pts >= first:
                    yield frame
    except av.error.FFmpegError:
        return


@dataclass(frozen=True)
class _Decoded:
    pts: NDArray[np.int64]
    """int64[N], times of the frames in display order."""
    is_key: NDArray[np.bool_]
    packet_ticks: Mapping[int, int | None]
    """Decoding tick of the packet of each time."""


def _decode(path: Path) -> _Decoded:
    ticks: dict[int, int | None] = {}
    shown: list[tuple[int, bool]] = []
    with open_media(path) as container:
        stream = video_stream(container, path)
        stream.codec_context.thread_count = 1

        def watched() -> Iterator["Packet[VideoStream]"]:
            for packet in container.demux(stream):
                if packet.pts is not None:
                    ticks[packet.pts] = packet.dts
                yield packet

        for frame in _frames(watched()):
            if frame.pts is None:
                raise DataError(f"{path}: its frames carry no presentation times; {REENCODE}")
            shown.append((frame.pts, frame.key_frame))
    pts = np.array([it for it, _ in shown], dtype=np.int64)
    return _Decoded(pts, np.array([key for _, key in shown], dtype=bool), ticks)


def _decoded_timeline(path: Path, timeline: Timeline) -> Timeline:
    """Decode the whole file; return `timeline` itself where its times are the frames'."""
    decoded = _decode(path)
    pts = decoded.pts
    in_order = np.unique(pts)
    if np.array_equal(pts, timeline.pts[: len(pts)]):
        return timeline
    if not len(pts) or len(in_order) != len(pts):
        raise DataError(f"{path}: its frames carry no presentation times of their own; {REENCODE}")
    if np.array_equal(pts, in_order):
        known = timeline.keyframes[np.isin(timeline.keyframes[:, 0], pts)]
        return replace(timeline, pts=pts, keyframes=known)
    if np.abs(np.searchsorted(in_order, pts) - np.arange(len(pts))).max() > _REORDERED_FRAMES:
        raise DataError(f"{path}: its times run backwards; {REENCODE}")
    packet_ticks = [decoded.packet_ticks.get(it) for it in pts.tolist()]
    if None in packet_ticks:
        raise DataError(f"{path}: its packets carry no times; {REENCODE}")
    labels = np.array(packet_ticks, dtype=np.int64)
    keyframes = np.stack([in_order[decoded.is_key], labels[decoded.is_key]], axis=1)
    return replace(timeline, pts=in_order, keyframes=keyframes, packet_ticks=labels)
