"""The episode: texts to the character, budgets before rendering, one use, failures that stay failures."""

# ruff: noqa: D417  The episode is not an argument that a model gives to a tool.

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vt_env.actions.parse import parse_action
from vt_env.actions.read_answer import AnswerStatus
from vt_env.budget.remaining import Remaining
from vt_env.config import BudgetConfig, EnvConfig, default_budget, paper_budget
from vt_env.episode.episode import Episode
from vt_env.errors import ConfigError, DataError, EpisodeOver
from vt_env.prompts import TINY
from vt_env.testing import FakeVideo, fake_task, read_second
from vt_env.tools.tool import Tool
from vt_env.types import (
    Action,
    Answer,
    Box,
    FrameBatch,
    FrameRef,
    Interval,
    Malformed,
    Outcome,
    StopReason,
    SubtitleLine,
    ToolCall,
    View,
)

SMALL = BudgetConfig(max_calls=3, max_frames=5, frames_per_zoom=2)
LOOK = ToolCall("frame_zoom", {"start_s": "05:20", "end_s": "05:40"})


def play(
    *actions: Action | str, budget: BudgetConfig = SMALL, perception: str = "frames", **changes: Any
) -> tuple[Episode, list[Outcome]]:
    """Play actions on the fake video; `changes` are changes of the video."""
    task = fake_task()
    episode = Episode(task.item, task.gold, FakeVideo(**changes), EnvConfig(perception, budget, prompts=TINY))
    episode.start()
    return episode, [episode.apply(parse_action(it) if isinstance(it, str) else it) for it in actions]


def text_of(action: Action | str, **options: Any) -> str:
    return play(action, **options)[1][0].observation.text


def test_the_first_observation_of_the_tiny_set_is_this_text():
    task = fake_task()
    lines = "Question: what number is beside the red square?\nA. 12\nB. 47\nC. 31\nD. 88\n"
    episode = Episode(task.item, task.gold, FakeVideo(), EnvConfig(budget=SMALL, prompts=TINY))
    assert episode.start().text == f"{lines}Video 10:00 long. Left: 3 calls, 5 frames."
    episode = Episode(task.item, task.gold, FakeVideo(), EnvConfig("captions", SMALL, prompts=TINY))
    assert episode.start().text == f"{lines}Video 10:00 long. Left: 3 calls."


def test_the_system_text_of_the_tiny_set_is_this_text():
    assert (
        TINY.system_text()
        == TINY.system_text(has_tools=False)
        == ("Answer the question about the long video. Look with the tools, then write <answer>the option</answer>.")
    )


CLIPS = "#1 05:20-05:30 1.00\n#2 05:30-05:40 1.00\n"


@pytest.mark.parametrize(
    ("perception", "call", "text"),
    [
        ("frames", ToolCall("clip_retrieval", {"query": "red square", "top_k": 2}), CLIPS),
        ("captions", ToolCall("clip_retrieval", {"query": "red square", "top_k": 2}), CLIPS),
        ("frames", ToolCall("clip_retrieval", {"query": "green"}), "No match.\n"),
        ("frames", ToolCall("subtitle_retrieval", {"query": "delta"}), "03:10-03:14 the code of delta is 31\n"),
        ("frames", ToolCall("subtitle_retrieval", {"query": "whale"}), "No subtitles.\n"),
        (
            "frames",
            ToolCall("subtitle_summary", {"query": "the circle delta"}),
            "03:10-03:14 the code of delta is 31\n06:40-06:44 look at the circle\n",
        ),
        (
            "frames",
            ToolCall("subtitle_zoom", {"start_s": "03:13", "end_s": "06:40"}),
            "03:10-03:14 the code of delta is 31\n",
        ),
        ("frames", ToolCall("subtitle_zoom", {"start_s": 0, "end_s": 1}), "No subtitles.\n"),
        ("frames", LOOK, "Frames at 05:25 05:35.\n"),
        ("captions", replace(LOOK, name="caption_zoom"), "05:20-05:46 red square 47\n"),
        (
            "captions",
            ToolCall("caption_zoom", {"start_s": "05:20", "end_s": "06:00"}),
            "05:20-05:46 red square 47\n05:46-10:00 blue circle 12\n",
        ),
        ("frames", ToolCall("spatial_zoom", {"time_s": "05:22", "box": [0, 0, 0.5, 0.5]}), "Crop at 05:22.\n"),
        (
            "captions",
            ToolCall("spatial_zoom", {"time_s": "05:46", "box": [0, 0, 0.5, 0.5]}),
            "05:46-10:00 blue circle 12\n",
        ),
    ],
)
def test_results_of_tools_are_these_texts(perception: str, call: ToolCall, text: str):
    frames = {"frame_zoom": ", 3 frames", "spatial_zoom": ", 4 frames"}.get(call.name, ", 5 frames")
    left = f"Left: 2 calls{frames if perception == 'frames' else ''}."
    assert text_of(call, perception=perception) == text + left


