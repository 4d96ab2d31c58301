"""Reward: every term by its formula, weights by name, and nothing paid that is not a number."""

from typing import Any

import pytest

from vt_env.actions.parse import parse_action
from vt_env.config import BudgetConfig, EnvConfig, RewardConfig
from vt_env.episode.episode import Episode
from vt_env.errors import ConfigError
from vt_env.rewards.reward import TERMS, FinishedEpisode, resolve_rewards
from vt_env.testing import FakeVideo, fake_task
from vt_env.types import Action, Answer, Interval, SubtitleLine, ToolCall

SMALL = BudgetConfig(max_calls=3, max_frames=5, frames_per_zoom=2)
LOOK = ToolCall("frame_zoom", {"start_s": "05:20", "end_s": "05:40"})


def terms_of(*actions: Action | str) -> dict[str, float]:
    task = fake_task()
    episode = Episode(task.item, task.gold, FakeVideo(), EnvConfig(budget=SMALL))
    episode.start()
    for action in actions:
        episode.apply(parse_action(action) if isinstance(action, str) else action)
    return episode.reward_terms()


def test_reward_terms_follow_their_formulas():
    # Evidence is 320-346, viewed is 320-340: intersection 20 s, union 26 s. One of three calls was spent, two of five
    # frames.
    seen = {"evidence": 20 / 26, "evidence_f1": 40 / 46, "spatial_evidence": 0}
    spent = {"cost": -1 / 3, "frame_cost": -2 / 5, "redundancy": 0, "no_option": 0}
    assert terms_of(LOOK, Answer("47")) == pytest.approx({"accuracy": 1, "format": 1, **seen, **spent})
    unseen = {"evidence": 0, "evidence_f1": 0, "spatial_evidence": 0, "cost": -1 / 3, "frame_cost": 0, "redundancy": 0}
    assert terms_of("?", Answer("12")) == pytest.approx({"accuracy": 0, "format": 0, "no_option": 0, **unseen})


def reward_of(answer: str, rewards: str) -> float:
    task = fake_task()
    episode = Episode(task.item, task.gold, FakeVideo(), EnvConfig(rewards=resolve_rewards(rewards)))
    episode.start()
    return episode.apply(Answer(answer)).reward


def test_an_answer_that_is_no_option_costs_its_weight_and_a_wrong_option_nothing():
    assert [reward_of(it, "default,no_option=0.2") for it in ("47", "12", "perhaps")] == [1.0, 0.0, -0.2]
    assert [reward_of(it, "default") for it in ("47", "12", "perhaps")] == [1.0, 0.0, 0.0]


def test_an_episode_without_an_answer_costs_the_weight_of_no_option():
    assert terms_of("?", "?", "?", "?")["no_option"] == -1


def test_viewing_everything_earns_little_evidence_and_viewing_twice_counts_once():
    everything = ToolCall("frame_zoom", {"start_s": 0, "end_s": 600})
    assert terms_of(everything, Answer("47"))["evidence"] == pytest.approx(26 / 600)
    assert terms_of(LOOK, LOOK, Answer("47"))["evidence"] == pytest.approx(20 / 26)
    inside = ToolCall("frame_zoom", {"start_s": "05:25", "end_s": "05:30"})
    assert terms_of(LOOK, inside, Answer("47"))["evidence"] == pytest.approx(20 / 26)


def test_reading_subtitles_where_nobody_speaks_is_no_evidence():
    silent = ToolCall("subtitle_zoom", {"start_s": "05:20", "end_s": "05:46"})
    assert terms_of(silent, Answer("47"))["evidence"] == 0
    task = fake_task()
    video = FakeVideo(subtitle_lines=(SubtitleLine(Interval(310, 330), "a red square"),))
    episode = Episode(task.item, task.gold, video, EnvConfig(budget=SMALL))
    episode.start()
    episode.apply(silent)
    # What was said about 320 to 330 counts, what was said before was not asked for.
    assert [turn.viewed for turn in episode.turns] == [(Interval(320, 330),)]


