"""An episode to look at: a picture of what was asked, done and shown, and the same as plain text."""

import textwrap
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from vt_env.actions import render_action
from vt_env.arguments import show
from vt_env.episode import Episode
from vt_env.prompts import frame_time
from vt_env.types import Action, Answer, FrameRef, Malformed, Turn

_MARGIN_PX = 12
_TEXT_PX = 14
_LINE_PX = 18
_THUMB_PX = 96
_CHARS_PER_PX = 1 / 7
_MAX_LINES = 8
_PAPER, _INK, _FAINT, _RED = "#fbfaf6", "#1c1c1c", "#767676", "#b3261e"


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines of text with a row of pictures below."""

    lines: tuple[str, ...]
    pictures: tuple[FrameRef, ...]
    colour: str


def transcript(episode: Episode) -> str:
    """Write the episode so far as text: the question, then each action and what came back."""
    turns = [f"> {render_action(turn.action)}\n{turn.observation_text}" for turn in episode.turns]
    return "\n\n".join([episode.prompt_text, *turns])


def draw_storyboard(episode: Episode, size_px: tuple[int, int] | None = None) -> Image.Image:
    """Draw the episode so far: the question, then each action, what came back and the frames it showed.

    Args:
        episode: Started.
        size_px: Width and height; where not all turns fit the latest are drawn. `None` makes the picture as high as it
            needs to be.

    Raises:
        DataError: A frame cannot be decoded again.
    """
    width_px = 960 if size_px is None else size_px[0]
    head = _Block(_wrapped(episode.prompt_text, width_px), episode.prompt_frames, _INK)
    turns = [_turn_block(turn, width_px) for turn in episode.turns]
    height_px = sum(_height_px(block, width_px) for block in [head, *turns]) + 2 * _MARGIN_PX
    if size_px is not None:
        while turns and height_px > size_px[1]:
            height_px -= _height_px(turns.pop(0), width_px)
        height_px = size_px[1]
    board = Image.new("RGB", (width_px, height_px), _PAPER)
    top_px = _MARGIN_PX
    for block in [head, *turns]:
        _draw(board, block, top_px, episode)
        top_px += _height_px(block, width_px)
    return board


def _turn_block(turn: Turn, width_px: int) -> _Block:
    text = f"> {_action_line(turn.action)}\n{turn.observation_text}"
    return _Block(_wrapped(text, width_px), turn.frames, _INK if turn.error is None else _RED)


def _action_line(action: Action) -> str:
    if isinstance(action, Malformed):
        return " ".join(action.text.split())
    if isinstance(action, Answer):
        return f"answer: {action.text}"
    shown = [(name, f"{it:g}" if isinstance(it, float) else show(it)) for name, it in action.arguments.items()]
    return f"{action.name}({', '.join(f'{name}={text}' for name, text in shown)})"


def _wrapped(text: str, width_px: int) -> tuple[str, ...]:
    """Break lines at the width and keep the first and the last: the last one tells what is left."""
    chars = max(20, int((width_px - 2 * _MARGIN_PX) * _CHARS_PER_PX))
    lines = [part for line in text.split("\n") for part in textwrap.wrap(line, chars) or [""]]
    if len(lines) > _MAX_LINES:
        lines = [*lines[: _MAX_LINES - 2], f"... {len(lines) - _MAX_LINES + 1} lines more", lines[-1]]
    return tuple(lines)


def _per_row(width_px: int) -> int:
    return max(1, (width_px - 2 * _MARGIN_PX) // (_THUMB_PX + _MARGIN_PX))


def _height_px(block: _Block, width_px: int) -> int:
    rows = -(-len(block.pictures) // _per_row(width_px))
    return len(block.lines) * _LINE_PX + rows * (_THUMB_PX + _LINE_PX + _MARGIN_PX) + _MARGIN_PX


def _draw(board: Image.Image, block: _Block, top_px: int, episode: Episode) -> None:
    pen, font = ImageDraw.Draw(board), ImageFont.load_default(_TEXT_PX)
    for number, line in enumerate(block.lines):
        colour = block.colour if number else _INK
        pen.text((_MARGIN_PX, top_px + number * _LINE_PX), line, fill=colour, font=font)
    top_px += len(block.lines) * _LINE_PX + _MARGIN_PX // 2
    for number, ref in enumerate(block.pictures):
        row, column = divmod(number, _per_row(board.width))
        left_px = _MARGIN_PX + column * (_THUMB_PX + _MARGIN_PX)
        upper_px = top_px + row * (_THUMB_PX + _LINE_PX + _MARGIN_PX)
        board.paste(_picture(ref, episode), (left_px, upper_px))
        pen.text((left_px, upper_px + _THUMB_PX), frame_time(ref.time_s), fill=_FAINT, font=font)


def _picture(ref: FrameRef, episode: Episode) -> Image.Image:
    video = episode.video
    frames = video.frames_at([ref.time_s]) if ref.box is None else video.crop(ref.time_s, ref.box)
    return Image.fromarray(frames.data[0]).resize((_THUMB_PX, _THUMB_PX))
