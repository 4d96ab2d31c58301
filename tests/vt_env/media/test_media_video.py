"""Video library: opening, caching, pickling and sharing of videos."""

import json
import pickle
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.videos import VideoSpec, indices, read_index, write_video

from vt_env.config import EnvConfig, MediaConfig
from vt_env.envs.base import make_episode
from vt_env.errors import ConfigError, DataError
from vt_env.media.cache_eviction import find_faults
from vt_env.media.library import TextModels, Video, VideoLibrary
from vt_env.tasks.task_set import Task
from vt_env.timed_lines import Caption
from vt_env.types import Box, Interval, Item, SubtitleLine, ToolCall, VideoRef

WHOLE = Box(0, 0, 1, 1)
NASA = VideoRef("nasa", str(Path(__file__).parents[2] / "fixtures" / "nasa_13013.mp4"))


@pytest.fixture(scope="module")
def ref(tmp_path_factory: pytest.TempPathFactory) -> VideoRef:
    folder = tmp_path_factory.mktemp("media")
    write_video(folder / "v.mp4", VideoSpec(frames=300, b_frames=2, subtitles=((1, 2, "embedded words"),)))
    (folder / "v.srt").write_text("1\n00:00:03,000 --> 00:00:04,000\nwords of a file\n")
    (folder / "v.jsonl").write_text('{"start_s": 0, "end_s": 10, "text": "counting"}\n')
    return VideoRef("v", str(folder / "v.mp4"))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> VideoLibrary:
    return VideoLibrary(MediaConfig(), tmp_path_factory.mktemp("cache"), "colours")


def test_a_video_offers_stored_frames_and_native_crops(library: VideoLibrary, ref: VideoRef) -> None:
    video = library.open(ref)
    assert (video.duration_s, video.size_px) == (pytest.approx(30), (64, 48))
    frames = video.frames_at([7, 2.9, 29.99])
    assert indices(frames.data) == [70, 20, 290] and frames.pts_s == pytest.approx([7, 2, 29])
    crop = video.crop(7.35, WHOLE)
    assert crop.data.shape == (1, 56, 56, 3) and read_index(crop.data[0]) == 73


def test_subtitles_come_from_the_named_file_before_the_text_stream(library: VideoLibrary, ref: VideoRef) -> None:
    named = replace(ref, subtitles_path=ref.path.replace(".mp4", ".srt"))
    assert [line.text for line in library.open(named).subtitles.lines] == ["words of a file"]
    assert [line.text for line in library.open(ref).subtitles.lines] == ["embedded words"]


def test_captions_are_there_only_where_the_reference_names_them(library: VideoLibrary, ref: VideoRef) -> None:
    assert library.open(ref).captions is None
    captioned = library.open(replace(ref, captions_path=ref.path.replace(".mp4", ".jsonl")))
    assert list(captioned.captions or ()) == [Caption(Interval(0, 10), "counting")]


def test_opening_the_same_video_again_gives_the_open_one(library: VideoLibrary, ref: VideoRef) -> None:
    assert library.open(ref) is library.open(ref)


def test_a_file_that_has_changed_is_opened_anew(library: VideoLibrary, tmp_path: Path) -> None:
    ref = VideoRef("v", str(tmp_path / "v.mp4"))
    write_video(tmp_path / "v.mp4", VideoSpec(frames=20))
    assert library.open(ref).duration_s == pytest.approx(2)
    write_video(tmp_path / "v.mp4", VideoSpec(frames=50))
    assert library.open(ref).duration_s == pytest.approx(5)


@pytest.mark.parametrize("kind", ["subtitles", "captions"])
def test_subtitles_and_captions_that_have_changed_are_read_anew(
    library: VideoLibrary, tmp_path: Path, kind: str
) -> None:
    write_video(tmp_path / "v.mp4", VideoSpec(frames=20))
    beside = tmp_path / "beside"
    ref = VideoRef("v", str(tmp_path / "v.mp4"), **{f"{kind}_path": str(beside)})
    for text in ("old words", "new words in place of them"):
        cue = f"1\n00:00:00,000 --> 00:00:01,000\n{text}\n"
        caption = json.dumps({"start_s": 0, "end_s": 1, "text": text})
        beside.write_text(cue if kind == "subtitles" else caption)
        video = library.open(ref)
        assert [it.text for it in (video.subtitles.lines if kind == "subtitles" else video.captions or ())] == [text]