def test_looking_where_no_caption_describes_anything_is_no_evidence():
    task, video = fake_task(), FakeVideo(captions=(SubtitleLine(Interval(0, 5), "black"),))
    episode = Episode(task.item, task.gold, video, EnvConfig("captions", budget=SMALL))
    episode.start()
    for call in (
        ToolCall("caption_zoom", {"start_s": "05:20", "end_s": "05:46"}),
        ToolCall("spatial_zoom", {"time_s": "05:25", "box": [0, 0, 1, 1]}),
        ToolCall("caption_zoom", {"start_s": "00:00", "end_s": "00:04"}),
    ):
        episode.apply(call)
    assert [turn.viewed for turn in episode.turns] == [(), (), (Interval(0, 4),)]


def test_frames_are_dear_as_shares_of_those_that_could_be_asked_for():
    # A budget of 32 global frames for a video that has 10: they are shown, and cost nothing.
    task, budget = fake_task(), BudgetConfig(max_calls=3, max_frames=40, frames_per_zoom=8, global_frames=32)
    episode = Episode(task.item, task.gold, FakeVideo(duration_s=10.0), EnvConfig(budget=budget))
    episode.start()
    shown = len(episode.prompt_frames)
    episode.apply(ToolCall("frame_zoom", {"start_s": "00:00", "end_s": "00:10"}))
    episode.apply(Answer("47"))
    asked = len(episode.turns[0].frames)
    assert shown == 10 and episode.reward_terms()["frame_cost"] == pytest.approx(-asked / (40 - shown))


def answered_early(finished: FinishedEpisode) -> float:
    """Return 1 if no call was spent."""
    return float(finished.remaining.calls == finished.budget.max_calls)


def test_a_reward_term_of_ones_own_is_weighted_and_reported():
    rewards = RewardConfig({"accuracy": 1.0, "early": 0.5, "cost": 0.0}, {"early": answered_early})
    task = fake_task()
    episode = Episode(task.item, task.gold, FakeVideo(), EnvConfig(rewards=rewards))
    episode.start()
    assert episode.apply(Answer("47")).reward == 1.5
    assert set(episode.reward_terms()) == {*TERMS, "early"}


def test_the_presets_default_and_paper_pay_accuracy_only():
    assert resolve_rewards("default").weights == resolve_rewards("paper").weights == {"accuracy": 1.0}


@pytest.mark.parametrize(
    ("rewards", "message"),
    [
        ("papr", "allowed are"),
        ("defualt,no_option=1", "did you mean 'default'"),
        ("default,no_option=much", "no_option is 'much'; need a number, such as no_option=0.2"),
        ("default,no_opton=1", "did you mean 'no_option'"),
        ("default,no_option=-1", "for built-in terms 0 or more"),
        (RewardConfig({"acuracy": 1.0}), "did you mean 'accuracy'"),
        (RewardConfig(terms={"cost": answered_early}), "built in; rename yours"),
        (RewardConfig({"accuracy": 1.0, "cost": -0.1}), "for built-in terms 0 or more"),
        (RewardConfig({"accuracy": float("inf")}), "need a finite number"),
        (RewardConfig({"accuracy": 0.2, "cost": 0.2, "redundancy": 0.1}), "right answer could earn less than a wrong"),
    ],
)
def test_rewards_that_do_not_exist_are_refused(rewards: Any, message: str):
    with pytest.raises(ConfigError, match=message):
        resolve_rewards(rewards)


def test_penalties_may_add_up_to_accuracy_in_decimal_fractions():
    penalties = {"cost": 0.1, "frame_cost": 0.1, "redundancy": 0.1}
    assert sum(penalties.values()) > 0.3
    resolve_rewards(RewardConfig({"accuracy": 0.3, **penalties}))


def test_a_reward_term_that_is_no_number_is_an_error_and_not_a_reward():
    rewards = RewardConfig(terms={"bad": lambda finished: float("nan")})
    task = fake_task()
    episode = Episode(task.item, task.gold, FakeVideo(), EnvConfig(rewards=rewards))
    episode.start()
    with pytest.raises(ConfigError, match="'bad' returned nan"):
        episode.apply(Answer("47"))
    assert episode.invalid is not None and episode.stop is None
