"""One episode by hand or by an agent on a video of one's own, and what it leaves for a person to look at."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from support.videos import VideoSpec, write_video

from agents.baselines.human import read_arguments
from agents.baselines.subtitle_overlap import SubtitleAgent, best_option, content_words
from agents.rollout import run_episode
from experiments.cli import run
from experiments.data.index import IndexRun
from experiments.data.index import main as index
from vt_env.config import EnvConfig
from vt_env.envs.base import make_episode
from vt_env.episode.trajectory import read_trajectories
from vt_env.media.terminal import say_once
from vt_env.prompts import spoken_lines
from vt_env.testing import FakeLibrary, FakeVideo, fake_task
from vt_env.tools.builtin import tools_for
from vt_env.types import Interval, SubtitleLine

SPOKEN = (
    (0.2, 4.0, "This telescope stands in one of the largest cleanrooms"),
    (4.0, 8.0, "at a flight center in Greenbelt, Maryland."),
    (8.0, 11.9, "Its mirror is made of gold"),
)
QUESTION = ("--question", "Where is the cleanroom that the narrator speaks of?")
OPTIONS = ("--option", "Houston, Texas", "--option", "Greenbelt, Maryland", "--option", "Lima, Peru")


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("talk") / "talk.mp4"
    write_video(path, VideoSpec(frames=120, subtitles=SPOKEN))
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))


def test_an_agent_answers_from_embedded_subtitles_and_leaves_pictures(video, tmp_path, capsys):
    out = tmp_path / "play"
    assert run(["play", str(video), *QUESTION, *OPTIONS, "--agent", "subtitles", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "subtitle_retrieval" in printed and "answer: Greenbelt, Maryland" in printed
    (episode,) = read_trajectories(out / "trajectory.jsonl")
    assert [turn.call.name for turn in episode.turns[:-1]] == ["subtitle_retrieval", "subtitle_zoom", "frame_zoom"]
    assert episode.turns[2].viewed == (Interval(4.0, 8.0),) and not episode.errors
    with Image.open(out / "look-03.png") as picture, Image.open(out / "storyboard.png") as board:
        assert picture.width > picture.height and board.width == 960
    assert "Greenbelt" in (out / "transcript.txt").read_text()


def test_a_person_plays_with_short_lines_and_may_mistype(video, tmp_path, capsys, monkeypatch):
    lines = "frame_zoom 00:01, 00:04\nnonsense\nspatial_zoom 2, 0, 0, 0.5, 0.5\nb\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    out = tmp_path / "play"
    assert run(["play", str(video), *QUESTION, *OPTIONS, "--out", str(out)]) == 0
    (episode,) = read_trajectories(out / "trajectory.jsonl")
    assert [turn.call and turn.call.name for turn in episode.turns] == ["frame_zoom", "spatial_zoom", None]
    assert episode.answer == "b" and not episode.errors
    assert "Neither a call nor an option" in capsys.readouterr().out
    assert sorted(path.name for path in out.glob("look-*.png")) == ["look-00.png", "look-01.png", "look-02.png"]


def test_a_video_without_a_source_is_played_without_clip_retrieval_and_the_terminal_says_why_once(
    video, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("VT_ENV_ENCODER", raising=False)
    say_once.cache_clear()
    monkeypatch.setattr("sys.stdin", io.StringIO("clip_retrieval telescope\nhm\nb\n"))
    assert run(["play", str(video), *QUESTION, *OPTIONS, "--out", str(tmp_path / "play")]) == 0
    printed, said = capsys.readouterr()
    assert "subtitle_retrieval" in printed and "clip_retrieval" not in printed.replace("clip_retrieval telescope", "")
    lines = [line for line in said.splitlines() if line.startswith("vt-env: ")]
    assert len(lines) == 2 and lines[0].startswith("vt-env: profile field: ")
    assert "clip_retrieval is not offered" in lines[1] and "--encoder OWNER/NAME" in lines[1]
    (episode,) = read_trajectories(tmp_path / "play" / "trajectory.jsonl")
    assert episode.answer == "b"
    monkeypatch.setattr("sys.stdin", io.StringIO("clip_retrieval white\nb\n"))
    arguments = ["play", str(video), *QUESTION, *OPTIONS, "--out", str(tmp_path / "play"), "--encoder", "colours"]
    assert run(arguments) == 0
    (episode,) = read_trajectories(tmp_path / "play" / "trajectory.jsonl")
    assert episode.turns[0].call.name == "clip_retrieval" and not episode.errors


def test_a_person_may_stop_and_what_was_seen_is_kept(video, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("frame_zoom 00:01, 00:04\n"))
    assert run(["play", str(video), *QUESTION, *OPTIONS, "--out", str(tmp_path / "play")]) == 0
    assert "not finished" in capsys.readouterr().out
    (episode,) = read_trajectories(tmp_path / "play" / "trajectory.jsonl")
    assert episode.stop is None and len(episode.turns) == 1


@pytest.mark.slow
def test_a_question_of_the_world_is_played_though_its_video_is_not_written_yet(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    assert run(["play", "world/needle", "--agent", "random", "--out", str(tmp_path / "play")]) == 0
    assert (tmp_path / "play" / "storyboard.png").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [(QUESTION, "needs --question and two --option"), ((*QUESTION, "--option", "a", "--option", "a"), "all different")],
)
def test_a_video_without_a_proper_question_is_refused(video, flags, message, capsys):
    assert run(["play", str(video), *flags]) == 2
    assert message in capsys.readouterr().err


def test_index_says_what_is_there_and_builds_nothing_twice(video, capsys):
    assert index(IndexRun((video,), encoder="colours")) == 0
    assert index(IndexRun((video.parent,), encoder="colours")) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "12 frames and 2 clips stored and indexed in" in first and "3 subtitle lines from text stream 1" in first
    assert "12 frames and 2 clips already stored and indexed" in second


def test_index_reads_a_subtitle_file_beside_the_video(tmp_path, capsys):
    write_video(tmp_path / "mute.mp4")
    assert index(IndexRun((tmp_path / "mute.mp4",))) == 0
    (tmp_path / "mute.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nhello there\n")
    assert index(IndexRun((tmp_path / "mute.mp4",))) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "no subtitles and no audio" in first and f"1 subtitle lines from {tmp_path / 'mute.srt'}" in second


@pytest.mark.slow
def test_index_names_a_broken_video_and_goes_on_with_the_others(video, tmp_path, capsys):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    assert index(IndexRun((tmp_path / "broken.mp4", video))) == 2
    captured = capsys.readouterr()
    assert "broken.mp4" in captured.err and "talk.mp4" in captured.out


def spoken_video(*texts: str) -> FakeLibrary:
    lines = tuple(SubtitleLine(Interval(100.0 * n, 100.0 * n + 4), text) for n, text in enumerate(texts))
    return FakeLibrary((FakeVideo(subtitle_lines=lines),))


def played(library: FakeLibrary, question: str, options: tuple[str, ...]):
    task = fake_task()
    task = replace(task, item=replace(task.item, question=question, options=options), gold=None)
    return run_episode(SubtitleAgent(), make_episode(task, library, EnvConfig()))


def test_the_subtitle_agent_searches_for_the_options_where_the_question_is_not_said():
    library = spoken_video("nothing of note", "one of the clean rooms", "we are in Greenbelt, Maryland")
    episode = played(library, "Where is the cleanroom?", ("Houston, Texas", "Greenbelt, Maryland"))
    assert episode.answer == "Greenbelt, Maryland"
    assert [turn.call.name for turn in episode.turns[:-1]][:2] == ["subtitle_retrieval", "subtitle_retrieval"]


def test_the_subtitle_agent_without_subtitles_answers_the_first_option_and_looks_at_nothing():
    episode = played(FakeLibrary((FakeVideo(subtitle_lines=()),)), "Where is the?", ("Houston", "Lima"))
    assert episode.answer == "Houston" and not episode.viewed


def test_an_option_is_chosen_by_the_share_of_its_words_and_the_first_of_equals_wins():
    subtitles = [SubtitleLine(Interval(1, 4), "the mirrors of gold"), SubtitleLine(Interval(5, 7), "and of silver")]
    lines = spoken_lines(subtitles)
    assert best_option(("a golden mirror", "gold mirror", "silver"), lines) == "gold mirror"
    assert best_option(("x", "y"), lines) == "x"
    assert content_words("Where are the Mirrors, that the narrator says?") == ["mirror"]


def test_arguments_of_a_person_are_read_by_position():
    tools = {tool.name: tool for tool in tools_for("frames")}
    assert read_arguments(tools["clip_retrieval"], "red square, 2") == {"query": "red square", "top_k": 2}
    assert read_arguments(tools["spatial_zoom"], "00:05, 0, 0, .5, 1") == {"time_s": 5.0, "box": [0.0, 0.0, 0.5, 1.0]}
    assert read_arguments(tools["frame_zoom"], "soon") == {"start_s": "soon"}
