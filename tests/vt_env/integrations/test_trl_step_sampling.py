"""Rollouts of a step: silent groups are refilled, a curriculum chooses questions, evaluations change nothing."""

from collections import Counter
from math import isnan

import pytest

pytest.importorskip("trl", reason="needs the train extra")

import torch
from support.scripted_training import RIGHT, WRONG, build_scripted, equal_weights, weights_of
from transformers import AutoModelForImageTextToText

from vt_env.errors import ConfigError
from vt_env.integrations.trl import CurriculumConfig, EpisodeTrainerConfig
from vt_env.integrations.trl.checked_trainer import TrainingStopped
from vt_env.integrations.trl.step_sampling import shuffle_rewards
from vt_env.integrations.trl.zero_advantage import MIXED_GROUPS, SAMPLED, SILENT_GROUPS
from vt_env.testing import fake_tasks

pytestmark = pytest.mark.slow

SILENT_THEN_MIXED = ((WRONG,), (RIGHT, WRONG))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Watched:
    """A trainer's rollouts by step, and the batches of its updates."""

    def __init__(self) -> None:
        self.rollouts, self.batches = [], []

    def record(self, step, trajectories):
        self.rollouts.append((step, list(trajectories)))


@pytest.fixture(scope="module")
def refilled(tmp_path_factory):
    """Two steps; all groups of the first sample are silent, those of the refill are mixed."""
    watched = Watched()
    config = EpisodeTrainerConfig(
        dynamic_sampling=16, frame_budgets=(2, 8), curriculum=CurriculumConfig(window=8), shuffle_rewards=False
    )
    out = tmp_path_factory.mktemp("refilled")
    watched.trainer = build_scripted(out, SILENT_THEN_MIXED, config, record=watched.record, tasks=6)
    watched.trainer.batch_observers.append(lambda batch: watched.batches.append(dict(batch)))
    watched.trainer.train()
    return watched


def logs_of(watched):
    return [it for it in watched.trainer.state.log_history if "reward" in it]


def test_silent_groups_are_replaced_by_groups_of_other_questions(refilled):
    for step, log in enumerate(logs_of(refilled)):
        assert log[SAMPLED] == 16 and log[MIXED_GROUPS] == 0.5 and log[SILENT_GROUPS] == 0
        # The mean is over all that was sampled: a quarter was right.
        assert log["reward"] == pytest.approx(0.25)
        first, second = [rollouts for at, rollouts in refilled.rollouts if at == step]
        assert {it.task_id for it in first}.isdisjoint({it.task_id for it in second})


def test_what_is_trained_on_is_the_mixed_groups_alone(refilled):
    advantages = [it for batch in refilled.batches for it in batch["advantages"].tolist()]
    assert len(advantages) == 2 * 8 and all(advantages)
    tokens = [int((it["completion_mask"] * it.get("tool_mask", 1)).sum()) for it in refilled.batches]
    assert sum(tokens[:4]) == int(refilled.batches[0]["num_items_in_batch"])


def test_frame_budgets_are_drawn_within_the_range_and_alike_in_a_group(refilled):
    played = [rollouts for _, rollouts in refilled.rollouts]
    for rollouts in played:
        budgets = {it.task_id: set() for it in rollouts}
        for it in rollouts:
            budgets[it.task_id].add(it.max_frames)
            assert it.remaining.frames + len(it.frames) == it.max_frames
        assert all(len(own) == 1 and 2 <= next(iter(own)) <= 8 for own in budgets.values())
    assert len({it.max_frames for rollouts in played for it in rollouts}) > 1


def test_a_curriculum_goes_on_where_its_checkpoint_left_it(refilled, tmp_path):
    checkpoint = f"{refilled.trainer.args.output_dir}/checkpoint-1"
    watched = Watched()
    again = build_scripted(tmp_path, SILENT_THEN_MIXED, refilled.trainer._config, record=watched.record, tasks=6)
    again.train(resume_from_checkpoint=checkpoint)
    assert [Counter(it.task_id for it in own) for _, own in watched.rollouts] == [
        Counter(it.task_id for it in own) for step, own in refilled.rollouts if step == 1
    ]
    assert equal_weights(weights_of(refilled.trainer), weights_of(again))


def test_a_curriculum_is_not_resumed_from_a_checkpoint_without_one(tmp_path):
    (tmp_path / "checkpoint-1").mkdir()
    (tmp_path / "checkpoint-1" / "trainer_state.json").write_text('{"epoch": 0}')
    trainer = build_scripted(tmp_path, config=EpisodeTrainerConfig(curriculum=CurriculumConfig()))
    with pytest.raises(ConfigError, match="saved without a curriculum"):
        trainer.train(resume_from_checkpoint=True)


def test_refills_end_at_the_cap_and_silent_groups_that_are_left_teach_nothing(tmp_path):
    trainer = build_scripted(tmp_path, ((WRONG,),), EpisodeTrainerConfig(dynamic_sampling=20), max_steps=1)
    before = weights_of(trainer)
    trainer.train()
    (log,) = [it for it in trainer.state.log_history if "reward" in it]
    # 8, and 8 more; for another group 4 are left, which make 20.
    assert log[SAMPLED] == 20 and log[MIXED_GROUPS] == 0 and log[SILENT_GROUPS] == 1
    assert equal_weights(before, weights_of(trainer))


