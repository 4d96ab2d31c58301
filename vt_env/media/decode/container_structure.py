"""What the bytes of a container say and FFmpeg does not pass on: whether it ends as it says, its crop, its tracks.

Knows bytes; knows nothing of decoding. Reads headers alone, in bounded steps. What does not follow the format is as if
it were not there, since FFmpeg has judged the file already. Sources: RFC 8794 and RFC 9559 (EBML, Matroska), ISO/IEC
14496-12 (MP4; 12.1.4 for `clap`), the FLV specification 10.1 (annex E), RIFF as in the AVI 1.0 specification, the ASF
specification 01.20.03 (3.1 and 3.2), and IVF as `ivfdec.c` of libvpx reads it.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_MAX_PARTS = 1 << 20
"""Maximum number of boxes or elements in a row; a file of a week in fragments of one second has as many."""
_SEGMENT, _CLUSTER, _TRACKS, _TRACK, _VIDEO = 0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE, 0xE0
_WIDTH, _HEIGHT = 0xB0, 0xBA
_CROPS = {0x54CC: "left", 0x54BB: "top", 0x54DD: "right", 0x54AA: "bottom"}
_VISUAL_ENTRY_BYTES = 78
"""Fixed fields of a visual sample entry, before the boxes in it."""
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_FLV_TAGS = (8, 9, 18)
"""Sound, picture and script."""


@dataclass(frozen=True)
class Crop:
    """Pixels that are not shown at each side of the stored picture."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def size_px(self, stored_px: tuple[int, int]) -> tuple[int, int]:
        """Return the width and height that are left of a stored picture."""
        return stored_px[0] - self.left - self.right, stored_px[1] - self.top - self.bottom


@dataclass(frozen=True)
class _Part:
    """An element of EBML, or a box: its name and where its content lies in the file."""

    name: int
    start: int
    end: int
    is_open: bool = False
    """Whether it says no size and goes on to the end of the file."""


def is_closed(path: Path, format_name: str) -> bool:
    """Return whether a container ends where its own structure says, so that nothing was cut off.

    Args:
        path: The file.
        format_name: FFmpeg's name of the container. Others than Matroska, MP4, FLV, AVI, ASF and IVF are never closed.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            if format_name.startswith("matroska"):
                return _is_whole_matroska(file, size)
            if format_name.startswith("mov"):
                boxes = list(_boxes(file, 0, size))
                return any(it.name == _named("moov") for it in boxes) and boxes[-1].end == size
            is_whole = _WHOLE.get(format_name)
            return is_whole is not None and is_whole(file, size)
        except (struct.error, IndexError, OverflowError):
            return False


def read_crop(path: Path, format_name: str, stored_px: tuple[int, int]) -> Crop:
    """Read the crop that Matroska (`PixelCrop`) or MP4 (`clap`) gives a video track of the stored size.

    Returns: no crop where there is none, or none that fits the picture.
    """
    found = Crop()
    with path.open("rb") as file:
        try:
            if format_name.startswith("matroska"):
                found = _matroska_crop(file, path.stat().st_size, stored_px)
            elif format_name.startswith("mov"):
                found = _mp4_crop(file, path.stat().st_size, stored_px)
        except (struct.error, IndexError, OverflowError, ZeroDivisionError):
            return Crop()
    sides = (found.left, found.top, found.right, found.bottom)
    return found if min(sides) >= 0 and min(found.size_px(stored_px)) > 0 else Crop()


def asf_end_s(path: Path) -> float:
    """Return the end in seconds that an ASF file declares, which FFmpeg passes on for whole files alone; 0 for none."""
    with path.open("rb") as file:
        try:
            fields = _asf_properties(file, path.stat().st_size)
        except struct.error:
            return 0.0
    # In tenths of microseconds, from the preroll in milliseconds on.
    return 0.0 if fields is None else fields[3] / 1e7 - fields[5] / 1e3


def has_tracks(path: Path) -> bool:
    """Return whether a file of the MP4 family has tracks; still pictures (HEIC, AVIF) have items instead."""
    with path.open("rb") as file:
        try:
            return any(it.name == _named("moov") for it in _boxes(file, 0, path.stat().st_size))
        except (struct.error, OverflowError):
            return False


def _elements(file: BinaryIO, start: int, end: int) -> Iterator[_Part]:
    """List the EBML elements between two places."""
    for _ in range(_MAX_PARTS):
        if start >= end:
            return
        file.seek(start)
        head = file.read(12)
        name_bytes = 9 - head[0].bit_length()
        size_bytes = 9 - head[name_bytes].bit_length()
        if name_bytes > 4 or size_bytes > 8:
            return
        name = int.from_bytes(head[:name_bytes])
        unknown = (1 << 7 * size_bytes) - 1
        size = int.from_bytes(head[name_bytes : name_bytes + size_bytes]) & unknown
        at = start + name_bytes + size_bytes
        start = end if size == unknown else at + size
        yield _Part(name, at, start, size == unknown)


def _matroska_crop(file: BinaryIO, size: int, stored_px: tuple[int, int]) -> Crop:
    for segment in (it for it in _elements(file, 0, size) if it.name == _SEGMENT):
        for part in _elements(file, segment.start, min(segment.end, size)):
            if part.name == _CLUSTER:
                break
            if part.name == _TRACKS:
                return _crop_of_tracks(file, part, stored_px)
    return Crop()


def _crop_of_tracks(file: BinaryIO, tracks: _Part, stored_px: tuple[int, int]) -> Crop:
    for track in (it for it in _elements(file, tracks.start, tracks.end) if it.name == _TRACK):
        for video in (it for it in _elements(file, track.start, track.end) if it.name == _VIDEO):
            values = {it.name: _number(file, it) for it in _elements(file, video.start, video.end)}
            if (values.get(_WIDTH), values.get(_HEIGHT)) == stored_px:
                return Crop(**{side: values.get(name, 0) for name, side in _CROPS.items()})
    return Crop()


def _number(file: BinaryIO, part: _Part) -> int:
    file.seek(part.start)
    return int.from_bytes(file.read(min(8, part.end - part.start)))


def _named(name: str) -> int:
    return int.from_bytes(name.encode())


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[_Part]:
    """List the boxes between two places."""
    for _ in range(_MAX_PARTS):
        if end - start < 8:
            return
        file.seek(start)
        size, name = struct.unpack(">II", file.read(8))
        at = start + 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            at += 8
        size = size or end - start
        if size < at - start:
            return
        start += size
        yield _Part(name, at, start)


def _below(file: BinaryIO, parts: list[_Part], *names: str) -> list[_Part]:
    for name in names:
        parts = [it for part in parts for it in _boxes(file, part.start, part.end) if it.name == _named(name)]
    return parts


def _mp4_crop(file: BinaryIO, size: int, stored_px: tuple[int, int]) -> Crop:
    for table in _below(file, [_Part(0, 0, size)], "moov", "trak", "mdia", "minf", "stbl", "stsd"):
        for entry in _boxes(file, table.start + 8, table.end):
            file.seek(entry.start)
            fixed = file.read(_VISUAL_ENTRY_BYTES)
            if len(fixed) < _VISUAL_ENTRY_BYTES or struct.unpack(">HH", fixed[24:28]) != stored_px:
                continue
            for clap in _boxes(file, entry.start + _VISUAL_ENTRY_BYTES, entry.end):
                if clap.name == _named("clap"):
                    file.seek(clap.start)
                    return _clean_aperture(struct.unpack(">IIIIiIiI", file.read(32)), stored_px)
    return Crop()


def _clean_aperture(fractions: tuple[int, ...], stored_px: tuple[int, int]) -> Crop:
    """Turn an aperture, its width, height and the offsets of its centre from the picture's, into a crop."""
    width, height, right_of, below = (fractions[at] / fractions[at + 1] for at in range(0, 8, 2))
    left = round((stored_px[0] - width) / 2 + right_of)
    top = round((stored_px[1] - height) / 2 + below)
    return Crop(left, top, stored_px[0] - left - round(width), stored_px[1] - top - round(height))


