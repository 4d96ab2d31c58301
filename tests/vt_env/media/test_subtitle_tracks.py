"""Of several text streams in a media file the one for all viewers is read, in the language asked for."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from experiments.data.video_paths import video_ref
from vt_env.media.text.load_subtitles import SubtitleConfig, load_subtitles
from vt_env.media.text.subtitles import SubtitleTrack
from vt_env.types import VideoRef

TRACKS = (
    ("eng", Disposition.forced, "sign"),
    ("eng", Disposition.hearing_impaired | Disposition.default, "music"),
    ("eng", Disposition(0), "full"),
    ("ger", Disposition.forced, "Schild"),
    ("ger", Disposition(0), "voll"),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tracks") / "tracks.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        texts = [container.add_stream("subrip") for _ in TRACKS]
        for stream, (language, disposition, _) in zip(texts, TRACKS, strict=True):
            stream.time_base = Fraction(1, 1000)
            stream.codec_context.subtitle_header = b"[Script Info]\nScriptType: v4.00+\n"
            stream.metadata["language"], stream.disposition = language, disposition
        for pts in range(20):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), dtype=np.uint8), format="rgb24")
            frame.pts = pts
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for stream, (_, _, text) in zip(texts, TRACKS, strict=True):
            packet = av.Packet(text.encode())
            packet.stream, packet.time_base = stream, Fraction(1, 1000)
            packet.pts = packet.dts = 500
            packet.duration = 400
            container.mux(packet)
    return path


def read(path: Path, *languages: str) -> SubtitleTrack:
    return load_subtitles(VideoRef("v", str(path)), config=SubtitleConfig(languages=languages))


def test_forced_tracks_and_those_for_some_viewers_come_last(path: Path) -> None:
    track = read(path)
    assert [line.text for line in track.lines] == ["full"]
    assert (track.source, track.notes) == ("text stream 3 (eng), one of 5", ())


@pytest.mark.parametrize(
    ("languages", "text"), [(("ger",), "voll"), (("fre", "GER", "eng"), "voll"), (("eng", "ger"), "full")]
)
def test_the_first_language_that_there_is_decides(path: Path, languages: tuple[str, ...], text: str) -> None:
    track = read(path, *languages)
    assert [line.text for line in track.lines] == [text] and track.notes == ()


def test_a_language_that_is_not_there_is_said(path: Path) -> None:
    track = read(path, "fre", "ita")
    assert [line.text for line in track.lines] == ["full"]
    assert track.notes == ("no text stream is in fre or ita, there are eng, ger; read from text stream 3 (eng)",)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("film.vtt", "film.srt", "film.en.srt"), "film.srt"),
        (("film.ass",), "film.ass"),
        (("film.en.srt", "film.de.srt", "other.srt"), "film.de.srt"),
        (("film.en.forced.srt", "film.fr.ass"), "film.fr.ass"),
        (("film2.en.srt",), None),
    ],
)
def test_subtitles_beside_a_video_are_found_with_a_language_in_their_name(
    tmp_path: Path, names: tuple[str, ...], chosen: str | None
) -> None:
    for name in ("film.mp4", *names):
        (tmp_path / name).write_text(name)
    found = video_ref(tmp_path / "film.mp4").subtitles_path
    assert found == (None if chosen is None else str(tmp_path / chosen))
