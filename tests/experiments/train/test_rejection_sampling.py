"""Rejection sampling trains on correct rollouts that saw their evidence."""

import json
from dataclasses import asdict, replace

import pytest

pytest.importorskip("trl", reason="needs the train extra")

from support.small_training import write_training_folder

from experiments.train.rft import RFTRun
from experiments.train.rft import main as rft
from experiments.train.training_run import open_training
from synth.dataset import read_dataset
from vt_env.episode.trajectory import read_trajectories
from vt_env.jsonl import read_jsonl

pytestmark = pytest.mark.slow


def test_a_right_answer_whose_evidence_was_not_viewed_is_not_learned(tmp_path):
    write_training_folder(tmp_path)
    first, *others = read_jsonl(tmp_path / "tasks.jsonl")
    rows = ({**first, "evidence": [[50.0, 58.0]]}, *others)
    (tmp_path / "tasks.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    run = RFTRun(out=tmp_path / "rft", tasks=str(tmp_path / "tasks.jsonl"), samples=2, only_sample=True)
    config = replace(run, profile="world").filled()
    rollouts = list(read_trajectories(tmp_path / "trajectories.jsonl"))
    with open_training(config.out, "rft", config) as run:
        for number, rollout in enumerate(rollouts):
            run.journal(asdict(replace(rollout, sample=number % 2)))
    rft(config)
    assert {it.task_id for it in rollouts if it.correct} == {row["task_id"] for row in rows}
    assert [it.task_id for it in read_dataset(config.out / "dataset")] == [row["task_id"] for row in others]
