"""Rendering of an episode: a storyboard of question, actions and frames, and a plain-text transcript."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, ImageOps

from vt_env.actions.parse import render_action
from vt_env.episode.episode import Episode
from vt_env.episode.perception import as_shown
from vt_env.prompts import frame_time
from vt_env.tools.check_arguments import show
from vt_env.types import Action, Answer, FrameRef, Malformed, Turn
from vt_env.valid_text import as_valid_text

_MARGIN_PX = 12
_TEXT_PX = 14
_LINE_PX = 18
_THUMB_PX = 96
_TIMELINE_PX = 16
_CHARS_PER_PX = 1 / 7
_TEXT_SHARE = 0.42
"""Share of the width that is left to the text of a turn with pictures, which stand beside it."""
_MAX_LINES = 8
_HEAD_ROWS = 2
"""Rows of pictures beside the question in a picture of fixed size, so that turns have room."""
_PAPER, _INK, _FAINT, _RED = "#fbfaf6", "#1c1c1c", "#767676", "#b3261e"
_BAR, _READ, _SEEN = "#e6e2d6", "#a9c4e4", "#1f5fa8"


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines of text with pictures beside them."""

    thought: tuple[str, ...]
    lines: tuple[str, ...]
    pictures: tuple[FrameRef, ...]
    colour: str


def transcript(episode: Episode) -> str:
    """Write the episode so far as text: the question, then each action and what came back."""
    turns = [f"> {render_action(turn.action)}\n{turn.observation_text}" for turn in episode.turns]
    return as_valid_text("\n\n".join([episode.prompt_text, *turns]))


def draw_storyboard(episode: Episode, size_px: tuple[int, int] | None = None) -> Image.Image:
    """Draw the episode so far: the question, where in the video it looked, then each action and what came back.

    On the bar, which stands for the whole video, intervals that were read about are light and those that were seen are
    dark, with the number of the action. What the policy wrote before an action stands above it.

    Args:
        episode: Started.
        size_px: Width and height; where not all turns fit the latest are drawn. `None` makes the picture as high as it
            needs to be.

    Raises:
        DataError: A frame cannot be decoded again.
    """
    width_px = 960 if size_px is None else size_px[0]
    head = _head_block(episode, width_px, None if size_px is None else _HEAD_ROWS * _per_row(width_px))
    turns = [_turn_block(number, turn, width_px) for number, turn in enumerate(episode.turns, start=1)]
    bar_px = _LINE_PX + _TIMELINE_PX + _MARGIN_PX
    height_px = sum(_height_px(block, width_px) for block in [head, *turns]) + bar_px + 2 * _MARGIN_PX
    if size_px is not None:
        while turns and height_px > size_px[1]:
            height_px -= _height_px(turns.pop(0), width_px)
        height_px = size_px[1]
    board = Image.new("RGB", (width_px, height_px), _PAPER)
    _draw(board, head, _MARGIN_PX, episode)
    top_px = _MARGIN_PX + _height_px(head, width_px)
    _draw_timeline(board, top_px, episode)
    top_px += bar_px
    for block in turns:
        _draw(board, block, top_px, episode)
        top_px += _height_px(block, width_px)
    return board


