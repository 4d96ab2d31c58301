"""Pictures in a terminal: by the protocols of kitty, iTerm2 and sixel, and as half blocks elsewhere.

Small own code, since the libraries that draw pictures need a newer Python (textual-image), an older Pillow (term-image)
or know half blocks alone (rich-pixels).
"""

import base64
import io
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TextIO

import numpy as np
from PIL import Image

Pictures = Literal["auto", "kitty", "iterm", "sixel", "blocks", "none"]

_KITTY = (("TERM", "xterm-kitty"), ("TERM", "xterm-ghostty"), ("TERM_PROGRAM", "ghostty"))
_ITERM = (
    ("TERM_PROGRAM", "iTerm.app"),
    ("LC_TERMINAL", "iTerm2"),
    ("TERM_PROGRAM", "WezTerm"),
    ("TERM_PROGRAM", "mintty"),
)
_SIXEL = (("TERM", "foot"), ("TERM", "foot-extra"), ("TERM", "mlterm"), ("TERM", "yaft-256color"))
_SCREENS = ("screen", "tmux")
"""Beginnings of TERM inside programs that let no pictures through."""
_MAX_COLUMNS = 120
_PER_ROW = 2
"""Frames in a row of half blocks."""
_CELL_PX = 8
"""Assumed width of a character cell, for sixels, whose size is in pixels."""
_CHUNK = 4096
"""Most bytes of one kitty command (its graphics protocol, "remote client")."""
_SIXEL_COLOURS = 255


def detect_pictures(environment: Mapping[str, str]) -> Pictures:
    """Return how the terminal that the environment describes draws pictures.

    Terminals are told by the variables that they set; unknown ones get half blocks, which need colours alone.
    """
    term = environment.get("TERM", "")
    if environment.get("NO_COLOR") or term in ("", "dumb"):
        return "none"
    if environment.get("TMUX") or term.startswith(_SCREENS):
        return "blocks"
    if environment.get("KITTY_WINDOW_ID") or _has(environment, _KITTY):
        return "kitty"
    if _has(environment, _ITERM):
        return "iterm"
    return "sixel" if _has(environment, _SIXEL) or "sixel" in term else "blocks"


def show_look(
    frames: Sequence[Image.Image],
    labels: Sequence[str],
    sheet: Image.Image,
    pictures: Pictures,
    out: TextIO | None = None,
    environment: Mapping[str, str] = os.environ,
) -> bool:
    """Draw what an action returned where a terminal reads; a pipe or a file gets nothing, whatever is asked for.

    Args:
        frames: RGB pictures.
        labels: Label of each.
        sheet: The same as one picture, for terminals that draw pixels; half blocks are too coarse for it, so that they
            show two frames a row.
        pictures: How; `auto` asks `detect_pictures`.
        out: Standard output by default.
        environment: Environment variables.

    Returns:
        Whether something was drawn.
    """
    screen: TextIO = sys.stdout if out is None else out
    chosen = detect_pictures(environment) if pictures == "auto" else pictures
    if chosen == "none" or not screen.isatty() or (screen.encoding or "").lower().replace("-", "") != "utf8":
        return False
    columns = max(_PER_ROW, min(shutil.get_terminal_size().columns, _MAX_COLUMNS))
    if chosen == "blocks":
        is_true = environment.get("COLORTERM", "") in ("truecolor", "24bit")
        width = columns // _PER_ROW
        for first in range(0, len(frames), _PER_ROW):
            row = [_scaled(frame.convert("RGB"), width) for frame in frames[first : first + _PER_ROW]]
            names = "".join(f"{label:<{width}}" for label in labels[first : first + _PER_ROW])
            screen.write("\n".join([*half_blocks(_side_by_side(row), true_colour=is_true), names.rstrip()]) + "\n")
    else:
        rgb = sheet.convert("RGB")
        screen.write(f"{_DRAWN[chosen](_scaled(rgb, min(rgb.width, columns * _CELL_PX)))}\n")
    screen.flush()
    return True