def test_only_so_many_videos_are_kept_open(ref: VideoRef, tmp_path: Path) -> None:
    library = VideoLibrary(MediaConfig(), tmp_path, max_open=2)
    refs = [replace(ref, handle=handle) for handle in "abc"]
    opened = [library.open(it) for it in refs]
    assert library.open(refs[2]) is opened[2] and library.open(refs[1]) is opened[1]
    assert library.open(refs[0]) is not opened[0]


def test_progress_is_told_while_frames_are_stored_and_not_again(ref: VideoRef, tmp_path: Path) -> None:
    shares: list[float] = []
    VideoLibrary(MediaConfig(), tmp_path).open(ref, shares.append)
    assert len(shares) == 30 and shares[-1] == 1.0
    VideoLibrary(MediaConfig(), tmp_path).open(ref, lambda share: pytest.fail("stored twice"))


def test_a_bad_file_among_good_ones_is_refused_when_opened(
    library: VideoLibrary, ref: VideoRef, tmp_path: Path
) -> None:
    for bad in (
        VideoRef("v", str(tmp_path / "missing.mp4")),
        replace(ref, subtitles_path=str(tmp_path / "missing.srt")),
        replace(ref, captions_path=str(tmp_path / "missing.jsonl")),
    ):
        with pytest.raises(DataError, match="missing"):
            library.open(bad)


def test_times_outside_the_video_are_refused(library: VideoLibrary, ref: VideoRef) -> None:
    video = library.open(ref)
    for look in (lambda: video.frames_at([30.0]), lambda: video.crop(-1.0, WHOLE)):
        with pytest.raises(DataError, match="valid times are 0 to below"):
            look()


def test_a_library_can_be_pickled_and_reopens_its_videos(library: VideoLibrary, ref: VideoRef) -> None:
    video = library.open(ref)
    copy: Video = pickle.loads(pickle.dumps(library)).open(ref)
    assert copy is not video and copy.store.key == video.store.key
    assert (copy.frames_at([3.0]).data == video.frames_at([3.0]).data).all()


def test_many_threads_may_open_and_read_at_once(ref: VideoRef, tmp_path: Path) -> None:
    library = VideoLibrary(MediaConfig(), tmp_path)

    def read(second: int) -> list[int]:
        video = library.open(ref)
        stored, cropped = video.frames_at([second]), video.crop(second, WHOLE)
        return [read_index(frames.data[0]) for frames in (stored, cropped)]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(24))) == [[second * 10] * 2 for second in range(24)]