def test_nothing_to_see_between_captions():
    captions = (SubtitleLine(Interval(0, 5), "black"),)
    call = ToolCall("caption_zoom", {"start_s": 5, "end_s": 9})
    assert text_of(call, perception="captions", captions=captions) == "Nothing to see.\nLeft: 2 calls."


def test_a_subtitle_of_several_lines_takes_one_line():
    lines = (SubtitleLine(Interval(0, 2), "one\ntwo\r\n three"),)
    call = ToolCall("subtitle_zoom", {"start_s": 0, "end_s": 9})
    assert text_of(call, subtitle_lines=lines).startswith("00:00-00:02 one two three\n")


def test_failures_are_these_texts():
    assert text_of(ToolCall("frame_zoom", {"start_s": "05:20"})) == (
        "Error: frame_zoom needs end_s; call frame_zoom(start_s, end_s)\nLeft: 2 calls, 5 frames."
    )
    assert text_of("I think it is A", perception="captions") == (
        'Malformed: neither a call nor an answer; write <tool_call>{"name": ..., "arguments": {...}}</tool_call> or '
        "<answer>the option</answer>\n"
        "clip_retrieval(query, top_k)\nsubtitle_retrieval(query, top_k)\nsubtitle_summary(query)\n"
        "caption_zoom(start_s, end_s)\nsubtitle_zoom(start_s, end_s)\nspatial_zoom(time_s, box)\n"
        "Left: 2 calls."
    )
    assert text_of(ToolCall("look", {})).startswith("Error: no tool 'look'; the tools are clip_retrieval, ")


def test_frames_are_those_at_the_middles_of_equal_parts():
    _, (outcome,) = play(LOOK, budget=default_budget())
    frames = outcome.observation.frames
    assert frames is not None and [read_second(frame) for frame in frames.data] == [325, 335]


@given(st.integers(0, 590), st.integers(1, 30), st.integers(1, 8))
def test_no_frame_is_shown_twice_and_none_outside_the_interval(start_s: int, length_s: int, count: int):
    budget = BudgetConfig(max_calls=1, max_frames=8, frames_per_zoom=count)
    end_s = min(600, start_s + length_s)
    _, (outcome,) = play(ToolCall("frame_zoom", {"start_s": start_s, "end_s": end_s}), budget=budget)
    frames = outcome.observation.frames
    assert frames is not None
    seconds = [read_second(frame) for frame in frames.data]
    assert seconds == sorted(set(seconds)) and len(seconds) == min(count, end_s - start_s)
    assert all(start_s <= second < end_s for second in seconds)


def test_global_frames_come_with_the_question_and_are_paid_for():
    task = fake_task()
    episode = Episode(task.item, task.gold, FakeVideo(), EnvConfig(budget=paper_budget(), prompts=TINY))
    observation = episode.start()
    assert observation.frames is not None and len(observation.frames) == 32 == len(episode.prompt_frames)
    assert observation.remaining == Remaining(8, 32) and observation.text.endswith("Left: 8 calls, 32 frames.")


