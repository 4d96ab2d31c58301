"""Subtitle baseline without any model: answers by word overlap, on any video with subtitles.

The agent searches the subtitles for the content words of the question, or of the options if the former do not occur,
and reads the lines around the best one. It chooses the option with the largest share of its words in these lines,
inspects the frames of the matching line, and answers. Paraphrases of an option are not recognised.
"""

from collections.abc import Generator, Sequence

from vt_env.actions.parse import render_action
from vt_env.media.text.bm25 import FUNCTION_WORDS, words_of
from vt_env.types import Answer, Interval, Item, Observation, TimedLine, ToolCall

CONTEXT_S = 10.0
"""Margin in seconds read on both sides of the best line."""
STOP_WORDS = FUNCTION_WORDS | {"narrator", "said", "say", "says", "speak", "speaker", "speaks", "video"}
"""Words without information about the answer, including those common to all questions about videos."""


class SubtitleAgent:
    """Answer by word overlap with subtitle lines; ties go to the first option.

    Args:
        zoom_tool: Name of the perception's interval zoom; called once.
    """

    def __init__(self, zoom_tool: str = "frame_zoom") -> None:
        self._zoom_tool = zoom_tool

    def reset(self, task: Item, observation: Observation) -> None:
        """Start a new search."""
        self._task = task
        self._lines: list[TimedLine] = []
        self._reading = self._read()
        next(self._reading)

    def act(self, observation: Observation) -> str:
        """Write the next call; or the answer, at the end of the search or without remaining calls."""
        call = self._reading.send(observation) if observation.remaining.calls else None
        return render_action(call or Answer(best_option(self._task.options, self._lines)))

    def _read(self) -> Generator[ToolCall | None, Observation, None]:
        yield None
        for text in (self._task.question, " ".join(self._task.options)):
            # Retrieval compares whole words, so the query holds singular and plural.
            query = " ".join(f"{word} {word}s" for word in content_words(text))
            found = yield ToolCall("subtitle_retrieval", {"query": query})
            self._lines = list(found.lines)
            if self._lines:
                around = yield ToolCall("subtitle_zoom", self._times(self._lines[0].interval, CONTEXT_S))
                self._lines += around.lines
                answer = best_option(self._task.options, self._lines)
                said = max(self._lines, key=lambda line: share_said(answer, [line]))
                yield ToolCall(self._zoom_tool, self._times(said.interval, 0.0), said.line)
                break
        yield None

    def _times(self, interval: Interval, margin_s: float) -> dict[str, float]:
        """Return call arguments for the interval with a margin, clipped to the whole seconds of the video."""
        end_s = min(float(int(self._task.duration_s)), interval.end_s + margin_s)
        return {"start_s": max(0.0, min(interval.start_s - margin_s, end_s - 1)), "end_s": end_s}


def best_option(options: Sequence[str], lines: Sequence[TimedLine]) -> str:
    """Return the option with the largest share of its words in the lines; ties go to the first."""
    return max(options, key=lambda option: share_said(option, lines))


def share_said(option: str, lines: Sequence[TimedLine]) -> float:
    """Compute the share of an option's content words that the lines contain; 0 for an option without any."""
    said = {word for line in lines for word in content_words(line.text)}
    wanted = content_words(option)
    return sum(word in said for word in wanted) / max(1, len(wanted))


def content_words(text: str) -> list[str]:
    """List the words of a text that are not stop words, each once, lower-case and without a plural s."""
    words = (word for word in words_of(text) if word not in STOP_WORDS)
    return list(dict.fromkeys(word.removesuffix("s") if len(word) > 3 else word for word in words))
