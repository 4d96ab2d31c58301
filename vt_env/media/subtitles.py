"""Subtitle and caption tracks: loading, reading, searching, summing up. No model is involved."""

import json
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from av.stream import Discard
from av.subtitles.subtitle import AssSubtitle

from vt_env.errors import DataError
from vt_env.media.container import Timeline, open_media, read_timeline, video_stream
from vt_env.media.cues import decode_text, parse_cues, plain_text
from vt_env.media.words import WordIndex, words_of
from vt_env.timed_lines import TimedLines
from vt_env.types import Box, Caption, CloseUp, Interval, SubtitleLine, VideoRef


@dataclass(frozen=True)
class SubtitleTrack:
    """The timed lines of one video, in time order; they may overlap."""

    lines: tuple[SubtitleLine, ...] = ()
    dropped: int = 0
    """Lines of the source that were left out because their times are broken."""

    def within(self, interval: Interval) -> list[SubtitleLine]:
        """Return the lines that share time with `interval`, in time order."""
        return self._timed.within(interval)

    def search(self, query: str, top_k: int) -> list[tuple[SubtitleLine, float]]:
        """Return up to `top_k` lines that share a word with `query`, with their BM25 scores.

        The best comes first; of equals, the earlier.
        """
        return [(self.lines[number], score) for number, score in islice(self._index.ranked(query), max(0, top_k))]

    def summary(self, query: str, max_lines: int) -> list[SubtitleLine]:
        """Return up to `max_lines` lines that say the most about `query`, in time order.

        These are the best lines of `search`, without lines all of whose words a better line has said. Where nothing
        matches the query, they are lines spread evenly over the track. Our choice: the paper has a language model write
        its summaries and publishes no method.
        """
        chosen: list[SubtitleLine] = []
        said: list[set[str]] = []
        for number, _ in self._index.ranked(query):
            if len(chosen) == max_lines:
                break
            words = set(words_of(self.lines[number].text))
            if not any(words <= before for before in said):
                chosen.append(self.lines[number])
                said.append(words)
        if not chosen:
            spread = np.linspace(0, len(self.lines) - 1, min(max_lines, len(self.lines)))
            chosen = [self.lines[number] for number in np.round(spread).astype(int)]
        return sorted(chosen, key=lambda line: line.interval)

    @cached_property
    def _timed(self) -> TimedLines:
        return TimedLines(self.lines)

    @cached_property
    def _index(self) -> WordIndex:
        return WordIndex([line.text for line in self.lines])


def load_subtitles(ref: VideoRef, timeline: Timeline | None = None) -> SubtitleTrack:
    """Load the subtitles of a video: the file that `ref` names, else the first text stream in the media, else none.

    Args:
        ref: The video.
        timeline: Its timeline if known; it puts the times of a text stream on the video's clock.

    Raises:
        DataError: A file cannot be read, or a named subtitle file holds no readable line.
    """
    if ref.subtitles_path is None and Path(ref.path).is_dir():
        return SubtitleTrack()
    if ref.subtitles_path is None:
        return _embedded(Path(ref.path), timeline)
    path = Path(ref.subtitles_path)
    lines, dropped = parse_cues(decode_text(_read_bytes(path)))
    if not lines:
        raise DataError(f"{path}: no readable subtitle, {dropped} with broken times; give an SRT or VTT file")
    return SubtitleTrack(tuple(lines), dropped)


def load_captions(path: Path) -> TimedLines:
    """Load timed captions, one JSON object with `start_s`, `end_s`, `text` and maybe `close_ups` a line, in time order.

    Raises:
        DataError: The file is missing, or a line is not such an object; the message names the line.
    """
    captions: list[SubtitleLine] = []
    for number, row in enumerate(_read_bytes(path).split(b"\n"), start=1):
        try:
            if row.strip():
                captions.append(_caption(json.loads(row)))
        except (ValueError, KeyError, TypeError) as error:
            need = '{"start_s": 0.0, "end_s": 1.0, "text": "…"}'
            raise DataError(f"{path}, line {number}: {error}; need {need}") from error
    return TimedLines(captions)


def _caption(entry: dict[str, Any]) -> SubtitleLine:
    if not isinstance(entry["text"], str):
        raise TypeError("the text is not a string")
    interval = Interval(float(entry["start_s"]), float(entry["end_s"]))
    close_ups = tuple(
        CloseUp(Box(*map(float, it["box"])), str(it["text"]), float(it["largest_side"]))
        for it in entry.get("close_ups", ())
    )
    return Caption(interval, entry["text"], close_ups) if close_ups else SubtitleLine(interval, entry["text"])


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _embedded(path: Path, timeline: Timeline | None) -> SubtitleTrack:
    lines: list[SubtitleLine] = []
    dropped = 0
    with open_media(path) as container:
        texts = [stream for stream in container.streams.subtitles if stream.codec_context.codec.text_sub]
        if not texts:
            return SubtitleTrack()
        origin_s = (timeline or _timeline(path)).origin_s
        for stream in container.streams:
            stream.discard = Discard.none if stream is texts[0] else Discard.all
        for packet in container.demux(texts[0]):
            events = [event for event in packet.decode() if isinstance(event, AssSubtitle)]
            spoken = plain_text(" ".join(event.dialogue.decode(errors="replace") for event in events))
            if not spoken:
                continue
            start_s = max(0.0, float((packet.pts or 0) * packet.time_base) - origin_s)
            end_s = float(((packet.pts or 0) + (packet.duration or 0)) * packet.time_base) - origin_s
            if packet.pts is None or end_s <= start_s:
                dropped += 1
            else:
                lines.append(SubtitleLine(Interval(start_s, end_s), spoken))
    return SubtitleTrack(tuple(sorted(lines, key=lambda line: line.interval)), dropped)


def _timeline(path: Path) -> Timeline:
    with open_media(path) as container:
        return read_timeline(container, video_stream(container, path), path)