def test_captions_take_no_frames_and_show_none_with_the_question():
    task = fake_task()
    episode = Episode(task.item, task.gold, FakeVideo(), EnvConfig("captions", paper_budget(), prompts=TINY))
    assert episode.start().frames is None
    episode.apply(replace(LOOK, name="caption_zoom"))
    assert episode.remaining == Remaining(7, 64)


def test_every_action_but_an_answer_costs_a_call():
    episode, outcomes = play(LOOK, ToolCall("nonsense"), "what?")
    assert [outcome.observation.remaining.calls for outcome in outcomes] == [2, 1, 0]
    assert [outcome.error for outcome in outcomes] == [None, "tool_error", "malformed"]
    assert outcomes[-1].observation.text.endswith("\nLeft: 0 calls. Answer now.")
    outcome = episode.apply(Answer("47"))
    assert (outcome.stop, outcome.reward, episode.remaining.calls) == (StopReason.ANSWERED, 1.0, 0)


@pytest.mark.parametrize("last", [LOOK, Malformed("?", "?")])
def test_one_more_call_after_the_last_ends_the_episode_without_an_answer(last: Action):
    episode, outcomes = play(LOOK, LOOK, ToolCall("subtitle_summary", {"query": "a"}), last)
    assert outcomes[2].stop is None
    assert (outcomes[3].stop, outcomes[3].reward, outcomes[3].error) == (StopReason.OUT_OF_CALLS, 0.0, "over_budget")
    assert episode.answer is None and episode.correct is False
    assert episode.reading.status is AnswerStatus.UNPARSED and episode.reward_terms()["format"] == 0.0


def test_a_zoom_shows_what_the_budget_still_holds_and_then_nothing_is_rendered():
    watched = Watched()
    task = fake_task()
    budget = BudgetConfig(max_calls=8, max_frames=3, frames_per_zoom=2)
    episode = Episode(task.item, task.gold, watched, EnvConfig(budget=budget))
    episode.start()
    outcomes = [episode.apply(LOOK) for _ in range(3)]
    assert [outcome.observation.remaining.frames for outcome in outcomes] == [1, 0, 0]
    assert [outcome.error for outcome in outcomes] == [None, None, "over_budget"]
    assert "frames needed: 1, left: 0" in outcomes[2].observation.text
    crop = episode.apply(ToolCall("spatial_zoom", {"time_s": 5, "box": [0, 0, 1, 1]}))
    assert crop.error == "over_budget" and watched.rendered == 3


