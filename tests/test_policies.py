"""Language models as rows of the table: one turn or many, and an honest count of what they cannot answer."""

from dataclasses import replace

import pytest

from experiments.evaluate import EvalRun, play_batch
from experiments.metrics import policy_row
from experiments.policies import ModelConfig, Seat, build_policy
from vt_env.testing import FakeLibrary, fake_task
from vt_env.types import StopReason

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> ModelConfig:
    """A tiny model with random weights: it writes, but never an answer."""
    from experiments.tiny.model import build_model
    from experiments.tiny.processor import build_processor

    folder, processor = tmp_path_factory.mktemp("checkpoint"), build_processor()
    build_model(processor.tokenizer, seed=3).save_pretrained(folder)
    processor.save_pretrained(folder)
    return ModelConfig(path=str(folder), max_new_tokens=6, uniform_frames=5)


def play(name, model, count=2):
    policy = build_policy(name, model, "default")
    seats = [Seat(fake_task(task_id=f"task-{n}"), seed=n) for n in range(count)]
    return policy, play_batch(policy, seats, FakeLibrary(), EvalRun(agent=name, model=model))


@pytest.mark.parametrize(("name", "frames"), [("blind", 0), ("uniform", 5)])
def test_a_one_turn_policy_sees_its_frames_at_once_and_has_no_tools(model, name, frames):
    policy, episodes = play(name, model)
    assert policy.tools == ()
    assert [len(it.frames) for it in episodes] == [frames] * 2
    assert all(it.turns[0].text == it.turns[-1].text for it in episodes)


def test_what_a_model_without_the_format_writes_counts_as_no_answer(model):
    _, episodes = play("base", model, count=3)
    row = policy_row("base", episodes)
    assert (row.n, row.accuracy, row.no_answer_rate) == (3, 0.0, 1.0)
    assert {it.stop for it in episodes} == {StopReason.OUT_OF_CALLS} and row.invalid_rate > 0.8


def test_a_reply_depends_on_the_seed_of_its_episode_only_where_it_is_sampled(model):
    _, (first, second) = play("base", model)
    assert first.turns == second.turns
    _, (first, second) = play("base", replace(model, temperature=1.0))
    assert first.turns != second.turns


def test_a_folder_without_a_checkpoint_is_refused_in_one_line(tmp_path):
    from vt_env.errors import ConfigError

    with pytest.raises(ConfigError, match="no checkpoint with a processor") as refusal:
        build_policy("sft", ModelConfig(path=str(tmp_path)), "default")
    assert "\n" not in str(refusal.value)