def half_blocks(picture: Image.Image, *, true_colour: bool = True) -> Iterator[str]:
    """Yield lines of upper half blocks, two rows of pixels a line: the upper one in front, the lower one behind.

    Args:
        picture: RGB; a pixel is half a character cell, which is about square.
        true_colour: Use 24-bit colours; otherwise the 216 of the 256-colour palette.
    """
    pixels = np.asarray(picture)
    colour = _true_colour if true_colour else _palette_colour
    for top in range(0, len(pixels), 2):
        upper, lower = pixels[top], pixels[top + 1] if top + 1 < len(pixels) else None
        cells: list[str] = []
        before = ""
        for column, front in enumerate(upper):
            back = "49" if lower is None else f"48;{colour(lower[column])}"
            codes = f"\x1b[38;{colour(front)};{back}m"
            cells.append(f"{'' if codes == before else codes}▀")
            before = codes
        yield f"{''.join(cells)}\x1b[0m"


def kitty(picture: Image.Image) -> str:
    """Encode a picture in kitty's graphics protocol, as PNG in chunks; the terminal is asked for no reply."""
    data = _base64_png(picture)
    chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    heads = ["a=T,f=100,q=2,"] + [""] * (len(chunks) - 1)
    more = [1] * (len(chunks) - 1) + [0]
    return "".join(f"\x1b_G{head}m={it};{data}\x1b\\" for head, it, data in zip(heads, more, chunks, strict=True))


def iterm(picture: Image.Image) -> str:
    """Encode a picture in iTerm2's inline image protocol, as PNG."""
    return f"\x1b]1337;File=inline=1;preserveAspectRatio=1:{_base64_png(picture)}\x07"


def sixel(picture: Image.Image) -> str:
    """Encode a picture as sixels (DEC STD 070, chapter 9), with up to 255 colours of its own."""
    image = picture.quantize(_SIXEL_COLOURS)
    places = np.asarray(image)
    palette = np.array(image.getpalette(), dtype=np.int64).reshape(-1, 3) * 100 // 255
    used = np.unique(places)
    parts = [f'\x1bPq"1;1;{image.width};{image.height}']
    parts += [f"#{number};2;{';'.join(map(str, palette[number]))}" for number in used]
    for top in range(0, image.height, 6):
        band = places[top : top + 6]
        for number in np.unique(band):
            weights = (1 << np.arange(len(band)))[:, None]
            parts.append(f"#{number}{_runs((band == number) * weights)}$")
        parts.append("-")
    return "".join([*parts, "\x1b\\"])


_DRAWN = {"kitty": kitty, "iterm": iterm, "sixel": sixel}


def _runs(bits: np.ndarray) -> str:
    """Write the six-pixel columns of one colour, with the lengths of runs."""
    codes = bits.sum(axis=0) + 63
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    lengths = np.diff(starts, append=len(codes))
    pairs = zip(codes[starts], lengths, strict=True)
    return "".join(f"!{length}{chr(code)}" if length > 3 else chr(code) * length for code, length in pairs)


def _scaled(picture: Image.Image, width: int) -> Image.Image:
    return picture.resize((width, max(1, round(picture.height * width / picture.width))))


def _side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    joined = Image.new("RGB", (sum(it.width for it in pictures), max(it.height for it in pictures)))
    left = 0
    for picture in pictures:
        joined.paste(picture, (left, 0))
        left += picture.width
    return joined


def _base64_png(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _true_colour(pixel: np.ndarray) -> str:
    return f"2;{pixel[0]};{pixel[1]};{pixel[2]}"


def _palette_colour(pixel: np.ndarray) -> str:
    red, green, blue = (round(int(value) * 5 / 255) for value in pixel)
    return f"5;{16 + 36 * red + 6 * green + blue}"


def _has(environment: Mapping[str, str], pairs: tuple[tuple[str, str], ...]) -> bool:
    return any(environment.get(name) == value for name, value in pairs)