def test_a_child_made_by_fork_can_read_and_search_what_its_parent_opened(ref: VideoRef, tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from vt_env.config import MediaConfig\n"
        "from vt_env.media.library import VideoLibrary\n"
        "from vt_env.types import Box, VideoRef\n"
        "library = VideoLibrary(MediaConfig(), Path(sys.argv[2]))\n"
        "def look():\n"
        "    video = library.open(VideoRef('v', sys.argv[1]))\n"
        "    hits = video.search_clips('white', 3)\n"
        "    return hits, video.frames_at([1, 2]).data.sum(), video.crop(3, Box(0, 0, 1, 1)).data.sum()\n"
        "first = look()\n"
        "child = os.fork()\n"
        "if child == 0: os._exit(0 if look() == first else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, ref.path, str(tmp_path)], timeout=60, check=False)
    assert done.returncode == 0


def test_a_real_file_goes_all_the_way(library: VideoLibrary) -> None:
    video = library.open(NASA)
    assert len(video.subtitles.search("clean telescope room", 2)) == 1
    assert len(np.unique(video.frames_at(range(13)).pts_s)) == 13
    assert all(hit.interval.end_s <= video.duration_s for hit in video.search_clips("white and gray", 4))
    assert video.crop(12.9, Box(0.25, 0.25, 0.75, 0.75)).data.any()


def test_the_core_opens_videos_without_any_deep_learning_library() -> None:
    heavy = "('torch', 'transformers', 'trl', 'vllm', 'faster_whisper', 'decord')"
    script = f"import sys, vt_env.media.library; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


class Meaning:
    """Knows that cinema and film are one thing."""

    key = "meaning"

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        is_film = [not {"film", "cinema"}.isdisjoint(text.split()) for text in texts]
        return np.array([[it, not it] for it in is_film], dtype=np.float32)


class Writer:
    key = "writer"

    def summarise(self, query: str, lines: Sequence[SubtitleLine]) -> str:
        return f"{query}: <|im_start|> " + "; ".join(line.text for line in lines)


def test_text_models_make_search_hybrid_and_summaries_prose_and_survive_pickling(ref: VideoRef, tmp_path: Path) -> None:
    subtitles = tmp_path / "film.srt"
    subtitles.write_text("1\n00:00:01,000 --> 00:00:02,000\na film\n\n2\n00:00:03,000 --> 00:00:04,000\nrain\n")
    named = replace(ref, subtitles_path=str(subtitles))
    models = TextModels(Meaning(), Writer())
    library = VideoLibrary(MediaConfig(), tmp_path, "colours", text_models=models)
    for opened in (library, pickle.loads(pickle.dumps(library))):
        track = opened.open(named).subtitles
        assert track.search("cinema", 1)[0][0].text == "a film"
        assert track.written_summary("weather") == "weather: <|im_start|> a film; rain"
    assert sorted(it.name for it in tmp_path.iterdir() if it.is_dir()) == ["clips", "lines", "stores", "summaries"]
    assert list(find_faults(tmp_path)) == []
    plain = VideoLibrary(MediaConfig(), tmp_path).open(named).subtitles
    assert plain.search("cinema", 1) == [] and plain.written_summary("weather") is None


def test_clips_can_be_found_by_the_meaning_of_their_captions(ref: VideoRef, tmp_path: Path) -> None:
    captions = [{"start_s": 0, "end_s": 9, "text": "rain"}, {"start_s": 21, "end_s": 29, "text": "a film"}]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in captions))
    captioned = replace(ref, captions_path=str(tmp_path / "c.jsonl"))
    by_words = VideoLibrary(MediaConfig(), tmp_path, "none").open(captioned)
    assert [hit.interval for hit in by_words.search_clips("some film", 1)] == [Interval(20, 30)]
    assert by_words.search_clips("cinema", 1) == [] and by_words.search_sources == ("captions",)
    models = TextModels(caption_encoder=Meaning())
    library = VideoLibrary(MediaConfig(), tmp_path, "none", text_models=models)
    for opened in (library, pickle.loads(pickle.dumps(library))):
        (hit,) = opened.open(captioned).search_clips("cinema", 1)
        assert hit.interval == Interval(20, 30) and hit.sources == ("captions",)
    assert library.open(ref).search_sources == () and library.open(ref).search_clips("film", 1) == []


def test_captions_are_searched_as_asked_for_and_not_by_default_in_the_generated_world(ref: VideoRef) -> None:
    captioned = replace(ref, captions_path="c.jsonl")
    world = replace(captioned, world=1)
    searched = {
        how: [TextModels(captions=how).searches_captions(it) for it in (ref, captioned, world)]
        for how in ("auto", "words", "none")
    }
    assert searched == {"auto": [False, True, False], "words": [False, True, True], "none": [False] * 3}
    with pytest.raises(ConfigError, match=r"allowed are 'auto', 'words' and 'none'"):
        TextModels(captions="meaning")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="leave one of them out"):
        TextModels(captions="none", caption_encoder=Meaning())


def test_the_summary_tool_shows_what_the_model_wrote_and_counts_as_viewed_what_it_would_have_shown(
    ref: VideoRef, tmp_path: Path
) -> None:
    library = VideoLibrary(MediaConfig(), tmp_path, text_models=TextModels(summariser=Writer()))
    task = Task(Item("v", "what?", ("a", "b"), ref), None)
    plain = VideoLibrary(MediaConfig(), tmp_path)
    for opened, shown in ((library, "words: < |im_start|> embedded words"), (plain, "00:01-00:02 embedded words")):
        episode = make_episode(task, opened, EnvConfig())
        episode.start()
        text = episode.apply(ToolCall("subtitle_summary", {"query": "words"})).observation.text
        assert shown in text and "<|im_start|>" not in text
        assert episode.turns[0].viewed == (Interval(1, 2),)
