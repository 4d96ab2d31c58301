"""Which prompt set a command plays with, and what is said where a model was trained on another one."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from agents.language.confidence_gate import GateConfig
from experiments.settings.models import BASE_MODEL, ModelConfig, PolicyServerConfig, checkpoint_hash
from experiments.settings.policies import model_path
from experiments.settings.prompts import (
    PROMPTS_FILE,
    choose_prompts,
    read_prompts_record,
    student_prompts,
    trajectory_prompts,
)
from vt_env.errors import ConfigError
from vt_env.profiles import FIELD, WORLD
from vt_env.prompts import DEFAULT, TINY, save_prompts

MINE = replace(DEFAULT, name="mine", no_clips="Nothing.")
BASE = str(BASE_MODEL)


def test_a_model_reads_what_it_was_trained_on_and_one_that_does_not_say_the_default(tmp_path: Path, capsys):
    save_prompts(MINE, tmp_path / PROMPTS_FILE)
    assert choose_prompts(None, BASE) == TINY
    assert choose_prompts(None, str(tmp_path)) == MINE
    assert choose_prompts(None, "Qwen/Qwen2.5-VL-7B-Instruct") == choose_prompts(None, None) == DEFAULT
    assert capsys.readouterr().err == ""


def test_another_set_than_the_model_s_is_taken_and_said_in_one_line(capsys):
    assert choose_prompts("default", BASE) == DEFAULT
    assert capsys.readouterr().err == f"note: {BASE} was trained on prompts tiny@1, now it reads default@3\n"
    assert choose_prompts("tiny", BASE) == TINY and capsys.readouterr().err == ""


def test_a_damaged_set_in_a_model_s_folder_is_refused(tmp_path: Path):
    (tmp_path / PROMPTS_FILE).write_text("{")
    with pytest.raises(ConfigError, match="need a JSON or TOML file"):
        choose_prompts(None, str(tmp_path))


@pytest.mark.parametrize("texts", [{**asdict(MINE), "sytem": ""}, {"name": "mine", "version": 1}])
def test_texts_in_a_run_that_are_no_set_are_refused_in_one_line(texts: dict[str, object]):
    with pytest.raises(ConfigError, match=r"prompts in config\.json: .*; restore the file or start a new run"):
        read_prompts_record(texts)


def test_data_for_a_model_that_is_not_known_is_for_the_shipped_one_where_it_is_of_its_own_world():
    world = [student_prompts("world", WORLD), student_prompts("world/needle", FIELD)]
    assert [*world, student_prompts("x", FIELD, "scripted")] == [TINY] * 3
    assert student_prompts("talks.jsonl", FIELD) == student_prompts("worlds/mine", WORLD, "server") == DEFAULT
    assert student_prompts("talks.jsonl", FIELD.with_parts(prompts="tiny")) == TINY


def test_training_reads_the_set_of_its_trajectories(capsys):
    assert trajectory_prompts(["tiny@1", "tiny@1"], None, BASE) == TINY
    assert trajectory_prompts(["default@3"], "default", None) == DEFAULT and capsys.readouterr().err == ""
    assert trajectory_prompts(["default@3"], None, BASE) == DEFAULT
    assert "trained on prompts tiny@1, these trajectories are of default@3" in capsys.readouterr().err


def test_trajectories_of_a_file_s_set_are_read_with_that_file_or_a_model_that_was_trained_on_it(tmp_path: Path):
    save_prompts(MINE, tmp_path / PROMPTS_FILE)
    assert trajectory_prompts(["mine@3"], str(tmp_path / PROMPTS_FILE), BASE) == MINE
    assert trajectory_prompts(["mine@3"], None, str(tmp_path)) == MINE
    with pytest.raises(ConfigError, match=r"of prompts mine@3, prompts=None: give --prompts with the file"):
        trajectory_prompts(["mine@3"], None, BASE)
    with pytest.raises(ConfigError, match=r"prompts tiny@1, prompts='default': "):
        trajectory_prompts(["tiny@1"], "default", BASE)
    with pytest.raises(ConfigError, match=r"default@3 and tiny@1: a model reads one set"):
        trajectory_prompts(["tiny@1", "default@3"], None, BASE)


@pytest.mark.parametrize(
    ("agent", "model", "expected"),
    [
        ("random", ModelConfig(), None),
        ("base", ModelConfig(), BASE),
        ("sft", ModelConfig(), None),
        ("sft", ModelConfig(path="runs/sft/model"), "runs/sft/model"),
        ("gated", ModelConfig(), BASE),
        ("full", ModelConfig(backend="openai", server=PolicyServerConfig(model="runs/sft/model")), "runs/sft/model"),
        ("full", ModelConfig(backend="openai"), None),
    ],
)
def test_the_model_of_a_policy_is_known_before_it_is_loaded(agent, model, expected):
    assert model_path(agent, model, GateConfig(agent="full")) == expected


def test_the_file_of_wording_is_no_part_of_a_model_s_weights(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    before = checkpoint_hash(str(tmp_path))
    save_prompts(MINE, tmp_path / PROMPTS_FILE)
    assert checkpoint_hash(str(tmp_path)) == before
