"""Captions by a model: of the very frames that a student will see, made once, read by an episode, blind to the key."""

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agents.backends.chat_wire import ChatReply, ChatRequest, ReplyStatus, Usage, image_url
from synth.caption_perception import CaptionerPerception, ScreenTextPerception, lossy
from synth.captioner import Captioner, NoCaption
from synth.ground import ground
from vt_env.config import EnvConfig, default_budget, paper_budget
from vt_env.envs.base import make_episode
from vt_env.episode.episode import Episode
from vt_env.episode.trajectory import record_episode
from vt_env.errors import ConfigError, DataError
from vt_env.media.text.screen_text import ScreenLine
from vt_env.testing import FakeLibrary, FakeVideo, fake_task, read_second
from vt_env.types import Answer, Box, Interval, StopReason, SubtitleLine, ToolCall

BUDGET = default_budget()
BLIND = replace(FakeVideo(), captions=None)
QUESTION = "what number is beside the red square?"


class Describer:
    """A model that names the seconds that its pictures show."""

    def __init__(self, says: Callable[[list[int]], str] = lambda seconds: f"seconds {seconds}") -> None:
        self.requests: list[ChatRequest] = []
        self._says = says

    def __call__(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        *pictures, _ = request.messages[0]["content"]
        seconds = [read_second(np.asarray(picture["image"])) for picture in pictures]
        return ChatReply(ReplyStatus.OK, self._says(seconds), usage=Usage(100, 7, 1))


def captioner(model: Describer, folder: Path, style: str = "question", name: str = "m") -> Captioner:
    return Captioner(model, name, folder, style)


def episode(model: Captioner, config: EnvConfig | None = None) -> Episode:
    task, config = fake_task(), config or EnvConfig("captions", BUDGET)
    eyes = CaptionerPerception(BLIND, config.budget, model, task.item.question)
    return Episode(task.item, task.gold, BLIND, config, perception=eyes)


def look(start_s: float = 320.0, end_s: float = 340.0) -> ToolCall:
    return ToolCall("caption_zoom", {"start_s": start_s, "end_s": end_s})


def test_a_caption_is_of_the_very_frames_that_a_look_would_show(tmp_path: Path):
    model = Describer()
    playing = episode(captioner(model, tmp_path))
    playing.start()
    outcome = playing.apply(look())
    frames = make_episode(fake_task(), FakeLibrary(), EnvConfig("frames", BUDGET))
    frames.start()
    shown = frames.apply(replace(look(), name="frame_zoom")).observation.frames
    (line,) = outcome.observation.lines
    assert line.line == f"05:20-05:40 seconds {[int(it) for it in shown.pts_s]}"
    assert playing.remaining.frames == BUDGET.max_frames


def test_the_paper_s_prompt_holds_the_question_and_the_plain_one_does_not(tmp_path: Path):
    for style, holds in (("question", True), ("plain", False)):
        model = Describer()
        playing = episode(captioner(model, tmp_path, style))
        playing.start()
        playing.apply(look())
        text = model.requests[0].messages[0]["content"][-1]["text"]
        assert (f"Question: {QUESTION}" in text) is holds
        assert not any(option in text for option in fake_task().item.options)


def test_a_caption_is_made_once_for_a_video_its_frames_a_model_and_a_prompt(tmp_path: Path):
    model = Describer()
    first = captioner(model, tmp_path)
    frames = BLIND.frames_at([5.0, 6.0])
    for _ in range(2):
        first.caption(BLIND, frames, QUESTION)
    assert len(model.requests) == 1
    assert (first.counts.made, first.counts.cached, first.counts.used) == (1, 1, Usage(100, 7, 1))
    later = captioner(model, tmp_path)
    assert later.caption(BLIND, frames, QUESTION) == "seconds [5, 6]" and len(model.requests) == 1
    later.caption(BLIND, frames, "another question")
    later.caption(BLIND, BLIND.frames_at([5.0]), QUESTION)
    later.caption(BLIND, frames, QUESTION, Box(0, 0, 0.5, 0.5))
    captioner(model, tmp_path, name="another").caption(BLIND, frames, QUESTION)
    captioner(model, tmp_path, "plain").caption(BLIND, frames, QUESTION)
    assert len(model.requests) == 6


def test_plain_captions_are_shared_by_questions(tmp_path: Path):
    model = Describer()
    plain = captioner(model, tmp_path, "plain")
    for question in ("one?", "two?"):
        plain.caption(BLIND, BLIND.frames_at([5.0]), question)
    assert len(model.requests) == 1


def test_a_torn_cache_loses_its_last_caption_and_a_damaged_one_is_named(tmp_path: Path):
    model = Describer()
    for second in (5.0, 6.0):
        captioner(model, tmp_path).caption(BLIND, BLIND.frames_at([second]), QUESTION)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    again = captioner(model, tmp_path)
    for second in (5.0, 6.0):
        assert again.caption(BLIND, BLIND.frames_at([second]), QUESTION) == f"seconds [{int(second)}]"
    assert len(model.requests) == 3
    path.write_bytes(b"oops\n" + path.read_bytes())
    with pytest.raises(DataError, match=r":1: not JSON .*; delete the file"):
        captioner(model, tmp_path).caption(BLIND, BLIND.frames_at([5.0]), QUESTION)


def test_thoughts_are_no_caption_and_neither_is_nothing(tmp_path: Path):
    thoughts = ["", "<think>Is it", "◁think▷It is dark.◁/think▷", "[THINK]Is it"]
    video, says = FakeVideo(), iter(["<think>It is dark.</think>A dark corridor.", *thoughts, "A corridor."])
    model = captioner(Describer(lambda seconds: next(says)), tmp_path)
    frames = [video.frames_at([time_s]) for time_s in (1.0, 2.0)]
    assert model.caption(video, frames[0], "where?") == "A dark corridor."
    for _ in thoughts:
        with pytest.raises(NoCaption, match="nothing besides thoughts"):
            model.caption(video, frames[1], "where?")
    assert model.caption(video, frames[1], "where?") == "A corridor."
    (kept,) = tmp_path.rglob("*.jsonl")
    assert kept.read_text().count("\n") == 2 and "think" not in kept.read_text()
    kept.write_text(kept.read_text().replace("A dark corridor.", "<think>It is dark.</think>A dark corridor."))
    assert captioner(Describer(lambda seconds: "Anew."), tmp_path).caption(video, frames[0], "where?") == "Anew."


@pytest.mark.parametrize("status", [it for it in ReplyStatus if it is not ReplyStatus.OK])
def test_a_caption_that_did_not_come_whole_ends_the_episode_and_is_not_kept(tmp_path: Path, status: ReplyStatus):
    def fail(request: ChatRequest) -> ChatReply:
        return ChatReply(status, "a red", error="why")

    playing = episode(Captioner(fail, "m", tmp_path))
    playing.start()
    with pytest.raises(NoCaption):
        playing.apply(look())
    assert playing.invalid == f"captioner {status}: why"
    assert not list(tmp_path.iterdir())


def test_global_frames_become_a_caption_before_the_question(tmp_path: Path):
    model = Describer(lambda seconds: f"{len(seconds)} frames </tool_call>")
    playing = episode(captioner(model, tmp_path), EnvConfig("captions", paper_budget()))
    text = playing.start().text
    assert "\n00:00-10:00 32 frames < /tool_call>\nQuestion: what number" in text
    assert playing.remaining.frames == 64


def test_a_closer_look_is_described_too(tmp_path: Path):
    model = Describer(lambda seconds: "small print")
    playing = episode(captioner(model, tmp_path))
    playing.start()
    outcome = playing.apply(ToolCall("spatial_zoom", {"time_s": 322.0, "box": [0, 0, 0.5, 0.5]}))
    assert [it.line for it in outcome.observation.lines] == ["05:22-05:23 small print"]


def play(model: Captioner, thought: str) -> Episode:
    playing = episode(model)
    playing.start()
    playing.apply(look())
    playing.apply(Answer("47", thought))
    return playing


@pytest.mark.parametrize(
    ("says", "verdict"), [("Yes.", "yes"), ("no, it does not", "no"), ("", "unclear"), ("Hm", "unclear")]
)
def test_verdicts_on_thoughts_are_stored_and_a_no_drops_the_trajectory_by_default(
    tmp_path: Path, says: str, verdict: str
):
    source = record_episode(play(captioner(Describer(), tmp_path), "I see 47 beside it"))
    judge = Describer(lambda seconds: says)
    frames = make_episode(fake_task(), FakeLibrary(), EnvConfig("frames", BUDGET))
    grounded = ground(source, frames, captioner(judge, tmp_path / "judge").supports)
    assert [(it.turn_idx, it.verdict) for it in grounded.support] == [(0, verdict)]
    assert grounded.reason("default") == ("unsupported" if verdict == "no" else None)
    assert grounded.reason("paper") is None
    asked = judge.requests[0].messages[0]["content"]
    assert "I see 47 beside it" in asked[-1]["text"]
    assert [read_second(np.asarray(it["image"])) for it in asked[:-1]] == [325, 335]
    assert grounded.trajectory.stop is StopReason.ANSWERED


def test_a_judge_that_fails_gives_no_verdict_and_drops_nothing(tmp_path: Path):
    source = record_episode(play(captioner(Describer(), tmp_path), "I see 47 beside it"))
    failing = Captioner(lambda request: ChatReply(ReplyStatus.ERROR, error="500"), "m", tmp_path / "judge")
    frames = make_episode(fake_task(), FakeLibrary(), EnvConfig("frames", BUDGET))
    grounded = ground(source, frames, failing.supports)
    assert [it.verdict for it in grounded.support] == ["captioner error: 500"]
    assert grounded.reason("default") is None


def test_captions_lose_words_but_never_all_and_always_the_same_ones():
    lines = [SubtitleLine(Interval(idx, idx + 1), "red square 47 upper left") for idx in range(200)]
    assert lossy(lines, 0.0, "v", 0) == tuple(lines)
    assert all(len(line.text.split()) == 1 for line in lossy(lines, 1.0, "v", 0))
    half = lossy(lines, 0.5, "v", 0)
    assert half == lossy(lines, 0.5, "v", 0) != lossy(lines, 0.5, "w", 0)
    kept = sum(len(line.text.split()) for line in half) / (5 * len(lines))
    assert 0.45 < kept < 0.57


def test_pictures_are_sent_without_loss():
    picture = Image.fromarray(BLIND.frames_at([5.0]).data[0])
    data = base64.b64decode(image_url(picture).partition(",")[2])
    assert read_second(np.asarray(Image.open(io.BytesIO(data)))) == 5


SLIDES = (
    ScreenLine(Interval(0, 60), "Harvest", Box(0.1, 0.1, 0.5, 0.2), 0.9),
    ScreenLine(Interval(0, 60), "barley 412 tonnes", Box(0.1, 0.7, 0.5, 0.8), 0.9),
    ScreenLine(Interval(60, 120), "thank you", Box(0.1, 0.4, 0.5, 0.5), 0.9),
)


def test_a_teacher_reads_the_screen_in_place_of_captions_and_a_closer_look_what_lies_in_its_box():
    eyes = ScreenTextPerception(replace(BLIND, screen_text=SLIDES), BUDGET)
    task = fake_task()
    playing = Episode(task.item, task.gold, BLIND, EnvConfig("captions", BUDGET), perception=eyes)
    assert playing.start().frames is None
    calls = [
        look(20.0, 80.0),
        look(200.0, 210.0),
        ToolCall("spatial_zoom", {"time_s": 5.0, "box": [0.0, 0.5, 1.0, 1.0]}),
    ]
    shown = [playing.apply(call).observation for call in calls]
    assert [[line.text for line in it.lines] for it in shown] == [
        ["Harvest / barley 412 tonnes", "thank you"],
        [],
        ["barley 412 tonnes"],
    ]
    assert [turn.viewed for turn in playing.turns] == [(Interval(20, 80),), (), (Interval(5, 6),)]
    assert playing.remaining.frames == BUDGET.max_frames


def test_a_video_whose_screen_was_not_read_has_nothing_to_read():
    with pytest.raises(ConfigError, match="was not read; add --screen-text"):
        ScreenTextPerception(BLIND, BUDGET)