@pytest.mark.parametrize("estimator", ["rloo", "reinforce_plus_plus"])
def test_other_estimators_replace_the_advantages(tmp_path, estimator):
    config = EpisodeTrainerConfig(advantage_estimator=estimator, drop_zero_advantage=False)
    trainer = build_scripted(tmp_path, ((RIGHT, WRONG, WRONG, WRONG, RIGHT, RIGHT, RIGHT, RIGHT),), config, max_steps=1)
    seen: list[float] = []
    trainer.batch_observers.append(lambda batch: seen.extend(batch["advantages"].tolist()))
    trainer.train()
    deviation = torch.tensor([1.0, 0, 0, 0, 1, 1, 1, 1]).std().item() + 1e-4
    right, wrong = (1 - 5 / 8) / deviation, -5 / 8 / deviation
    wanted = {"rloo": [1.0, *[-1 / 3] * 3, *[0.0] * 4], "reinforce_plus_plus": [*[right] * 5, *[wrong] * 3]}
    assert sorted(seen) == pytest.approx(sorted(wanted[estimator]))


def test_an_estimator_that_does_not_scale_by_groups_is_not_told_to(tmp_path):
    with pytest.raises(ConfigError, match="scale_rewards=none with advantage_estimator=rloo"):
        build_scripted(tmp_path, config=EpisodeTrainerConfig(advantage_estimator="rloo"), scale_rewards="none")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"dynamic_sampling": 11}, "give 12 or more"),
        ({"frame_budgets": (0, 4)}, "frame_budgets=0 4: need 1"),
        ({"frame_budgets": (4, 2)}, "the fewest first"),
        ({"frame_budgets": (4, 9)}, "max_frames=8 or less"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, config, message):
    with pytest.raises(ConfigError, match=message):
        build_scripted(tmp_path, config=EpisodeTrainerConfig(**config))


def test_evaluations_change_nothing_and_measure_the_divergence_from_the_start(tmp_path):
    plain = build_scripted(tmp_path / "plain", max_steps=1)
    plain.model.save_pretrained(tmp_path / "start")
    plain.train()
    watched = Watched()
    trainer = build_scripted(
        tmp_path / "evaluated",
        config=EpisodeTrainerConfig(evaluate_kl=True),
        model=AutoModelForImageTextToText.from_pretrained(tmp_path / "start"),
        record=watched.record,
        evaluated=fake_tasks(4),
        max_steps=1,
        eval_strategy="steps",
        eval_steps=1,
        eval_on_start=True,
        num_generations_eval=1,
        per_device_eval_batch_size=4,
    )
    trainer.train()
    assert equal_weights(weights_of(plain), weights_of(trainer))
    assert "kl" not in next(it for it in trainer.state.log_history if "reward" in it)
    evaluations = [it for it in trainer.state.log_history if "eval_reward" in it]
    assert [it["step"] for it in evaluations] == [0, 1]
    # Of four rollouts the last answers at once, and of the three that called two are right.
    assert all(it["eval_terms/accuracy"] == 0.5 and it["eval_episode/calls"] == 0.75 for it in evaluations)
    at_start, after_a_step = (it["eval_kl"] for it in evaluations)
    assert at_start == pytest.approx(0, abs=1e-6) and after_a_step > 1e-6
    assert all(it["eval_entropy"] > 0 for it in evaluations)
    # Evaluations are no rollouts of the run.
    assert [len(own) for _, own in watched.rollouts] == [8]


def test_shuffled_rewards_are_the_same_rewards_in_another_order():
    nan = float("nan")
    rewards = torch.tensor([[0.0], [1.0], [nan], [2.0], [3.0], [4.0], [5.0]])
    shuffled = shuffle_rewards(rewards, seed=0, step=3, draw=0)
    assert isnan(shuffled[2]) and sorted(shuffled[~shuffled.isnan()].tolist()) == [0, 1, 2, 3, 4, 5]
    assert not torch.equal(shuffled.nan_to_num(9), rewards.nan_to_num(9))
    torch.testing.assert_close(shuffle_rewards(rewards, 0, 3, 0), shuffled, equal_nan=True)
    assert any(
        not torch.equal(shuffle_rewards(rewards, 0, 4, it).nan_to_num(9), shuffled.nan_to_num(9)) for it in (0, 1)
    )


def test_a_step_of_shuffled_rewards_trains_on_them_and_reports_their_mean(tmp_path):
    turns = ((*[RIGHT] * 4, *[WRONG] * 4),)
    trainer = build_scripted(tmp_path, turns, EpisodeTrainerConfig(shuffle_rewards=True), max_steps=1)
    trainer.train()
    (log,) = [it for it in trainer.state.log_history if "reward" in it]
    # Of the two groups one is right and one wrong, so nothing but a permutation makes them differ within.
    assert log[SILENT_GROUPS] < 1 and log["reward"] == log["terms/accuracy"] == 0.5


def test_a_curriculum_with_nothing_left_says_so(tmp_path):
    config = EpisodeTrainerConfig(curriculum=CurriculumConfig(window=4))
    trainer = build_scripted(tmp_path, ((WRONG,),), config)
    with pytest.raises(
        TrainingStopped, match="step 1: curriculum=learnability has nothing left: of 2 questions 0 were"
    ):
        trainer.train()
