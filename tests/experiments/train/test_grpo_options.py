"""Options of GRPO runs: off by default, evaluations at the right steps, refusals in one line."""

from dataclasses import replace

import pytest

pytest.importorskip("trl", reason="needs the train extra")

from experiments.runs.read_run import CONFIG, read_json
from experiments.runs.run_dir import open_run, resolve, write_json
from experiments.train.grpo_arguments import grpo_arguments
from experiments.train.grpo_config import GRPORun
from experiments.train.grpo_evaluation import evaluates_after, evaluation_record, evaluation_tasks
from experiments.train.grpo_metrics import step_record
from experiments.train.grpo_options import OPTIONS_IF_MISSING, evaluation_sizes
from experiments.train.grpo_step_times import StepTimes
from vt_env.errors import ConfigError
from vt_env.integrations.trl import CurriculumConfig, EpisodeTrainerConfig
from vt_env.integrations.trl.zero_advantage import MIXED_GROUPS, SAMPLED, SILENT_GROUPS

SMALL = GRPORun(prompts_per_step=2, group_size=4, micro_batch=4, steps=10)
"""Eight rollouts a step."""


def test_all_options_are_off_by_default():
    assert GRPORun().trainer_options() == EpisodeTrainerConfig()
    assert GRPORun().sampled_rollouts == 48


def test_options_reach_the_trainer():
    told = replace(
        SMALL, advantage_estimator="rloo", dynamic_sampling=24, curriculum="prioritized", curriculum_window=4,
        frame_budgets=(4, 8), eval_every=80, shuffle_rewards=True,
    )  # fmt: skip
    curriculum = CurriculumConfig(rule="prioritized", window=4)
    assert told.trainer_options() == EpisodeTrainerConfig(
        advantage_estimator="rloo", dynamic_sampling=24, curriculum=curriculum, frame_budgets=(4, 8), evaluate_kl=True,
        shuffle_rewards=True,
    )  # fmt: skip
    assert told.sampled_rollouts == 24


def test_a_run_keeps_the_checkpoints_that_it_averages(tmp_path):
    assert grpo_arguments(replace(SMALL, out=tmp_path)).save_total_limit == 1
    assert grpo_arguments(replace(SMALL, out=tmp_path, save_steps=2, average_last=3)).save_total_limit == 3


def test_a_run_is_evaluated_where_its_rollouts_pass_a_multiple_and_at_its_end():
    run = replace(SMALL, eval_every=20)
    # After step s, 8 s rollouts were trained on: 20, 40 and 60 are passed in steps 3, 5 and 8.
    assert [step for step in range(1, 11) if evaluates_after(run, step)] == [3, 5, 8, 10]
    assert not any(evaluates_after(SMALL, step) for step in range(1, 11))


def test_evaluations_are_played_in_equal_batches(tmp_path):
    assert evaluation_sizes(available=200, wanted=96, unit=16, rollouts=48) == (96, 48)
    assert evaluation_sizes(available=70, wanted=96, unit=16, rollouts=48) == (64, 16)
    with pytest.raises(ConfigError, match="eval_tasks=100: need a multiple of 16"):
        evaluation_sizes(200, 100, 16, 48)
    with pytest.raises(ConfigError, match="the split has 9 tasks; need 16 or more"):
        evaluation_sizes(9, 96, 16, 48)
    args = grpo_arguments(replace(SMALL, out=tmp_path, eval_every=8), evaluated=12)
    assert (args.per_device_eval_batch_size, args.num_generations_eval, args.eval_on_start) == (4, 1, True)


def test_tasks_of_evaluations_are_not_trained_on():
    with pytest.raises(ConfigError, match="eval_split=train: that is trained on"):
        evaluation_tasks(replace(SMALL, eval_every=8, eval_split="train"))
    assert evaluation_tasks(SMALL) is None
    assert len(evaluation_tasks(replace(SMALL, eval_every=8, eval_tasks=8))) == 8


LOGS = {
    "eval_reward": 0.5, "eval_terms/accuracy": 0.5, "eval_terms/no_option": -0.25, "eval_episode/calls": 2.0,
    "eval_episode/frames": 1.5, "eval_entropy": 0.3, "eval_kl": 0.01, "eval_completions/mean_length": 40.0,
    "eval_families/needle": 1.0, "eval_loss": 9.0,
}  # fmt: skip


def test_an_evaluation_is_one_line_of_metrics():
    line = evaluation_record(3, LOGS, StepTimes(), SMALL)
    assert line == {
        "step": 3,
        "eval": {
            "accuracy": 0.5, "reward": 0.5, "calls": 2.0, "frames": 1.5, "entropy": 0.3, "kl": 0.01, "tokens": 40.0,
            "no_answer": 0.25, "rollouts": 24, "families": {"needle": 1.0}, "seconds": 0.0,
        },
    }  # fmt: skip
    assert step_record(3, LOGS, StepTimes(), SMALL) is None
    assert evaluation_record(3, {"reward": 0.5}, StepTimes(), SMALL) is None


def test_a_step_counts_the_rollouts_that_it_sampled():
    logs = {
        "reward": 0.5, "completions/mean_length": 10.0, "completions/clipped_ratio": 0.0, "entropy": 0.1, "loss": 0.0,
        "grad_norm": 0.0, "sampling/sampling_logp_difference/mean": 0.0, "sampling/sampling_logp_difference/max": 0.0,
        SILENT_GROUPS: 0.0,
    }  # fmt: skip
    plain = step_record(1, logs, StepTimes(), SMALL)
    assert plain["rollouts"] == 8 and plain["sampled_tokens"] == 80 and "mixed_groups" not in plain
    refilled = step_record(1, {**logs, SAMPLED: 24.0, MIXED_GROUPS: 0.3}, StepTimes(), SMALL)
    assert refilled["rollouts"] == 24 and refilled["sampled_tokens"] == 240 and refilled["mixed_groups"] == 0.3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dynamic_sampling": 11}, "give 12 or more"),
        ({"advantage_estimator": "rloo", "scale_rewards": "batch"}, "it scales GRPO's advantages alone"),
        ({"average_last": 2}, "10 steps with save_steps=20 make 1 checkpoint"),
        ({"average_last": 2, "save_steps": 5, "lora": 4}, "the mean of adapters is not that of weights"),
        ({"curriculum": "learnability", "curriculum_explore": 1.0}, "explore=1.0"),
        ({"curriculum_window": 0}, "curriculum_window=0"),
        ({"eval_every": 0}, "eval_every=0"),
        ({"rewards": "default,no_opton=1"}, "did you mean 'no_option'"),
    ],
)
def test_options_that_cannot_be_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message) as error:
        replace(SMALL, **wrong)
    assert "\n" not in str(error.value)


def test_a_run_begun_before_there_were_options_goes_on_and_not_with_another_one(tmp_path):
    run = replace(SMALL, out=tmp_path)
    before = {name: value for name, value in resolve(run).items() if name not in OPTIONS_IF_MISSING}
    with open_run(tmp_path, "grpo", run):
        pass
    write_json(tmp_path / CONFIG, {**before, "run": "grpo"})
    assert "curriculum" not in read_json(tmp_path / CONFIG)
    with open_run(tmp_path, "grpo", run, absent=OPTIONS_IF_MISSING):
        pass
    other = replace(run, curriculum="learnability")
    with (
        pytest.raises(ConfigError, match="curriculum='none', now curriculum='learnability'"),
        open_run(tmp_path, "grpo", other, absent=OPTIONS_IF_MISSING),
    ):
        pass