class Watched(FakeVideo):
    """Counts the frames that are rendered."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "rendered", 0)

    rendered: int

    def frames_at(self, times_s: Any) -> FrameBatch:
        object.__setattr__(self, "rendered", self.rendered + len(times_s))
        return super().frames_at(times_s)


def wasteful(episode: Any) -> View:
    """Show a hundred frames."""
    return View("look", episode.video.frames_at(list(range(100))))


def echo(episode: Any, text: str = "") -> str:
    """Say it again.

    Args:
        text: What to say.
    """
    return text


def broken(episode: Any) -> str:
    """Fail."""
    raise TypeError("our bug")


def with_tools(*functions: Any) -> Episode:
    task = fake_task()
    tools = tuple(Tool.of(function) for function in functions)
    episode = Episode(task.item, task.gold, FakeVideo(), EnvConfig(budget=SMALL, prompts=TINY), tools)
    episode.start()
    return episode


def test_a_tool_of_ones_own_cannot_show_more_frames_than_are_left():
    episode = with_tools(wasteful)
    outcome = episode.apply(ToolCall("wasteful"))
    assert outcome.error == "over_budget" and outcome.observation.frames is None
    assert episode.remaining.frames == 5


def test_a_tool_of_ones_own_may_return_text():
    assert with_tools(echo).apply(ToolCall("echo", {"text": "hi"})).observation.text.startswith("hi\nLeft: 2 calls")


def wordless(episode: Any) -> int:
    """Return neither a view nor a text."""
    return 5


def test_a_tool_that_returns_neither_text_nor_view_is_a_bug_that_is_named():
    with pytest.raises(TypeError, match="tool wordless returned int: need str or View"):
        with_tools(wordless).apply(ToolCall("wordless"))


def test_a_bug_in_a_tool_is_loud_and_makes_the_episode_invalid():
    episode = with_tools(broken)
    with pytest.raises(TypeError, match="our bug"):
        episode.apply(ToolCall("broken"))
    assert episode.invalid == "TypeError: our bug" and episode.stop is None


def test_a_video_that_breaks_makes_the_episode_invalid_and_is_never_an_observation():
    task = fake_task()
    episode = Episode(task.item, task.gold, FakeVideo(broken_from_s=100), EnvConfig(budget=SMALL, prompts=TINY))
    episode.start()
    with pytest.raises(DataError, match="nothing can be decoded"):
        episode.apply(LOOK)
    assert episode.invalid is not None and "nothing can be decoded" in episode.invalid
    assert (episode.stop, episode.correct, episode.reward, episode.reward_terms()) == (None, None, 0.0, {})
    with pytest.raises(EpisodeOver):
        episode.apply(Answer("47"))


def test_a_video_that_breaks_at_the_start_makes_the_episode_invalid():
    task = fake_task()
    episode = Episode(task.item, task.gold, FakeVideo(broken_from_s=0), EnvConfig(budget=paper_budget(), prompts=TINY))
    with pytest.raises(DataError):
        episode.start()
    assert episode.invalid is not None
    with pytest.raises(EpisodeOver):
        episode.start()


def test_an_episode_is_used_once():
    task = fake_task()
    episode = Episode(task.item, task.gold, FakeVideo(), EnvConfig())
    with pytest.raises(EpisodeOver):
        episode.apply(LOOK)
    episode.start()
    with pytest.raises(EpisodeOver):
        episode.start()
    episode.apply(Answer("47"))
    with pytest.raises(EpisodeOver):
        episode.apply(Answer("47"))


def test_turns_name_the_frames_that_were_shown_and_what_was_viewed():
    episode, _ = play(LOOK, ToolCall("spatial_zoom", {"time_s": 330.5, "box": [0, 0, 0.5, 1]}))
    assert episode.turns[0].frames == (FrameRef("fake", 325.0, None, (32, 32)), FrameRef("fake", 335.0, None, (32, 32)))
    assert episode.turns[0].viewed == (Interval(320, 340),)
    assert episode.turns[1].frames == (FrameRef("fake", 330.0, Box(0, 0, 0.5, 1), (32, 32)),)
    assert episode.turns[1].viewed == (Interval(330.5, 331.5),)


def test_captions_need_a_video_with_captions():
    task = fake_task()
    with pytest.raises(ConfigError, match="has no captions"):
        Episode(task.item, task.gold, FakeVideo(captions=None), EnvConfig("captions"))


@pytest.mark.parametrize(
    ("answer", "reward", "status"),
    [
        ("47", 1.0, "matched"),
        ("B", 1.0, "matched"),
        ("A", 0.0, "matched"),
        ("A. 47", 0.0, "ambiguous"),
        ("?", 0.0, "unparsed"),
    ],
)
def test_the_reward_is_paid_with_the_answer(answer: str, reward: float, status: str):
    episode, outcomes = play(LOOK, Answer(answer))
    assert [outcome.reward for outcome in outcomes] == [0.0, reward]
    assert episode.reading.status == status and episode.correct is (reward == 1.0)


def test_a_task_without_a_key_is_played_and_not_scored():
    episode = Episode(fake_task().item, None, FakeVideo(), EnvConfig())
    episode.start()
    outcome = episode.apply(Answer("47"))
    assert (outcome.stop, outcome.reward) == (StopReason.ANSWERED, 0.0)
    assert episode.correct is None and episode.reward_terms() == {}
