"""Bytes flipped in real files: frames and lines, or one line of ours; never a crash, a hang or all of the memory."""

import resource
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import strategies as st
from PIL import Image
from support.fuzzing import EDITS, Law, edited, edited_bytes, fuzz
from support.videos import VideoSpec, paint_index, write_video

from vt_env.errors import LOUD
from vt_env.media.decode.video_file import open_video
from vt_env.media.text.load_subtitles import load_subtitles
from vt_env.types import VideoRef

pytestmark = [pytest.mark.slow, pytest.mark.fuzz, pytest.mark.filterwarnings("ignore")]

SMALL = {"frames": 8, "size_px": (32, 16)}
LINES = ((0.1, 0.4, "a line"),)
BASES = {
    "mp4": VideoSpec(**SMALL, b_frames=2, gop=4, subtitles=LINES),
    "mov": VideoSpec(**SMALL, codec="mpeg4", gop=4, turned_deg=90),
    "mkv": VideoSpec(**SMALL, gop=4, subtitles=LINES),
    "webm": VideoSpec(**SMALL, codec="libvpx", gop=4),
    "avi": VideoSpec(**SMALL, codec="mpeg4", gop=4),
    "ts": VideoSpec(**SMALL, gop=4, audio=True),
    "mpg": VideoSpec(**SMALL, codec="mpeg2video", fps=Fraction(25), gop=4),
    "flv": VideoSpec(**SMALL, codec="flv", gop=4),
    "wmv": VideoSpec(**SMALL, codec="wmv2", gop=4),
    "ogv": VideoSpec(**SMALL, codec="libvpx", gop=4),
    "nut": VideoSpec(**SMALL, codec="ffv1"),
    "gif": VideoSpec(**SMALL, codec="gif", pix_fmt="rgb8"),
    "apng": VideoSpec(**SMALL, codec="apng", pix_fmt="rgb24"),
    "ivf": VideoSpec(**SMALL, codec="libvpx-vp9", gop=4),
}
HEAD_BYTES = 900
"""Where most headers of these small files lie."""
MEGABYTES = 1500
"""Memory that no small file may take."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("sound")
    for suffix, spec in BASES.items():
        write_video(folder / f"video.{suffix}", spec)
    return {suffix: (folder / f"video.{suffix}").read_bytes() for suffix in BASES}


def test_any_change_of_a_container_gives_frames_or_a_refusal(
    law: Law, sound: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What FFmpeg makes of such files cannot be foreseen: the law is what a user meets.
    monkeypatch.delenv(LOUD, raising=False)
    av.logging.set_level(None)
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    @fuzz(600, st.sampled_from(sorted(BASES)), EDITS)
    def check(suffix: str, edits: list[tuple[int, int, int, int]]) -> None:
        # A file that kills the process stays there.
        path = tmp_path / f"last.{suffix}"
        path.write_bytes(edited_bytes(sound[suffix], edits, HEAD_BYTES))
        video = law.read(lambda: open_video(path))
        if video is not None:
            for share in (0.0, 0.6):
                time_s = share * video.duration_s
                batch = law.read(lambda time_s=time_s: video.frames_at([time_s], (16, 16)))
                assert batch is None or batch.data.shape == (1, 16, 16, 3)
            law.read(lambda: load_subtitles(VideoRef("v", str(path)), video.timeline))

    check()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mb < MEGABYTES


def test_any_change_of_a_folder_of_pictures_gives_frames_or_a_refusal(law: Law, tmp_path: Path) -> None:
    suffixes = ("png", "jpg", "webp", "bmp")
    for suffix in suffixes:
        Image.fromarray(paint_index(3, (32, 16))).save(tmp_path / f"0.{suffix}")
    sound = {suffix: (tmp_path / f"0.{suffix}").read_bytes() for suffix in suffixes}
    folder = tmp_path / "folder"
    folder.mkdir()

    @fuzz(400, st.sampled_from(suffixes), EDITS, EDITS)
    def check(suffix: str, flips: list[tuple[int, int, int, int]], edits: list[tuple[int, int, int, int]]) -> None:
        for path in folder.iterdir():
            path.unlink()
        (folder / f"0.{suffix}").write_bytes(edited_bytes(sound[suffix], flips, 60))
        times = edited('{"times_s": [0.0], "end_s": 9.0}', edits)
        (folder / "frames.json").write_text(times, encoding="utf-8", errors="surrogatepass")
        video = law.read(lambda: open_video(folder))
        if video is not None:
            law.read(lambda: video.frames_at([0.0], (16, 16)))

    check()
