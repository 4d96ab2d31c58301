"""Subtitles of a video from a file, or from the best text stream in the media.

Knows files and streams; knows nothing of search.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av.stream
from av.container import InputContainer
from av.stream import Disposition
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle

from vt_env.errors import DataError, foreign_input
from vt_env.media.decode.container import Timeline, open_media, read_timeline, video_stream
from vt_env.media.text.encodings import REMEDY, check_encoding, decode_text
from vt_env.media.text.subtitle_formats import ass_text, parse_cues, plain_text
from vt_env.media.text.subtitles import SubtitleTrack, unreadable
from vt_env.types import Interval, SubtitleLine, VideoRef

MAX_BYTES = 64 << 20
"""Maximum size of a subtitle file; a film of three hours has 0.2 MiB."""
_DISCARD: Any = getattr(av.stream, "Discard", None)
_ASS_COMMAS = 8
"""Commas before the text of an event in FFmpeg's form: order, layer, style, name, three margins, effect."""


@dataclass(frozen=True)
class SubtitleConfig:
    """Which subtitles are read, and how."""

    encoding: str | None = None
    """Encoding of subtitle files, such as `cp1251` or `gb18030`; `None` means to find it out."""
    languages: tuple[str, ...] = ()
    """Languages of the text stream that is read, as the file tags them (such as `eng` or `ger`), the preferred one
    first; empty means the default one."""

    def __post_init__(self) -> None:
        if self.encoding is not None:
            check_encoding(self.encoding)


def load_subtitles(
    ref: VideoRef, timeline: Timeline | None = None, config: SubtitleConfig = SubtitleConfig()
) -> SubtitleTrack:
    """Load the subtitles of a video: the file that `ref` names, else the best text stream in the media, else none.

    Args:
        ref: The video; its `subtitles_encoding` precedes that of the configuration.
        timeline: Its timeline, if known; aligns the times of a text stream with the video's clock.
        config: Encoding and languages.

    Raises:
        DataError: A file cannot be read, or the named subtitle file has no valid line.
        ConfigError: The encoding is not known.
    """
    if ref.subtitles_path is None:
        return SubtitleTrack() if Path(ref.path).is_dir() else _embedded(Path(ref.path), timeline, config.languages)
    path = Path(ref.subtitles_path)
    with foreign_input(path):
        return _of_file(path, ref.subtitles_encoding or config.encoding)


def _of_file(path: Path, encoding: str | None) -> SubtitleTrack:
    decoded = decode_text(_read_bytes(path), encoding)
    lines, dropped = parse_cues(decoded.text)
    if not lines:
        raise DataError(
            f"{path}: no readable subtitle, {dropped} with broken times; give an SRT, VTT, ASS or LongVideoBench file"
        )
    notes = [f"{decoded.note}; {REMEDY}"] if decoded.note else []
    return SubtitleTrack(tuple(lines), dropped, str(path), (*notes, *_dropped_note(dropped)))


def _read_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: larger than {MAX_BYTES >> 20} MiB, so no subtitle file; check the path")
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def _dropped_note(dropped: int) -> tuple[str, ...]:
    return (f"{dropped} lines left out, since their times cannot be read or run backwards",) if dropped else ()


def _embedded(path: Path, timeline: Timeline | None, languages: Sequence[str]) -> SubtitleTrack:
    with open_media(path) as container:
        streams = _text_streams(container, languages)
        if not streams:
            return SubtitleTrack()
        origin_s = (timeline or _timeline(path)).origin_s
        lines, dropped = _read_stream(container, streams[0], origin_s)
        source, notes = _name_of(streams[0]), _dropped_note(dropped)
        if languages and _language_of(streams[0]) not in map(str.casefold, languages):
            has = ", ".join(sorted({_language_of(it) or "no language" for it in streams}))
            notes += (f"no text stream is in {' or '.join(languages)}, there are {has}; read from {source}",)
        source += f", one of {len(streams)}" if len(streams) > 1 else ""
    return SubtitleTrack(tuple(sorted(lines, key=lambda line: line.interval)), dropped, source, notes)


def _text_streams(container: InputContainer, languages: Sequence[str]) -> list[SubtitleStream]:
    """Return the text streams, best first: of the first language, not forced, for all viewers, the default one."""
    wanted = [name.casefold() for name in languages]

    def rank(stream: SubtitleStream) -> tuple[int, bool, bool, bool]:
        language = _language_of(stream)
        place = wanted.index(language) if language in wanted else len(wanted)
        flags = stream.disposition
        return place, bool(flags & Disposition.forced), bool(flags & _FOR_SOME), not flags & Disposition.default

    # A stream whose codec FFmpeg does not know has no codec context, whatever the annotations of PyAV say.
    known = [it for it in container.streams.subtitles if getattr(it, "codec_context", None) is not None]
    return sorted((it for it in known if it.codec_context.codec.text_sub), key=rank)


_FOR_SOME = Disposition.comment | Disposition.hearing_impaired | Disposition.visual_impaired | Disposition.karaoke
"""Tracks for some viewers; they hold more than what is said, or something else."""


def _language_of(stream: SubtitleStream) -> str:
    return stream.metadata.get("language", "").casefold()


def _name_of(stream: SubtitleStream) -> str:
    marks = [stream.metadata.get("language", ""), stream.metadata.get("title", "")]
    marks += [name for name in ("forced", "default") if stream.disposition & Disposition[name]]
    said = ", ".join(mark for mark in marks if mark)
    return f"text stream {stream.index}" + (f" ({said})" if said else "")


def _read_stream(container: InputContainer, chosen: SubtitleStream, origin_s: float) -> tuple[list[SubtitleLine], int]:
    """Read the lines of a text stream on the video's clock, and count those without valid times."""
    lines: list[SubtitleLine] = []
    dropped = 0
    is_ass = chosen.codec_context.codec.canonical_name in ("ass", "ssa")
    for stream in container.streams:
        # Before PyAV 17.1 the packets of the other streams are read, and left out by `demux`.
        if _DISCARD is not None:
            stream.discard = _DISCARD.none if stream is chosen else _DISCARD.all
    for packet in container.demux(chosen):
        events = [event for event in packet.decode() if isinstance(event, AssSubtitle)]
        written = " ".join(event.ass.decode(errors="replace").split(",", _ASS_COMMAS)[-1] for event in events)
        # FFmpeg puts a word joiner behind a backslash that is text.
        spoken = ass_text(written) if is_ass else plain_text(written.replace("\\\u2060", "\\"))
        if not spoken:
            continue
        start_s = max(0.0, float((packet.pts or 0) * packet.time_base) - origin_s)
        end_s = float(((packet.pts or 0) + (packet.duration or 0)) * packet.time_base) - origin_s
        if packet.pts is None or end_s <= start_s:
            dropped += 1
        else:
            lines.append(SubtitleLine(Interval(start_s, end_s), spoken))
    return lines, dropped


def _timeline(path: Path) -> Timeline:
    with open_media(path) as container:
        return read_timeline(container, video_stream(container, path), path)
