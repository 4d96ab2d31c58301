"""All wording that a model reads, and nothing else.

A tokenizer and a model were fitted to these texts: changing a character changes what a shipped model was trained on.
Tool descriptions are the one exception; they are the docstrings in `vt_env.tools.builtin`.

Text of questions, options, results and errors comes from data or from a model, so it passes `as_plain_text` here. Hints
on malformed actions are our own wording and keep their tags.
"""

from collections.abc import Iterable, Sequence

from vt_env.control_tokens import as_plain_text
from vt_env.types import FrameBatch, Item, Remaining, ScoredInterval, SubtitleLine, format_time

OVER = "The episode is over."
"""Last observation of every episode. It does not tell whether the answer was right."""


def system_text() -> str:
    """Return the instruction that every conversation begins with."""
    return "Answer the question about the long video. Look with the tools, then write <answer>the option</answer>."


def option_letter(option_idx: int) -> str:
    """Return the letter of an option, `A` for the first. Options are limited to 26."""
    return chr(ord("A") + option_idx)


def option_line(option_idx: int, option: str) -> str:
    """Return the line that shows an option."""
    return f"{option_letter(option_idx)}. {option}"


def question_text(item: Item, duration_s: float, remaining: Remaining, perception: str) -> str:
    """Render the first observation: question, lettered options, length of the video, budget."""
    options = "".join(f"{option_line(idx, option)}\n" for idx, option in enumerate(item.options))
    left = left_text(remaining, perception)
    return as_plain_text(f"Question: {item.question}\n{options}Video {format_time(duration_s)} long. {left}")


def result_text(text: str, remaining: Remaining, perception: str) -> str:
    """Render what an action led to, with what is left as its last line."""
    return f"{text}\n{left_text(remaining, perception)}"


def left_text(remaining: Remaining, perception: str) -> str:
    """Say what is left of the budget; frames count only where the perception shows frames."""
    if remaining.calls == 0:
        return "Left: 0 calls. Answer now."
    if perception == "captions":
        return f"Left: {remaining.calls} calls."
    return f"Left: {remaining.calls} calls, {remaining.frames} frames."


def returned_text(text: str) -> str:
    """Render what a tool returned, whoever wrote the tool."""
    return as_plain_text(text)


def error_text(message: str) -> str:
    """Render a failed call; the message may quote what a model wrote."""
    return as_plain_text(f"Error: {message}")


def malformed_text(reason: str, call_lines: Iterable[str]) -> str:
    """Render an action that could not be parsed, with one line for each call that exists."""
    return "\n".join([f"Malformed: {reason}", *call_lines])


def clips_text(clips: Sequence[ScoredInterval]) -> str:
    """Render retrieved clips, the best first: rank, interval, score."""
    lines = [f"#{rank} {clip.interval} {clip.score:.2f}" for rank, clip in enumerate(clips, start=1)]
    return "\n".join(lines) or "No match."


def subtitles_text(lines: Iterable[SubtitleLine]) -> str:
    """Render subtitles, one a line."""
    return _timed(lines) or "No subtitles."


def captions_text(lines: Iterable[SubtitleLine]) -> str:
    """Render captions, one a line."""
    return _timed(lines) or "Nothing to see."


def frames_text(frames: FrameBatch) -> str:
    """Name the times of frames that are shown."""
    return f"Frames at {' '.join(frame_time(time_s) for time_s in frames.pts_s)}."


def crop_text(frame: FrameBatch) -> str:
    """Name the time of a crop that is shown."""
    return f"Crop at {frame_time(frame.pts_s[0])}."


def frame_time(time_s: float) -> str:
    """Write a frame's time to the nearest second.

    Most videos have a little less than 30 or 60 frames a second, so the frame on screen at 00:05 begins at 4.97 s; were
    it called 00:04, a model that asks for 00:04 would get another one.
    """
    return format_time(time_s + 0.5)


def _timed(lines: Iterable[SubtitleLine]) -> str:
    return "\n".join(f"{line.interval} {' '.join(line.text.split())}" for line in lines)
