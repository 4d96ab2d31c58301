"""Write a generated video as files: H.264 video, SRT subtitles and JSONL captions, atomically."""

import json
from collections.abc import Sequence
from dataclasses import astuple
from fractions import Fraction
from pathlib import Path

import av

from vt_env.media.cache.build_once import build_once
from vt_env.timed_lines import Caption
from vt_env.types import SubtitleLine
from vt_env.world.content import CAPTIONS_FILE, SUBTITLES_FILE, VIDEO_FILE, VideoContent, script_content
from vt_env.world.script import VideoScript, WorldConfig

__all__ = [
    "CAPTIONS_FILE",
    "SUBTITLES_FILE",
    "VIDEO_FILE",
    "captions_text",
    "srt_text",
    "write_content",
    "write_files",
]


def write_files(script: VideoScript, config: WorldConfig, folder: Path) -> None:
    """Write the files of one video of the first world into `folder`, as `write_content`."""
    write_content(script_content(script, config), folder)


def write_content(content: VideoContent, folder: Path) -> None:
    """Write the files of one video into `folder`; an existing folder is complete and stays unchanged."""

    def build(unfinished: Path) -> None:
        unfinished.mkdir()
        _write_video(content, unfinished / VIDEO_FILE)
        (unfinished / SUBTITLES_FILE).write_text(srt_text(content.subtitles), encoding="utf-8")
        for name, captions in content.captions.items():
            (unfinished / name).write_text(captions_text(captions()), encoding="utf-8")

    build_once(folder, build)


def _write_video(content: VideoContent, path: Path) -> None:
    rate_hz, size_px = content.frame_rate_hz, content.size_px
    ends_s = [*(shot.start_s for shot in content.shots[1:]), content.duration_s]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate_hz)
        stream.width = stream.height = size_px
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, rate_hz)
        stream.codec_context.gop_size = content.keyframe_every_s * rate_hz
        stream.codec_context.thread_count = 1
        stream.options = {"preset": "veryfast", "crf": "20", "sc_threshold": "0"}
        for shot, end_s in zip(content.shots, ends_s, strict=True):
            picture = av.VideoFrame.from_ndarray(shot.picture.paint(size_px), format="rgb24").reformat(format="yuv420p")
            for number in range(int(shot.start_s * rate_hz), int(end_s * rate_hz)):
                picture.pts = number
                container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def srt_text(lines: Sequence[SubtitleLine]) -> str:
    """Return subtitle lines in SRT form."""
    blocks = [
        f"{number}\n{_srt_time(line.interval.start_s)} --> {_srt_time(line.interval.end_s)}\n{line.text}\n"
        for number, line in enumerate(lines, 1)
    ]
    return "\n".join(blocks)


def _srt_time(time_s: float) -> str:
    milliseconds = round(time_s * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d},{milliseconds % 1000:03d}"


def captions_text(captions: Sequence[Caption]) -> str:
    """Return captions as JSONL, one record each."""
    return "".join(json.dumps(_record(caption)) + "\n" for caption in captions)


def _record(caption: Caption) -> dict[str, object]:
    record: dict[str, object] = {
        "start_s": caption.interval.start_s,
        "end_s": caption.interval.end_s,
        "text": caption.text,
    }
    close_ups = [{"box": astuple(it.box), "text": it.text, "largest_side": it.largest_side} for it in caption.close_ups]
    return {**record, "close_ups": close_ups} if close_ups else record
