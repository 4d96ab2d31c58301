"""Write a script as files: H.264 video, SRT subtitles and JSONL captions, atomically."""

import json
from collections.abc import Sequence
from dataclasses import astuple
from fractions import Fraction
from pathlib import Path

import av

from vt_env.media.cache.build_once import build_once
from vt_env.timed_lines import Caption
from vt_env.types import SubtitleLine
from vt_env.world.captions import write_captions
from vt_env.world.render import render_scene
from vt_env.world.script import VideoScript, WorldConfig

VIDEO_FILE, SUBTITLES_FILE, CAPTIONS_FILE = "video.mp4", "subtitles.srt", "captions.jsonl"


def write_files(script: VideoScript, config: WorldConfig, folder: Path) -> None:
    """Write the files of one video into `folder`; an existing folder is complete and stays unchanged."""

    def build(unfinished: Path) -> None:
        unfinished.mkdir()
        _write_video(script, config, unfinished / VIDEO_FILE)
        (unfinished / SUBTITLES_FILE).write_text(srt_text(script.subtitles), encoding="utf-8")
        captions = write_captions(script, config)
        (unfinished / CAPTIONS_FILE).write_text(captions_text(captions), encoding="utf-8")

    build_once(folder, build)


def _write_video(script: VideoScript, config: WorldConfig, path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=config.frame_rate_hz)
        stream.width = stream.height = config.size_px
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, config.frame_rate_hz)
        stream.codec_context.gop_size = config.keyframe_every_s * config.frame_rate_hz
        stream.codec_context.thread_count = 1
        stream.options = {"preset": "veryfast", "crf": "20", "sc_threshold": "0"}
        for scene in script.scenes:
            picture = av.VideoFrame.from_ndarray(
                render_scene(scene, config.size_px, config.detail_px), format="rgb24"
            ).reformat(format="yuv420p")
            first = int(scene.interval.start_s) * config.frame_rate_hz
            for number in range(first, int(scene.interval.end_s) * config.frame_rate_hz):
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