def _head_block(episode: Episode, width_px: int, most: int | None) -> _Block:
    frames, text = episode.prompt_frames, episode.prompt_text
    if most is not None and len(frames) > most:
        text = f"{text}\nDrawn: {most} of {len(frames)} frames."
        frames = tuple(frames[number * len(frames) // most] for number in range(most))
    return _Block((), _wrapped(text, width_px, bool(frames)), frames, _INK)


def _turn_block(number: int, turn: Turn, width_px: int) -> _Block:
    text = f"{number} > {_action_line(turn.action)}\n{turn.observation_text}"
    thought = "" if isinstance(turn.action, Malformed) else turn.action.thought
    before, lines = (_wrapped(it, width_px, bool(turn.frames)) if it else () for it in (thought, text))
    return _Block(before, lines, turn.frames, _INK if turn.error is None else _RED)


def _action_line(action: Action) -> str:
    if isinstance(action, Malformed):
        return " ".join(action.text.split())
    if isinstance(action, Answer):
        return f"answer: {action.text}"
    shown = [(name, f"{it:g}" if isinstance(it, float) else show(it)) for name, it in action.arguments.items()]
    return f"{action.name}({', '.join(f'{name}={text}' for name, text in shown)})"


def _wrapped(text: str, width_px: int, is_beside: bool) -> tuple[str, ...]:
    """Break lines at the width and keep the first and the last: the last one tells what is left."""
    room_px = (_TEXT_SHARE if is_beside else 1) * width_px - 2 * _MARGIN_PX
    chars = max(20, int(room_px * _CHARS_PER_PX))
    lines = [part for line in as_valid_text(text).split("\n") for part in textwrap.wrap(line, chars) or [""]]
    if len(lines) > _MAX_LINES:
        lines = [*lines[: _MAX_LINES - 2], f"... {len(lines) - _MAX_LINES + 1} lines more", lines[-1]]
    return tuple(lines)


def _per_row(width_px: int) -> int:
    return max(1, int((1 - _TEXT_SHARE) * width_px - _MARGIN_PX) // (_THUMB_PX + _MARGIN_PX))


def _height_px(block: _Block, width_px: int) -> int:
    rows = -(-len(block.pictures) // _per_row(width_px))
    return max(len(block.thought + block.lines) * _LINE_PX, rows * (_THUMB_PX + _LINE_PX)) + _MARGIN_PX


def _draw(board: Image.Image, block: _Block, top_px: int, episode: Episode) -> None:
    pen, font = ImageDraw.Draw(board), ImageFont.load_default(_TEXT_PX)
    colours = [_FAINT] * len(block.thought) + [_INK] + [block.colour] * len(block.lines[1:])
    for number, (line, colour) in enumerate(zip(block.thought + block.lines, colours, strict=True)):
        pen.text((_MARGIN_PX, top_px + number * _LINE_PX), line, fill=colour, font=font)
    for number, ref in enumerate(block.pictures):
        row, column = divmod(number, _per_row(board.width))
        left_px = int(_TEXT_SHARE * board.width) + column * (_THUMB_PX + _MARGIN_PX)
        upper_px = top_px + row * (_THUMB_PX + _LINE_PX)
        board.paste(_picture(ref, episode), (left_px, upper_px))
        pen.text((left_px, upper_px + _THUMB_PX), frame_time(ref.time_s), fill=_FAINT, font=font)


def _draw_timeline(board: Image.Image, top_px: int, episode: Episode) -> None:
    """Draw the bar of the whole video; intervals that were read about first, so that they hide none that was seen."""
    pen, font = ImageDraw.Draw(board), ImageFont.load_default(_TEXT_PX)
    room_px = board.width - 2 * _MARGIN_PX
    upper_px = top_px + _LINE_PX
    numbered = list(enumerate(episode.turns, start=1))

    def mark(start_s: float, end_s: float, colour: str) -> float:
        left_px, right_px = (_MARGIN_PX + it / episode.video.duration_s * room_px for it in (start_s, end_s))
        pen.rectangle((left_px, upper_px, max(right_px, left_px + 2), upper_px + _TIMELINE_PX), fill=colour)
        return left_px

    mark(0, episode.video.duration_s, _BAR)
    for _, turn in numbered:
        for it in () if turn.frames else turn.viewed:
            mark(it.start_s, it.end_s, _READ)
    seen = [
        (mark(it.start_s, it.end_s, _SEEN), number) for number, turn in numbered if turn.frames for it in turn.viewed
    ]
    for left_px, label in _labels(sorted(seen)):
        pen.text((left_px, top_px), label, fill=_SEEN, font=font)


def _labels(marks: Sequence[tuple[float, int]]) -> list[tuple[float, str]]:
    """Join the numbers of marks that stand too close for a label each."""
    labels: list[tuple[float, str]] = []
    for left_px, number in marks:
        if labels and left_px < labels[-1][0] + (len(labels[-1][1]) + 1) / _CHARS_PER_PX:
            labels[-1] = (labels[-1][0], f"{labels[-1][1]},{number}")
        else:
            labels.append((left_px, str(number)))
    return labels


def _picture(ref: FrameRef, episode: Episode) -> Image.Image:
    video = episode.video
    frames = video.frames_at([ref.time_s]) if ref.box is None else video.crop(ref.time_s, ref.box)
    return ImageOps.contain(Image.fromarray(as_shown(frames.data[0], ref)), (_THUMB_PX, _THUMB_PX))
