"""No term can be farmed: whatever a policy does for a term's sake, it earns less than one that looks and answers."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vt_env.config import BudgetConfig, EnvConfig, RewardConfig
from vt_env.episode.episode import Episode
from vt_env.rewards.reward import TERMS, resolve_rewards
from vt_env.rewards.terms import BONUSES, PENALTIES
from vt_env.tasks.task_set import Task
from vt_env.testing import FakeVideo, fake_task
from vt_env.types import Action, Answer, Box, Malformed, ToolCall

BUDGET = BudgetConfig(max_calls=6, max_frames=12, frames_per_zoom=2)
AMPLE = BudgetConfig(max_calls=40, max_frames=100, frames_per_zoom=2)
GOLD_BOX = Box(0.2, 0.2, 0.6, 0.6)
RIGHT = Answer("47")

FIND = ToolCall("clip_retrieval", {"query": "red square"})
LOOK = ToolCall("frame_zoom", {"start_s": 320, "end_s": 340})
CLOSER = ToolCall("spatial_zoom", {"time_s": 330, "box": [0.2, 0.2, 0.6, 0.5]})
EVERYTHING = ToolCall("frame_zoom", {"start_s": 0, "end_s": 600})
WHOLE_FRAME = ToolCall("spatial_zoom", {"time_s": 330, "box": [0, 0, 1, 1]})
HONEST = [FIND, LOOK, CLOSER]

DEGENERATE: dict[str, list[Action]] = {
    "answer at once": [],
    "zoom everything": [EVERYTHING, WHOLE_FRAME],
    "tile everything": [ToolCall("frame_zoom", {"start_s": 100 * i, "end_s": 100 * (i + 1)}) for i in range(6)],
    "crop everything": [ToolCall("spatial_zoom", {"time_s": 330, "box": [i / 6, 0, (i + 1) / 6, 1]}) for i in range(6)],
    "repeat one call": [LOOK] * 6,
    "repeat one crop": [CLOSER] * 6,
    "ask in vain": [Malformed("?", "unreadable")] * 6,
}
SHAPING = [*BONUSES, *PENALTIES]


def boxed_task(answer_idx: int = 1) -> Task:
    task = fake_task(answer_idx)
    assert task.gold is not None
    return Task(task.item, replace(task.gold, evidence_boxes=(GOLD_BOX,)))


def play(task: Task, actions: Sequence[Action], rewards: RewardConfig, budget: BudgetConfig = BUDGET) -> Episode:
    episode = Episode(task.item, task.gold, FakeVideo(), EnvConfig(budget=budget, rewards=rewards))
    episode.start()
    for action in actions:
        if episode.stop is None:
            episode.apply(action)
    return episode


def paid(term: str) -> RewardConfig:
    return RewardConfig({"accuracy": 1.0, term: 0.5})


def mean_reward(actions: Sequence[Action], rewards: RewardConfig) -> float:
    """Mean over tasks whose gold is each option once, for a policy that always answers the same one."""
    return sum(play(boxed_task(idx), [*actions, Answer("47")], rewards).reward for idx in range(4)) / 4


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("rewards", [*map(paid, SHAPING), resolve_rewards("shaped")], ids=[*SHAPING, "shaped"])
def test_a_policy_that_plays_for_a_term_earns_less_than_one_that_finds_the_answer(rewards: RewardConfig, name: str):
    honest = play(boxed_task(), [*HONEST, RIGHT], rewards).reward
    assert mean_reward(DEGENERATE[name], rewards) < 0.6 * honest


@pytest.mark.parametrize("rewards", [*map(paid, SHAPING), resolve_rewards("shaped")], ids=[*SHAPING, "shaped"])
def test_calling_for_ever_earns_nothing(rewards: RewardConfig):
    assert play(boxed_task(), [LOOK, CLOSER] * 9, rewards).reward == 0.0


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("zoom everything", "evidence"),
        ("tile everything", "evidence"),
        ("zoom everything", "evidence_f1"),
        ("tile everything", "evidence_f1"),
        ("answer at once", "evidence"),
        ("answer at once", "evidence_f1"),
        ("answer at once", "spatial_evidence"),
        ("zoom everything", "spatial_evidence"),
        ("crop everything", "spatial_evidence"),
        ("repeat one call", "cost"),
        ("repeat one call", "frame_cost"),
        ("repeat one call", "redundancy"),
        ("repeat one crop", "redundancy"),
        ("ask in vain", "format"),
        ("ask in vain", "cost"),
    ],
)
def test_even_a_right_answer_earns_less_of_a_term_for_what_the_term_is_against(name: str, term: str):
    honest = play(boxed_task(), [*HONEST, RIGHT], paid(term)).reward
    assert play(boxed_task(), [*DEGENERATE[name], RIGHT], paid(term)).reward < honest


SPANS = st.tuples(st.integers(0, 590), st.integers(1, 600)).map(lambda it: (it[0], min(600, it[0] + it[1])))
EDGES = st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), min_size=2, max_size=2, unique=True).map(sorted)
CALLS = st.one_of(
    st.sampled_from([FIND, LOOK, CLOSER, EVERYTHING]),
    st.builds(
        lambda span, tool: ToolCall(tool, {"start_s": span[0], "end_s": span[1]}),
        SPANS,
        st.sampled_from(["frame_zoom", "subtitle_zoom"]),
    ),
    st.builds(
        lambda time_s, x, y: ToolCall("spatial_zoom", {"time_s": time_s, "box": [x[0], y[0], x[1], y[1]]}),
        st.integers(300, 360),
        EDGES,
        EDGES,
    ),
)
WEIGHTS = st.fixed_dictionaries({name: st.floats(0, 2) for name in BONUSES}).flatmap(
    lambda bonuses: st.fixed_dictionaries({name: st.floats(0, 0.3) for name in PENALTIES}).map(
        lambda penalties: {"accuracy": 1.0, **bonuses, **penalties}
    )
)


@given(st.lists(CALLS, min_size=1, max_size=6), st.data())
def test_making_a_call_again_raises_no_term(calls: list[Action], data: st.DataObject):
    again = data.draw(st.sampled_from(calls))
    once = play(boxed_task(), [*calls, RIGHT], RewardConfig(), AMPLE).reward_terms()
    twice = play(boxed_task(), [*calls, again, RIGHT], RewardConfig(), AMPLE).reward_terms()
    assert all(twice[name] <= once[name] + 1e-9 for name in TERMS)
    assert twice["redundancy"] < once["redundancy"] and twice["cost"] < once["cost"]


@given(st.lists(CALLS, max_size=7), st.sampled_from(["12", "?", "B"]), WEIGHTS)
def test_a_wrong_or_missing_answer_earns_exactly_nothing_and_a_right_one_never_less(
    calls: list[Action], answer: str, weights: dict[str, float]
):
    assume(sum(weights[name] for name in PENALTIES) <= 1.0)
    episode = play(boxed_task(), [*calls, Answer(answer)], resolve_rewards(RewardConfig(weights)))
    assert episode.reward == 0.0 if not episode.correct else episode.reward >= 0.0
    assert episode.reward <= 1.0 + sum(weights[name] for name in BONUSES)


@given(st.lists(CALLS, max_size=7))
def test_bonuses_lie_in_0_to_1_and_penalties_in_minus_1_to_0(calls: list[Action]):
    terms = play(boxed_task(), [*calls, RIGHT], RewardConfig()).reward_terms()
    assert all(-1e-9 <= terms[name] <= 1 + 1e-9 for name in BONUSES)
    assert all(-1 - 1e-9 <= terms[name] <= 1e-9 for name in PENALTIES)


def test_crops_are_measured_together_and_only_where_the_evidence_is():
    def term(*actions: Action) -> float:
        return play(boxed_task(), [*actions, RIGHT], RewardConfig(), AMPLE).reward_terms()["spatial_evidence"]

    whole_gold = ToolCall("spatial_zoom", {"time_s": 330, "box": [0.2, 0.2, 0.6, 0.6]})
    elsewhen = ToolCall("spatial_zoom", {"time_s": 100, "box": [0.2, 0.2, 0.6, 0.6]})
    assert term(whole_gold) == pytest.approx(1.0)
    assert term(CLOSER) == pytest.approx(0.12 / 0.16)
    assert term(elsewhen) == 0.0
    assert term(whole_gold, elsewhen) == pytest.approx(0.5)
    assert term(WHOLE_FRAME) == pytest.approx(0.16)


def test_narrowing_a_view_costs_little_and_moving_it_a_second_nearly_a_repetition():
    def term(*actions: Action) -> float:
        return play(boxed_task(), [*actions, RIGHT], RewardConfig(), AMPLE).reward_terms()["redundancy"]

    narrowed = ToolCall("frame_zoom", {"start_s": 328, "end_s": 330})
    moved = ToolCall("frame_zoom", {"start_s": 321, "end_s": 341})
    assert term(EVERYTHING, LOOK) == pytest.approx(-20 / 600 / 40)
    assert term(LOOK, narrowed) == pytest.approx(-2 / 20 / 40)
    assert term(LOOK, moved) == pytest.approx(-19 / 21 / 40)
    assert term(LOOK, ToolCall("subtitle_zoom", {"start_s": 320, "end_s": 340})) == 0.0
