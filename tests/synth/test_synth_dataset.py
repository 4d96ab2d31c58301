"""Data sets on disk: whole or absent, and their card says what they are."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agents.baselines.constant import ConstantAgent
from agents.rollout import run_episode
from synth.dataset import DataCard, count_families, read_dataset, write_dataset
from vt_env.config import EnvConfig
from vt_env.envs.base import make_episode
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import DataError
from vt_env.testing import FakeLibrary, fake_task

CARD = DataCard(
    settings={"seed": 7},
    versions={"vt-env": "0.1.0"},
    stages={"attempts": {"needle": 5, "subtitle": 2}, "kept": {"needle": 3}},
    rejected={"filters": {"wrong_answer": 3}, "replay": {"unseen_caption": 1}},
    questions={"asked": 4, "kept": 2},
)


def trajectories(count: int) -> list[Trajectory]:
    episode = make_episode(fake_task(), FakeLibrary(), EnvConfig())
    played = run_episode(ConstantAgent(), episode)
    return [replace(played, sample=sample) for sample in range(count)]


def test_a_data_set_is_read_back_in_order_from_all_its_shards(tmp_path: Path):
    write_dataset(tmp_path / "set", trajectories(5), CARD, shard_size=2)
    names = sorted(path.name for path in (tmp_path / "set").iterdir())
    assert names == [
        "data_card.json",
        "data_card.md",
        "trajectories-00000-of-00003.jsonl",
        "trajectories-00001-of-00003.jsonl",
        "trajectories-00002-of-00003.jsonl",
    ]
    assert list(read_dataset(tmp_path / "set")) == trajectories(5)


def test_a_new_data_set_takes_the_place_of_the_old_one(tmp_path: Path):
    write_dataset(tmp_path / "set", trajectories(5), CARD, shard_size=1)
    write_dataset(tmp_path / "set", trajectories(1), CARD)
    assert list(read_dataset(tmp_path / "set")) == trajectories(1)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_write_that_fails_leaves_the_old_data_set(tmp_path: Path):
    write_dataset(tmp_path / "set", trajectories(2), CARD)
    with pytest.raises(ValueError):
        write_dataset(tmp_path / "set", [replace(trajectories(1)[0], reward=float("nan"))], CARD)
    assert list(read_dataset(tmp_path / "set")) == trajectories(2)


@pytest.mark.parametrize("missing", ["data_card.json", "trajectories-00000-of-00002.jsonl"])
def test_a_data_set_that_lacks_a_file_is_refused(tmp_path: Path, missing: str):
    write_dataset(tmp_path / "set", trajectories(2), CARD, shard_size=1)
    (tmp_path / "set" / missing).unlink()
    with pytest.raises(DataError, match="set: "):
        list(read_dataset(tmp_path / "set"))


@pytest.mark.parametrize(
    "lost", [["trajectories-00000-of-00002.jsonl", "trajectories-00001-of-00002.jsonl"], ["data_card.json"]]
)
def test_a_data_set_whose_shards_or_card_are_gone_is_not_an_empty_one(tmp_path: Path, lost: list[str]):
    write_dataset(tmp_path / "set", trajectories(2), CARD, shard_size=1)
    for name in lost:
        (tmp_path / "set" / name).unlink()
    with pytest.raises(DataError, match="set: "):
        list(read_dataset(tmp_path / "set"))


@pytest.mark.parametrize("card", ["[]", "[" * 100_000, '{"schema": 2}', '{"schema": 2, "shards": []}', "null"])
def test_a_card_of_any_kind_is_refused_in_one_line(tmp_path: Path, card: str):
    write_dataset(tmp_path / "set", trajectories(1), CARD)
    (tmp_path / "set" / "data_card.json").write_text(card)
    with pytest.raises(DataError, match=r"make the data set again|make it again|write it again"):
        list(read_dataset(tmp_path / "set"))


def test_the_card_counts_stages_by_family_and_reasons(tmp_path: Path):
    write_dataset(tmp_path / "set", trajectories(1), CARD)
    card = json.loads((tmp_path / "set" / "data_card.json").read_text())
    assert list(card.pop("shards")) == ["trajectories-00000-of-00001.jsonl"]
    assert card == {
        "settings": {"seed": 7},
        "versions": {"vt-env": "0.1.0"},
        "stages": {"attempts": {"needle": 5, "subtitle": 2}, "kept": {"needle": 3}},
        "rejected": {"filters": {"wrong_answer": 3}, "replay": {"unseen_caption": 1}},
        "questions": {"asked": 4, "kept": 2},
        "schema": 2,
    } | {key: {} for key in ["left_out", "failures", "divergences", "support", "usage", "captions", "leakage"]}
    lines = (tmp_path / "set" / "data_card.md").read_text().splitlines()
    assert "| stage | all | needle | subtitle |" in lines
    assert "| attempts | 7 | 5 | 2 |" in lines and "| kept | 3 | 3 | 0 |" in lines
    assert "| filters | wrong_answer | 3 |" in lines and "* questions kept: 2" in lines


def test_a_task_without_a_family_is_counted_as_other():
    (played,) = trajectories(1)
    assert count_families([played, replace(played, family="")]) == {"needle": 1, "other": 1}


def test_a_shard_that_was_edited_is_refused(tmp_path: Path):
    write_dataset(tmp_path / "set", trajectories(2), CARD)
    (shard,) = (tmp_path / "set").glob("trajectories-*")
    shard.write_text(shard.read_text().replace('"sample": 1', '"sample": 3'))
    with pytest.raises(DataError, match="not what was written"):
        list(read_dataset(tmp_path / "set"))


def test_a_data_set_of_another_version_is_refused(tmp_path: Path):
    write_dataset(tmp_path / "set", trajectories(1), replace(CARD, schema=1))
    with pytest.raises(DataError, match="schema 1, this version reads 2"):
        list(read_dataset(tmp_path / "set"))
