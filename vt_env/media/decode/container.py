"""Media containers: open a file and read its presentation times from its packets.

Knows FFmpeg (through PyAV) and its pitfalls; knows nothing of pixels. Files that cannot be intact raise a one-line
`DataError`: no frames, no presentation times, an end before the declared end, a truncated last packet.
"""

import os
from array import array
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.format import Flags
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import ArrayLike, NDArray

from vt_env.errors import DataError, foreign_input, is_shortage
from vt_env.media.decode.container_structure import asf_end_s, has_tracks, is_closed

REENCODE = "copy it again, or keep what is readable: ffmpeg -i OLD -c:v libx264 NEW.mp4"
TIMES_OF_RAW = "give it its frame rate: ffmpeg -framerate RATE -i OLD -c:v libx264 NEW.mp4"

WITHHOLDING = ("h264", "hevc", "vvc", "vp8", "vp9", "av1")
"""Codecs whose decoders return nothing before a frame that decoding can start from, whatever the container flags;
others return grey pictures with differences on them."""

MAX_PIXELS = 1 << 26
"""Maximum pixels per frame, 8192 x 8192: twice 8K video. Decoders hold up to 16 frames: more would take gigabytes."""
MAX_DURATION_S = 7 * 24 * 3600.0
"""Maximum duration, one week. A longer file has broken times, and memory grows with the duration."""

CONTAINERS = (
    "amv,asf,asf_o,av1,avi,avs2,avs3,cavsvideo,dirac,dnxhd,dv,evc,film_cpk,flic,flv,gif,gxf,h261,h263,h264,hevc,ivf,ivr,"
    "jpegxl_anim,kux,live_flv,m4v,matroska,mjpeg,mov,mp4,mpeg,mpegts,mpegvideo,mtv,mxf,nsv,nut,nuv,obu,ogg,rm,roq,smk,"
    "swf,vc1,vvc,webp,wtv,yuv4mpegpipe,apng,tty,aac,ac3,aiff,amr,ape,au,caf,dts,eac3,flac,mp3,truehd,tta,voc,w64,wav,wv,"
    "bmp_pipe,gif_pipe,ico,jpeg_pipe,jpegxl_pipe,png_pipe,ppm_pipe,tiff_pipe,webp_pipe"
)
"""Demuxers that are let in, by FFmpeg's names: of the 371 that `ffmpeg -demuxers` lists in version 8.1, those of
containers with moving pictures, and of sound and stills, so that these are refused as such. Each reads one file alone,
by its source in libavformat; playlists and scripts (hls, dash, concat, sdp) open others. Games' own formats are left
out; so is what a later version of FFmpeg adds until it is added here."""
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}

_STILLS = ("apng", "gif", "ico", "jpegxl_anim", "webp")
"""Containers of which a single frame is a still picture, by FFmpeg's names."""

_CUT_S = 1.0
"""Gap to the declared end from which a file counts as truncated; headers round by far less."""
_SMALL_BYTES = 16
"""Size up to which a packet of MPEG-4 may be a picture that is "not coded" (ISO/IEC 14496-2, 6.2.5), thus no frame."""
_OUTLIVED_S = 1.0
"""Time from which sound after the last picture lengthens a video; encoders fill up their last block by far less."""
_SLACK_S = 1e-6
"""Tolerance before a frame's presentation time: float64 seconds do not hit every tick exactly."""