def _is_whole_matroska(file: BinaryIO, size: int) -> bool:
    """Return whether elements of known size fill the last segment, and blocks its clusters."""
    segments = [it for it in _elements(file, 0, size) if it.name == _SEGMENT]
    if not segments or segments[-1].is_open or segments[-1].end > size:
        return False
    end = segments[-1].start
    for part in _elements(file, end, segments[-1].end):
        last = part.start
        for block in _elements(file, last, part.end) if part.name == _CLUSTER else ():
            last = block.end
        if part.is_open or (part.name == _CLUSTER and last != part.end):
            return False
        end = part.end
    return end == segments[-1].end


def _is_whole_flv(file: BinaryIO, size: int) -> bool:
    """Return whether tags fill an FLV file, each followed by its size, from behind its header of 9 bytes."""
    at = 9 + 4
    while at + 11 <= size:
        file.seek(at)
        head = file.read(4)
        data_bytes = int.from_bytes(head[1:])
        if head[0] & 0x1F not in _FLV_TAGS:
            return False
        at += 11 + data_bytes
        file.seek(at)
        if at + 4 > size or struct.unpack(">I", file.read(4)) != (11 + data_bytes,):
            return False
        at += 4
    return at == size


def _ends_with_riff(file: BinaryIO, size: int) -> bool:
    """Return whether the chunks `RIFF` of an AVI file, one or several, fill it."""
    at = 0
    for _ in range(_MAX_PARTS):
        file.seek(at)
        name, chunk_bytes = struct.unpack("<4sI", file.read(8))
        if name != b"RIFF":
            return False
        at += 8 + chunk_bytes + chunk_bytes % 2
        if size - at < 8:
            return at <= size + 1 and chunk_bytes > 0
    return False


def _is_whole_ivf(file: BinaryIO, size: int) -> bool:
    """Return whether frames, each behind its size and time, fill an IVF file from behind its header."""
    file.seek(6)
    (at,) = struct.unpack("<H", file.read(2))
    while at + 12 <= size:
        file.seek(at)
        (frame_bytes,) = struct.unpack("<I", file.read(4))
        at += 12 + frame_bytes
    return at == size


def _is_whole_asf(file: BinaryIO, size: int) -> bool:
    """Return whether an ASF file has the size that its file properties say."""
    fields = _asf_properties(file, size)
    return fields is not None and fields[0] == size


def _asf_properties(file: BinaryIO, size: int) -> tuple[int, ...] | None:
    """Return the file properties of an ASF file: size, creation, packets, duration, time to send, preroll."""
    file.seek(0)
    name, header_bytes, objects = struct.unpack("<16sQI", file.read(28))
    at = 30
    for _ in range(min(objects, _MAX_PARTS) if name == _ASF_HEADER else 0):
        if at + 24 > min(header_bytes, size):
            break
        file.seek(at)
        name, object_bytes = struct.unpack("<16sQ", file.read(24))
        if name == _ASF_PROPERTIES:
            file.seek(at + 40)
            return struct.unpack("<6Q", file.read(48))
        at += max(24, object_bytes)
    return None


_WHOLE: Mapping[str, Callable[[BinaryIO, int], bool]] = {
    "flv": _is_whole_flv,
    "avi": _ends_with_riff,
    "ivf": _is_whole_ivf,
    "asf": _is_whole_asf,
}
"""FFmpeg's name of a container to the check of its structure."""
