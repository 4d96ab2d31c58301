"""The storyboard shows the question, the calls and the frames, at a fixed size where one is asked for."""

import numpy as np
import pytest

from vt_env.actions.parse import parse_action
from vt_env.config import BudgetConfig, EnvConfig, paper_budget
from vt_env.envs.storyboard import draw_storyboard, transcript
from vt_env.episode.episode import Episode
from vt_env.testing import FakeVideo, fake_task
from vt_env.types import Answer, ToolCall

LOOK = ToolCall("frame_zoom", {"start_s": 320.0, "end_s": 340.0})


def started(budget: BudgetConfig) -> Episode:
    task = fake_task()
    episode = Episode(task.item, task.gold, FakeVideo(), EnvConfig(budget=budget))
    episode.start()
    return episode


def test_a_board_of_fixed_size_holds_any_number_of_turns():
    episode = started(BudgetConfig(max_calls=30, max_frames=200))
    for _ in range(25):
        episode.apply(LOOK)
        assert draw_storyboard(episode, (640, 480)).size == (640, 480)


def test_a_board_grows_with_the_episode_and_shows_the_pixels_of_its_frames():
    episode = started(BudgetConfig(max_calls=4, max_frames=16))
    empty = draw_storyboard(episode)
    episode.apply(LOOK)
    board = draw_storyboard(episode)
    assert board.width == empty.width and board.height > empty.height
    # Only frames are pure black or white, except where enlarging has blurred the borders between their stripes.
    pure = np.isin(np.asarray(board), (0, 255)).all(axis=2).sum()
    assert pure > 0.8 * 8 * 96 * 96 and not np.isin(np.asarray(empty), (0, 255)).all(axis=2).any()


def test_the_bar_is_dark_where_frames_were_seen_and_light_where_text_was_read():
    episode = started(BudgetConfig(max_calls=4, max_frames=16))
    episode.apply(LOOK)
    episode.apply(ToolCall("subtitle_zoom", {"start_s": 0.0, "end_s": 192.0}))
    pixels = np.asarray(draw_storyboard(episode))
    dark, light = (np.argwhere((pixels == rgb).all(axis=2)) for rgb in ((31, 95, 168), (169, 196, 228)))
    # 936 pixels of bar for 600 seconds.
    assert (dark[:, 1].min(), dark[:, 1].max()) == (12 + 320 * 936 // 600, 12 + 340 * 936 // 600)
    assert (light[:, 1].min(), light[:, 1].max()) == (12 + 190 * 936 // 600, 12 + 192 * 936 // 600)


def test_what_was_thought_stands_above_the_action():
    bare, thinking = (started(BudgetConfig(max_calls=4, max_frames=16)) for _ in range(2))
    bare.apply(parse_action("<answer>47</answer>"))
    thinking.apply(parse_action("square yes 47\n<answer>47</answer>"))
    assert draw_storyboard(thinking).height - draw_storyboard(bare).height == 18


@pytest.mark.parametrize("text", ["?" * 5000, "河内 🦜\n" * 40, "", "<answer>naïve</answer>"])
def test_whatever_a_policy_writes_can_be_drawn(text: str):
    episode = started(paper_budget())
    episode.apply(parse_action(text))
    assert draw_storyboard(episode, (960, 720)).size == (960, 720)


def test_the_transcript_holds_every_action_and_observation():
    episode = started(paper_budget())
    episode.apply(LOOK)
    episode.apply(Answer("47"))
    text = transcript(episode)
    assert "Question: " in text and text.endswith("> <answer>47</answer>\nThe episode is over.")
    assert all(turn.observation_text in text for turn in episode.turns)


def test_a_board_of_fixed_size_shows_what_was_done_however_many_frames_come_with_the_question():
    episode = started(paper_budget())
    boards = [draw_storyboard(episode, (960, 720))]
    for action in (LOOK, Answer("47")):
        episode.apply(action)
        boards.append(draw_storyboard(episode, (960, 720)))
    assert len({board.tobytes() for board in boards}) == 3