@dataclass(frozen=True, eq=False)
class Timeline:
    """Presentation times of a video stream, in ticks of its time base."""

    tick_s: Fraction
    """Time base: the length of a tick in seconds."""
    pts: NDArray[np.int64] = field(repr=False)
    """int64[N], presentation times in ticks, strictly increasing."""
    end: int
    """Tick at which the last frame leaves the screen."""
    keyframes: NDArray[np.int64] = field(repr=False)
    """int64[K, 2], sorted: presentation tick and seek tick of the frames that decoding can start from."""
    packet_ticks: NDArray[np.int64] | None = field(default=None, repr=False)
    """int64[N], decoding tick of the packet that holds each frame, where the packets' presentation times are not the
    frames' (AVI with B-frames); `None` elsewhere."""
    has_untimed_packets: bool = field(default=False, repr=False)
    """Whether packets without a presentation time were left out; only decoding tells what they hold."""
    has_small_packets: bool = field(default=False, repr=False)
    """Whether packets of MPEG-4 may hold no picture; only decoding tells."""
    has_leading_packets: bool = field(default=False, repr=False)
    """Whether packets before the first that is flagged as a keyframe were left out; some hold decodable frames."""

    @property
    def origin_s(self) -> float:
        """First presentation time on the container's clock; subtract it to put other streams on the video's clock."""
        return float(int(self.pts[0]) * self.tick_s)

    @cached_property
    def times_s(self) -> NDArray[np.float64]:
        """float64[N], presentation times in seconds, starting at 0."""
        return (self.pts - self.pts[0]).astype(np.float64) * float(self.tick_s)

    @property
    def begins_early(self) -> bool:
        """Whether frames before the first that the container flags as a keyframe decode as well."""
        return self.packet_ticks is None and int(self.pts[0]) < int(self.keyframes[0, 0])

    def frame_pts(self, packet_tick: int | None) -> int | None:
        """Return a frame's presentation tick by its packet's: its `packet_ticks` entry, or the same tick without them.

        Returns `None` for a packet without a frame.
        """
        if self.packet_ticks is None or packet_tick is None:
            return packet_tick
        at = int(np.searchsorted(self._packet_order[0], packet_tick))
        is_frame = at < len(self.pts) and int(self._packet_order[0][at]) == packet_tick
        return int(self.pts[self._packet_order[1][at]]) if is_frame else None

    @cached_property
    def _packet_order(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """int64[N] each, packet ticks in increasing order and the frame index of each."""
        assert self.packet_ticks is not None
        order = np.argsort(self.packet_ticks)
        return self.packet_ticks[order], order

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to the end of the last one."""
        return float((self.end - int(self.pts[0])) * self.tick_s)

    def frame_idxs(self, times_s: ArrayLike) -> NDArray[np.int64]:
        """Return int64[M], the frame indexes on screen at `times_s`, float[M], none of them negative."""
        return latest_idxs(self.times_s, times_s)


def latest_idxs(starts_s: NDArray[np.float64], times_s: ArrayLike) -> NDArray[np.int64]:
    """Return int64[N], the index of the latest of the sorted `starts_s` not after each time; -1 if all are later."""
    times = np.asarray(times_s, dtype=np.float64)
    return np.searchsorted(starts_s, times + _SLACK_S, side="right").astype(np.int64) - 1


def check_file(path: Path) -> None:
    """Check that a path is a readable, non-empty file; folders pass, since they may hold pictures.

    Raises:
        DataError: The file is missing, a device, not readable, or empty.
    """
    if path.is_dir():
        return
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; check the path")
    if not os.access(path, os.R_OK):
        raise DataError(f"{path}: no permission to read it; change its permissions")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; copy it again")


@contextmanager
def open_media(path: Path) -> Generator[InputContainer]:
    """Open a media file for reading; FFmpeg errors inside the block become `DataError`.

    Raises:
        DataError: The file is missing, empty or not a media file, or reading fails.
    """
    check_file(path)
    if path.is_dir():
        raise DataError(f"{path}: it is a folder; give a media file")
    with foreign_input(path):
        try:
            # An absolute path cannot be mistaken for a URL. Broken metadata does not affect the pictures.
            with av.open(str(path.absolute()), metadata_errors="replace", container_options=_OPTIONS) as container:
                yield container
        except av.error.FFmpegError as error:
            if is_shortage(error):
                raise OSError(error.errno, error.strerror, str(path)) from error
            raise DataError(f"{path}: FFmpeg cannot read it ({error.strerror}); {REENCODE}") from error


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return FFmpeg's best video stream; cover art, still images and text art do not count as video.

    Raises:
        DataError: The file has no video stream.
    """
    name = container.format.name
    stream = container.streams.best("video")
    if stream is None or stream.disposition & Disposition.attached_pic:
        raise DataError(f"{path}: it has no video stream; give a file with pictures")
    if name.startswith("mov") and not has_tracks(path):
        raise DataError(f"{path}: not a video but a still picture (such as HEIC); give a video file such as MP4")
    if name in ("ico", "image2", "tty") or name.endswith("_pipe"):
        raise DataError(f"{path}: not a video but {container.format.long_name!r}; give a video file such as MP4")
    assert isinstance(stream, VideoStream)
    return stream


def format_of(container: InputContainer, stream: VideoStream) -> str:
    """Return container and codec by FFmpeg's names, such as `mov,h264` or `matroska,vp9`."""
    return f"{container.format.name.split(',')[0]},{stream.codec_context.codec.canonical_name}"


def check_size(stream: VideoStream, path: Path) -> None:
    """Check the frame size, since decoding larger frames would exhaust the memory.

    Raises:
        DataError: A frame has more than `MAX_PIXELS` pixels.
    """
    if stream.width * stream.height > MAX_PIXELS:
        remedy = "scale it down: ffmpeg -i OLD -vf scale=1920:-2 NEW.mp4"
        raise DataError(
            f"{path}: its frames are {stream.width}x{stream.height}, at most {MAX_PIXELS} pixels are read; {remedy}"
        )


def read_timeline(container: InputContainer, stream: VideoStream, path: Path) -> Timeline:
    """Read the timeline of `stream` from all packets of the file, without decoding.

    Raises:
        DataError: The file has no presentation times or no keyframe, or it is truncated.
    """
    read = _read_packets(container, stream, path)
    if not read.shown and read.untimed and container.format.flags & Flags.no_timestamps.value:
        raise DataError(f"{path}: a raw stream, which holds no times; {TIMES_OF_RAW}")
    if not read.shown:
        defect = "carry no presentation times" if read.untimed else "hold none that decoding could start from"
        raise DataError(f"{path}: its frames {defect}; {REENCODE}")
    packets = np.frombuffer(read.shown, dtype=np.int64)
    pts = np.unique(packets)
    if len(pts) == 1 and container.format.name in _STILLS:
        raise DataError(f"{path}: not a video but a still picture; give a video file such as MP4")
    last_duration = int(np.frombuffer(read.lasting, dtype=np.int64)[packets == pts[-1]].max())
    tick = _tick(stream)
    end = int(pts[-1]) + (last_duration or _usual_gap(pts, stream))
    declared_s = _declared_end_s(container, stream, path)
    end_s = max(read.end_s, float(end * tick))
    # A clock that wraps begins below 0.
    if max(end_s, end_s - read.start_s) < declared_s - _CUT_S and not is_closed(path, container.format.name):
        raise DataError(f"{path}: cut off, it declares {declared_s:.1f} s and ends after {end_s:.1f} s; {REENCODE}")
    if read.sound_end_s - float(end * tick) > _OUTLIVED_S:
        # As players do: the last picture stays while the sound goes on.
        end = int(Fraction(read.sound_end_s) / tick)
    if (end - int(pts[0])) * tick > MAX_DURATION_S:
        hours = round(float((end - int(pts[0])) * tick) / 3600)
        raise DataError(
            f"{path}: its times span {hours} hours, at most {MAX_DURATION_S / 3600:.0f} are read; {REENCODE}"
        )
    keyframes = np.array(sorted(read.keyframes), dtype=np.int64)
    return Timeline(
        tick,
        pts,
        end,
        keyframes,
        has_untimed_packets=read.untimed > 0,
        has_small_packets=read.small > 0,
        has_leading_packets=read.leading > 0,
    )


@dataclass
class _Packets:
    """What the packets of a file say. Machine integers: a file of several days has millions of packets."""

    shown: "array[int]" = field(default_factory=lambda: array("q"))
    """Presentation ticks of the packets that hold a shown frame, from the first keyframe on."""
    lasting: "array[int]" = field(default_factory=lambda: array("q"))
    """Duration of each in ticks; 0 if unknown."""
    keyframes: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    leading: int = 0
    """Number of packets of the stream before the first keyframe."""
    untimed: int = 0
    """Number of packets of the stream without a presentation time, such as the second field of a frame."""
    small: int = 0
    """Number of packets that may hold no picture."""
    start_s: float = 0.0
    """Least time of any packet, at most 0."""
    end_s: float = 0.0
    """End of the last packet of any stream."""
    sound_end_s: float = 0.0


def _read_packets(container: InputContainer, stream: VideoStream, path: Path) -> _Packets:
    """Read the times of all packets.

    Raises:
        DataError: A packet of the stream is cut off.
    """
    read, is_mpeg4 = _Packets(), stream.codec_context.codec.canonical_name == "mpeg4"
    for packet in container.demux():
        is_own = packet.stream is stream
        if packet.size == 0:
            continue
        if is_own and packet.is_corrupt:
            raise DataError(f"{path}: a frame breaks off {read.end_s:.1f} s into the file; {REENCODE}")
        if packet.pts is None:
            read.untimed += is_own
            continue
        end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
        read.start_s = min(read.start_s, float(packet.pts * packet.time_base))
        read.end_s = max(read.end_s, end_s)
        if packet.stream.type == "audio":
            read.sound_end_s = max(read.sound_end_s, end_s)
        if not is_own:
            continue
        read.small += is_mpeg4 and packet.size <= _SMALL_BYTES
        if packet.is_keyframe:
            read.keyframes.append((packet.pts, packet.pts if packet.dts is None else packet.dts))
        read.leading += not read.keyframes
        is_decodable = bool(read.keyframes) and packet.pts >= read.keyframes[0][0]
        if is_decodable and not packet.is_discard and not is_never_shown(packet):
            read.shown.append(packet.pts)
            read.lasting.append(packet.duration or 0)
    return read


def is_never_shown(packet: "Packet[Any]") -> bool:
    """Return whether a packet of VP8 or VP9 holds a frame that only others refer to.

    RFC 6386, 9.1 (`show_frame`), and the VP9 bitstream specification, 6.2 and annex B (superframes).
    """
    codec = packet.stream.codec_context.name
    if codec not in ("vp8", "vp9", "libvpx", "libvpx-vp9") or not packet.size:
        return False
    data = memoryview(packet)
    if codec in ("vp8", "libvpx"):
        return not data[0] >> 4 & 1
    if data[-1] >> 5 == 0b110 or data[0] >> 6 != 0b10:
        return False
    # The fields after the frame marker: profile (3 bits for profile 3, else 2), show existing, type, show.
    shift = 1 if data[0] >> 4 & 3 == 3 else 0
    shows_existing, shows = data[0] >> (3 - shift) & 1, data[0] >> (1 - shift) & 1
    return not shows_existing and not shows


def _tick(stream: VideoStream) -> Fraction:
    assert stream.time_base is not None
    return stream.time_base


def _usual_gap(pts: NDArray[np.int64], stream: VideoStream) -> int:
    """Return the median ticks between frames, for containers without a duration of the last frame."""
    if len(pts) > 1:
        return int(np.median(np.diff(pts)))
    return round(1 / (stream.guessed_rate or Fraction(1)) / _tick(stream))


def _declared_end_s(container: InputContainer, stream: VideoStream, path: Path) -> float:
    """Return the end that the header declares.

    Matroska counts its duration from 0 and other containers from their first packet; this is the smaller of the two.
    """
    declared_s = (container.duration or 0) / av.time_base
    if stream.duration:
        declared_s = max(declared_s, float(((stream.start_time or 0) + stream.duration) * _tick(stream)))
    return max(declared_s, asf_end_s(path)) if container.format.name == "asf" else declared_s
