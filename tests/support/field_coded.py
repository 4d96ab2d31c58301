"""Field-coded H.264 (as AVCHD cameras write it), which no encoder here makes: written by hand from the standard.

Every macroblock is I_PCM, in I, P and B slices, so a field holds its rows as they are (ITU-T H.264, 7.3).
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from support.videos import Pixels, paint_index

SIZE_PX = (32, 32)
_TYPES = {"I": (7, 25), "P": (5, 30), "B": (6, 48)}
"""Slice type and macroblock type of I_PCM of each kind of picture."""
_DELIMITER = b"\0\0\0\1\x09\xf0"


class _Bits:
    def __init__(self) -> None:
        self._bits: list[int] = []

    def fixed(self, count: int, value: int) -> None:
        self._bits += [value >> shift & 1 for shift in range(count - 1, -1, -1)]

    def golomb(self, *values: int) -> None:
        for value in values:
            self.fixed(2 * (value + 1).bit_length() - 1, value + 1)

    def align(self) -> None:
        self.fixed(-len(self._bits) % 8, 0)

    def samples(self, values: Pixels) -> None:
        self._bits += np.unpackbits(values.ravel()).tolist()

    def payload(self) -> bytes:
        self.fixed(1, 1)
        self.align()
        return np.packbits(self._bits).tobytes()


def _unit(kind: int, importance: int, payload: bytes) -> bytes:
    escaped = bytearray()
    for byte in payload:
        if byte <= 3 and escaped[-2:] == b"\0\0":
            escaped.append(3)
        escaped.append(byte)
    return b"\0\0\0\1" + bytes([importance << 5 | kind]) + bytes(escaped)


def _parameters() -> bytes:
    sequence, picture = _Bits(), _Bits()
    for value in (77, 0, 30):  # Main profile, level 3
        sequence.fixed(8, value)
    sequence.golomb(0, 0, 0, 4, 2)  # id, 4 bits of frame number, order type 0 of 8 bits, two references
    sequence.fixed(1, 0)
    sequence.golomb(SIZE_PX[0] // 16 - 1, SIZE_PX[1] // 32 - 1)
    sequence.fixed(5, 0b00100)  # fields, no adaptive macroblocks, direct 8x8 inference, no crop, no VUI
    picture.golomb(0, 0)
    picture.fixed(2, 0)
    picture.golomb(0, 0, 0)
    picture.fixed(3, 0)
    picture.golomb(0, 0, 0)
    picture.fixed(3, 0)
    return _unit(7, 3, sequence.payload()) + _unit(8, 3, picture.payload())


def _picture(rows: Pixels, kind: str, number: int, order: int, *, field: int | None, is_idr: bool) -> bytes:
    """Write a whole frame, or its top (0) or bottom (1) field."""
    bits = _Bits()
    slice_type, block_type = _TYPES[kind]
    bits.golomb(0, slice_type, 0)
    bits.fixed(4, number % 16)
    bits.fixed(*((1, 0) if field is None else (2, 2 | field)))
    if is_idr:
        bits.golomb(0)
    bits.fixed(8, order % 256)
    bits.fixed({"I": 0, "P": 2, "B": 4}[kind], 8 if kind == "B" else 0)  # spatial direct; default reference lists
    bits.fixed(2 if is_idr else kind != "B", 0)
    bits.golomb(0)
    for top in range(0, rows.shape[0], 16):
        for left in range(0, rows.shape[1], 16):
            if kind != "I":
                bits.golomb(0)
            bits.golomb(block_type)
            bits.align()
            bits.samples(rows[top : top + 16, left : left + 16])
            bits.samples(np.full(128, 128, dtype=np.uint8))
    return _unit(5 if is_idr else 1, 0 if kind == "B" else 3, bits.payload())


def _coded_order(frames: int, gop: int) -> Iterator[tuple[int, str]]:
    for first in range(0, frames, gop):
        yield first, "I"
        last, end = first, min(first + gop, frames)
        while last + 1 < end:
            following = min(last + 3, end - 1)
            yield following, "P"
            yield from ((between, "B") for between in range(last + 1, following))
            last = following


def write_field_coded(path: Path, frames: int, gop: int, *, fields_apart: bool, first_fields: int = 0) -> None:
    """Write a counting video of 25 frames a second.

    Args:
        path: The file; its suffix chooses the container.
        frames: Number of frames.
        gop: Frames from one keyframe to the next, B-frames among them.
        fields_apart: Whether each field is a packet with a time of its own; else the frame is, so that a transport
            stream tells the time of the first field alone.
        first_fields: Number of frames before the first that is coded as fields.
    """
    number, base, after_reference = 0, 0, False
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=50 if fields_apart else 25)
        stream.width, stream.height = SIZE_PX
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, 90_000)
        stream.codec_context.extradata = None if path.suffix == ".ts" else _parameters()
        for place, (shown, kind) in enumerate(_coded_order(frames, gop)):
            is_key = kind == "I"
            number, base = (0, shown) if is_key else (number + after_reference, base)
            after_reference = kind != "B"
            luma = np.clip(paint_index(shown, SIZE_PX)[..., 0], 16, 235)
            order = 2 * (shown - base)
            if shown < first_fields:
                pictures = [_picture(luma, kind, number, order, field=None, is_idr=is_key)]
            else:
                second = "P" if is_key else kind
                pictures = [
                    _picture(luma[0::2], kind, number, order, field=0, is_idr=is_key),
                    _picture(luma[1::2], second, number, order + 1, field=1, is_idr=False),
                ]
            pictures = [_DELIMITER + it for it in pictures]
            parts = pictures if fields_apart else [b"".join(pictures)]
            parts[0] = parts[0].replace(_DELIMITER, _DELIMITER + _parameters(), 1) if is_key else parts[0]
            for half, data in enumerate(parts):
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, Fraction(1, 90_000)
                packet.pts, packet.dts = shown * 3600 + half * 1800 + 7200, place * 3600 + half * 1800
                packet.duration = 3600 // len(parts)
                packet.is_keyframe = is_key and not half
                container.mux(packet)
