"""A curriculum draws questions by the policy's own success rate, repeats itself, and says when nothing is left."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vt_env.config import BudgetConfig
from vt_env.errors import ConfigError
from vt_env.integrations.trl.checked_trainer import TrainingStopped
from vt_env.integrations.trl.curriculum import Curriculum, CurriculumConfig
from vt_env.integrations.trl.frame_budgets import check_frame_range, draw_frame_budget

NAMES = ("always", "half", "never", "new")


def made(**settings) -> Curriculum:
    curriculum = Curriculum(NAMES, CurriculumConfig(**settings), seed=1)
    curriculum.count([("always", True)] * 4 + [("half", True), ("half", False)] * 2 + [("never", False)] * 4)
    return curriculum


def drawn(curriculum: Curriculum, count: int = 1, steps: int = 400) -> Counter[str]:
    return Counter(name for step in range(steps) for name in curriculum.draw(count, step))


def test_learnability_draws_questions_that_are_sometimes_right():
    counts = drawn(made(explore=0.0))
    assert set(counts) == {"half", "new"} and abs(counts["half"] - counts["new"]) < 80


def test_prioritized_sampling_draws_by_the_share_of_wrong_answers():
    counts = drawn(made(rule="prioritized", explore=0.0))
    assert counts["always"] == 0 and counts["never"] == pytest.approx(200, abs=40)
    assert counts["half"] == pytest.approx(100, abs=40) and counts["new"] == pytest.approx(100, abs=40)


def test_exploring_draws_from_all():
    counts = drawn(made(explore=0.4))
    assert counts["always"] == pytest.approx(40, abs=25) and counts["never"] == pytest.approx(40, abs=25)


def test_success_is_taken_over_the_latest_rollouts():
    curriculum = made(window=2)
    curriculum.count([("never", True), ("never", True)])
    assert [curriculum.success_rate(it) for it in NAMES] == [1, 0.5, 1, None]


@given(st.integers(1, 9), st.integers(0, 5), st.sets(st.sampled_from(NAMES)))
def test_draws_repeat_themselves_and_ask_no_question_twice_while_there_are_others(
    count: int, step: int, without: set[str]
):
    curriculum = made(explore=0.0)
    first = curriculum.draw(count, step, without=sorted(without))
    assert first == curriculum.draw(count, step, without=sorted(without)) and len(first) == count
    head = first[: len(NAMES) - len(without)]
    assert len(set(head)) == len(head) and without.isdisjoint(head)


def test_without_a_rule_all_questions_are_alike():
    curriculum = Curriculum(NAMES, None, seed=0)
    curriculum.count([("always", True)] * 9)
    assert min(drawn(curriculum).values()) > 60


def test_a_curriculum_with_nothing_left_says_so_in_one_line():
    curriculum = Curriculum(("a", "b"), CurriculumConfig(), seed=0)
    curriculum.count([("a", True), ("b", False)])
    with pytest.raises(TrainingStopped) as error:
        curriculum.draw(1, step=7)
    text = str(error.value)
    assert text.startswith("step 7: curriculum=learnability has nothing left: of 2 questions 1 were right and 1 wrong")
    assert "\n" not in text and text.endswith("take other tasks, a higher temperature or no curriculum")


def test_a_state_that_is_saved_is_read_again(tmp_path):
    curriculum = made()
    curriculum.save(tmp_path / "checkpoint-3")
    other = Curriculum(NAMES, CurriculumConfig(), seed=1)
    other.load(tmp_path / "checkpoint-3")
    assert [other.success_rate(it) for it in NAMES] == [1, 0.5, 0, None]
    assert other.draw(3, 5) == curriculum.draw(3, 5)


def test_a_state_of_other_questions_or_of_none_is_refused(tmp_path):
    made().save(tmp_path)
    with pytest.raises(ConfigError, match="'always' is no question of this run"):
        Curriculum(("other",), CurriculumConfig(), seed=0).load(tmp_path)
    with pytest.raises(ConfigError, match="saved without a curriculum"):
        made().load(tmp_path / "elsewhere")


@pytest.mark.parametrize("wrong", [{"rule": "hard"}, {"window": 0}, {"explore": 1.0}, {"explore": -0.1}])
def test_settings_that_are_no_curriculum_are_refused(wrong):
    with pytest.raises(ConfigError):
        CurriculumConfig(**wrong)
    with pytest.raises(ConfigError, match="no question"):
        Curriculum((), CurriculumConfig(), seed=0)


def test_frame_budgets_cover_their_range_and_depend_on_seed_step_and_question():
    draws = Counter(draw_frame_budget((4, 8), 0, step, "q") for step in range(500))
    assert set(draws) == {4, 5, 6, 7, 8} and min(draws.values()) > 60
    assert draw_frame_budget((4, 8), 0, 3, "q") == draw_frame_budget((4, 8), 0, 3, "q")
    assert len({draw_frame_budget((1, 1000), *it) for it in ((0, 0, "q"), (1, 0, "q"), (0, 1, "q"), (0, 0, "p"))}) == 4


def test_a_range_of_frames_must_hold_a_look_and_fit_the_budget():
    budget = BudgetConfig(max_frames=16, frames_per_zoom=2, global_frames=4)
    check_frame_range((6, 16), budget)
    for wrong in ((5, 16), (6, 17), (8, 7)):
        with pytest.raises(ConfigError, match="need 6"):
            check_frame_range(wrong, budget)
