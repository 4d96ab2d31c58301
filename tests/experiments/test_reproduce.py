"""The table of results: every policy is planned, and seeds are told apart."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.finished_runs import episode

from experiments.analysis.episode_facts import EpisodeFacts, facts_of
from experiments.pipelines.reproduce import ORDER, ReproduceRun, plan
from experiments.pipelines.reproduce_sizes import PRESETS
from experiments.pipelines.seed_table import SHARED, make_table, render_table
from experiments.runs.run_dir import open_run
from experiments.settings.policies import BASE_MODEL
from experiments.train.grpo_config import GRPORun
from vt_env.world.families import ALL_FAMILIES

HERE = Path(__file__).parents[2]


def seed_facts(seed: int, right: str) -> list[EpisodeFacts]:
    """Facts of one seed: a video a letter, `r` where its question was answered."""
    episodes = [episode(idx, idx, letter == "r") for idx, letter in enumerate(right)]
    return [replace(facts_of(it), sample=seed) for it in episodes]


@pytest.mark.slow
def test_every_policy_of_the_table_is_evaluated_and_those_in_question_with_every_seed(tmp_path):
    run = ReproduceRun(out=tmp_path, preset="tiny", training_seeds=2)
    with open_run(tmp_path, "reproduce", run) as directory:
        names = [step.name for step in plan(run, directory)]
    assert len(names) == len(set(names))
    shared = {"random", "blind", "scripted", "base", "oracle"}
    in_question = {"sft", "sft sampled", "sft+rft", "sft+grpo", "sft+grpo sampled"}
    wanted: set[str] = set()
    for name in ORDER:
        seeds = [""] if name in shared else [" 0", " 1"] if name in in_question else [" 0"]
        wanted |= {f"eval {name.replace(' ', '-')}{seed}" for seed in seeds}
    assert {name for name in names if name.startswith("eval ")} == wanted
    assert names.index("table 0") < names.index("sft 1") < names.index("table 1") < names.index("sft-best 0")


def test_families_that_are_weighed_are_asked():
    for sizes in PRESETS.values():
        assert {*sizes.sft_weights, *sizes.best_weights} <= set(ALL_FAMILIES)


def test_rejection_sampling_may_play_as_many_questions_as_often_as_grpo():
    sizes = PRESETS["tiny"]
    assert sizes.rft_questions == sizes.grpo_steps * sizes.grpo_prompts
    assert sizes.rft_samples == GRPORun().group_size


def test_seeds_are_averaged_and_shown_one_by_one():
    evaluations = {
        "sft": {0: seed_facts(0, "rwww"), 1: seed_facts(1, "rrww")},
        "sft+grpo": {0: seed_facts(0, "rrrw"), 1: seed_facts(1, "rrrw")},
        "oracle": {SHARED: seed_facts(0, "rrrr")},
        "not in the table": {SHARED: seed_facts(0, "wwww")},
    }
    table = make_table(evaluations, ORDER, {"8 frames": 0.5}, {})
    assert [it.row.policy for it in table.rows] == ["sft", "sft+grpo", "oracle"]
    sft, _, oracle = table.rows
    assert (sft.row.n, sft.row.videos, sft.row.accuracy) == (8, 4, 0.375)
    assert sft.by_seed == {0: 0.25, 1: 0.5} and oracle.by_seed == {SHARED: 1.0}
    (pair,) = table.pairs
    assert (pair.overall.a, pair.overall.n, pair.overall.difference) == ("sft+grpo", 8, 0.375)
    assert {seed: row.difference for seed, row in pair.by_seed.items()} == {0: 0.5, 1: 0.25}
    text = render_table(table)
    assert "| sft | 0.38 |" in text and "| 0.25, 0.50 |" in text and "8 frames would reach 0.50" in text


@pytest.mark.slow
@pytest.mark.skipif(not BASE_MODEL.is_dir(), reason="the base model is not there")
def test_the_table_is_made_from_nothing_at_toy_size(tmp_path):
    command = [sys.executable, "-m", "experiments.cli", "reproduce", "--preset", "smoke", "--training-seeds", "1"]
    environment = {**os.environ, "VT_ENV_CACHE": os.environ.get("VT_ENV_CACHE", str(tmp_path / "cache"))}
    subprocess.run([*command, "--out", str(tmp_path)], cwd=HERE, env=environment, check=True)
    table = json.loads((tmp_path / "table.json").read_text())
    # What this toy samples cannot be learned from: a round of rejection sampling has tests of its own.
    assert [it["row"]["policy"] for it in table["rows"]] == [name for name in ORDER if name != "sft+rft"]
    assert {it["row"]["n"] for it in table["rows"]} == {3}
    assert table["rows"][-1]["row"]["accuracy"] == 1.0
    assert set(table["rows"][-1]["row"]["families"]) <= set(ALL_FAMILIES)
    for name in ("table.md", "plots/accuracy.png", "plots/families.png"):
        assert (tmp_path / name).stat().st_size > 0
