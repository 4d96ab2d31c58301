"""Pictures in a terminal: chosen by its environment, readable by it, and nothing where nobody draws."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from experiments.evaluate.terminal_pictures import detect_pictures, half_blocks, iterm, kitty, show_look, sixel

TERMINAL = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


class Terminal(io.StringIO):
    """Standard output of a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def picture() -> Image.Image:
    pixels = np.zeros((15, 40, 3), np.uint8)
    pixels[:, :20] = (250, 10, 20)
    pixels[7:, 20:] = (0, 200, 255)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("environment", "chosen"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-sixel"}, "sixel"),
        ({"TERM": "xterm-256color"}, "blocks"),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "iTerm.app"}, "blocks"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux,1,0"}, "blocks"),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "none"),
        ({"TERM": "dumb"}, "none"),
        ({}, "none"),
    ],
)
def test_a_terminal_is_told_by_what_it_sets(environment: dict[str, str], chosen: str):
    assert detect_pictures(environment) == chosen


@pytest.mark.parametrize("pictures", ["auto", "kitty", "iterm", "sixel", "blocks", "none"])
def test_a_pipe_gets_nothing_whatever_is_asked_for(picture: Image.Image, pictures: str):
    pipe = io.StringIO()
    assert not show_look([picture], ["00:01"], picture, pictures, pipe, TERMINAL)
    assert pipe.getvalue() == ""


def test_a_terminal_that_writes_no_unicode_gets_nothing(picture: Image.Image):
    latin = Terminal()
    latin.encoding = "latin-1"
    assert not show_look([picture], ["00:01"], picture, "blocks", latin, TERMINAL)


@pytest.mark.parametrize("pictures", ["kitty", "iterm", "sixel", "blocks"])
def test_a_picture_wider_than_the_terminal_is_made_to_fit(
    picture: Image.Image, pictures: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "30")
    terminal, large = Terminal(), picture.resize((4000, 1500))
    assert show_look([large] * 3, ["00:01", "00:02", "00:03"], large, pictures, terminal, TERMINAL)
    if pictures == "blocks":
        lines = terminal.getvalue().splitlines()
        assert [line.count("▀") for line in lines] == [30, 30, 30, 0, 15, 15, 15, 0]
        assert (lines[3].split(), lines[7].split()) == (["00:01", "00:02"], ["00:03"])
    if pictures == "sixel":
        assert '"1;1;240;90' in terminal.getvalue()


def test_half_blocks_hold_two_rows_of_pixels(picture: Image.Image):
    lines = list(half_blocks(picture))
    assert len(lines) == 8
    assert lines[0].startswith("\x1b[38;2;250;10;20;48;2;250;10;20m▀▀")
    assert "\x1b[38;2;0;0;0;48;2;0;200;255m" in lines[3], "row 6 is black on the right, row 7 blue"
    assert ";49m" in lines[7], "the last line has no lower half"
    assert next(half_blocks(picture, true_colour=False)).startswith("\x1b[38;5;196;48;5;196m▀")


def test_kitty_and_iterm_hold_the_picture_as_png(picture: Image.Image):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8))
    for shown in (picture, noise):
        chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", kitty(shown))
        assert chunks[0][0].startswith("a=T,f=100,q=2,") and all(len(data) <= 4096 for _, data in chunks)
        assert [head[-3:] for head, _ in chunks] == ["m=1"] * (len(chunks) - 1) + ["m=0"]
        data = re.fullmatch(r"\x1b\]1337;File=[^:]*:(.*)\x07", iterm(shown))
        for text in ("".join(data for _, data in chunks), data[1]):
            read = Image.open(io.BytesIO(base64.b64decode(text)))
            assert np.array_equal(np.asarray(read), np.asarray(shown))


def test_sixels_draw_the_pixels_of_the_picture(picture: Image.Image):
    body = re.fullmatch(r'\x1bPq"1;1;(\d+);(\d+)(.*)\x1b\\', sixel(picture), re.DOTALL)
    width, height, codes = int(body[1]), int(body[2]), body[3]
    colours, drawn = {}, np.zeros((height, width, 3))
    x = top = colour = 0
    token = r"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)([?-~])|([?-~])|(\$)|(-)"
    for defined, red, green, blue, chosen, count, repeated, single, back, down in re.findall(token, codes):
        if defined:
            colours[defined] = np.array([int(red), int(green), int(blue)]) * 255 / 100
        elif chosen:
            colour = chosen
        elif back or down:
            x, top = 0, top + 6 * bool(down)
        else:
            bits, length = ord(repeated or single) - 63, int(count or 1)
            for row in range(6):
                if bits >> row & 1:
                    drawn[top + row, x : x + length] = colours[colour]
            x += length
    assert np.abs(drawn - np.asarray(picture)).max() < 4
