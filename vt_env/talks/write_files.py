"""Write a talk as files: H.264 video, SRT subtitles and JSONL captions, atomically."""

from fractions import Fraction
from pathlib import Path

import av

from vt_env.media.cache.build_once import build_once
from vt_env.media.terminal import track
from vt_env.talks.captions import clock_spans, write_captions
from vt_env.talks.render import SIZE_PX, render_page
from vt_env.talks.script import TalkScript
from vt_env.world.write_files import CAPTIONS_FILE, SUBTITLES_FILE, VIDEO_FILE, captions_text, srt_text

FRAME_RATE_HZ = 1
KEYFRAME_EVERY_S = 30


def write_files(script: TalkScript, folder: Path) -> None:
    """Write the files of one talk into `folder`; an existing folder is complete and stays unchanged."""

    def build(unfinished: Path) -> None:
        unfinished.mkdir()
        _write_video(script, unfinished / VIDEO_FILE)
        (unfinished / SUBTITLES_FILE).write_text(srt_text(script.subtitles), encoding="utf-8")
        (unfinished / CAPTIONS_FILE).write_text(captions_text(write_captions(script)), encoding="utf-8")

    build_once(folder, build)


def _write_video(script: TalkScript, path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE_HZ)
        stream.width, stream.height = SIZE_PX
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, FRAME_RATE_HZ)
        stream.codec_context.gop_size = KEYFRAME_EVERY_S * FRAME_RATE_HZ
        stream.codec_context.thread_count = 1
        stream.options = {"preset": "veryfast", "crf": "20", "sc_threshold": "0"}
        spans = [(page, *it) for page in script.pages for it in clock_spans(script, page)]
        for page, span, clock in track(spans, f"rendering {script.subject.name}"):
            picture = av.VideoFrame.from_ndarray(render_page(page, clock), format="rgb24").reformat(format="yuv420p")
            for number in range(int(span.start_s) * FRAME_RATE_HZ, int(span.end_s) * FRAME_RATE_HZ):
                picture.pts = number
                container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
