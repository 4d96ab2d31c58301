"""The table of results: every policy is planned, and seeds are told apart."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.finished_runs import episode

from experiments.analysis.episode_facts import EpisodeFacts, facts_of
from experiments.analysis.seed_table import SHARED, Claim, TableInputs, make_table
from experiments.cli import run as run_command
from experiments.pipelines.reproduce import LABELS, ORDER, PAIRS, ReproduceRun, plan
from experiments.pipelines.reproduce_sizes import PRESETS
from experiments.pipelines.second_round import second_round_rows
from experiments.report.seed_report import render_table
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
    names = [step.name for step in plan(ReproduceRun(out=tmp_path, preset="tiny", training_seeds=2))]
    assert len(names) == len(set(names))
    shared = {"random", "blind", "scripted", "base", "oracle"}
    in_question = {"sft", "sft-sampled", "sft+rft", "sft+grpo", "sft+grpo-sampled"}
    wanted: set[str] = set()
    for name in ORDER:
        seeds = [""] if name in shared else [" 0", " 1"] if name in in_question else [" 0"]
        wanted |= {f"eval {name}{seed}" for seed in seeds}
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
    inputs = TableInputs(ORDER, LABELS, PAIRS, ceilings={"8 frames": 0.5})
    table = make_table(evaluations, inputs)
    assert [it.row.policy for it in table.rows] == ["sft", "sft+grpo", "oracle"]
    sft, _, oracle = table.rows
    assert (sft.row.n, sft.row.videos, sft.row.accuracy) == (8, 4, 0.375)
    assert sft.by_seed == {0: 0.25, 1: 0.5} and oracle.by_seed == {SHARED: 1.0}
    (pair,) = table.pairs
    assert (pair.overall.a, pair.overall.n, pair.overall.difference) == ("sft+grpo", 8, 0.375)
    assert {seed: row.difference for seed, row in pair.by_seed.items()} == {0: 0.5, 1: 0.25}
    text = render_table(table)
    assert "| sft | 0.38 |" in text and "| 0.25, 0.50 |" in text and "8 frames would reach 0.50" in text


def test_a_claim_needs_its_gain_or_its_share_of_the_calls():
    def claimed(own: str, calls: int, share: float | None) -> bool:
        facts = {name: seed_facts(0, right * 4) for name, right in (("grpo", own), ("sft", "rrww"))}
        facts["grpo"] = [replace(it, calls=calls) for it in facts["grpo"]]
        facts["sft"] = [replace(it, calls=4) for it in facts["sft"]]
        inputs = TableInputs(claims=(Claim("grpo", ("sft", "not evaluated"), 0.05, share),))
        (row,) = make_table({name: {0: some} for name, some in facts.items()}, inputs).claims
        assert row.rival == "sft" and row.calls_share == calls / 4 and row.pair.calls.mean == calls - 4
        return row.is_reached

    assert claimed("rrrw", 9, None) and not claimed("rrww", 1, None)
    # A gain counts at no more calls, an equal accuracy at few of them, and a lower accuracy never.
    assert claimed("rrrw", 4, 2 / 3) and not claimed("rrrw", 5, 2 / 3)
    assert claimed("rrww", 2, 2 / 3) and not claimed("rrww", 3, 2 / 3) and not claimed("rwww", 1, 2 / 3)


def test_rows_of_the_second_round_follow_their_starts_and_run_one_by_one(tmp_path):
    run = ReproduceRun(out=tmp_path, preset="second-smoke", training_seeds=2)
    rows = list(second_round_rows(run))
    assert all(row.start in ("base", *rows[:idx]) for idx, row in enumerate(second_round_rows(run).values()))
    every = [step.name for step in plan(run)]
    assert len(every) == len(set(every)) and {f"eval {name} 1" for name in rows} - set(every) < {
        f"eval {name} 1" for name in ("random", "scripted-flawless", "scripted-written", "base", "oracle", "none")
    }
    few = [step.name for step in plan(replace(run, rows=("grpo",)))]
    trained = [name for name in few if name.endswith(" 1") and not name.startswith(("eval", "table"))]
    assert trained == ["sft 1", "sft-best 1", "grpo 1"] and not any("captions" in name for name in few)
    assert few == [name for name in every if name in few]


@pytest.mark.slow
@pytest.mark.parametrize("world", ["world", "world2"])
def test_every_flag_of_the_second_round_exists(world, tmp_path, capsys):
    run = ReproduceRun(out=tmp_path, preset="second-smoke", training_seeds=1, world=world)
    used: dict[str, set[str]] = {}
    for step in plan(run):
        if step.words:
            used.setdefault(step.words[0], set()).update(word for word in step.words if word.startswith("--"))
    assert {"world", "captions", "key", "synth", "sft", "grpo", "eval"} == set(used)
    for command, flags in used.items():
        with pytest.raises(SystemExit):
            run_command([command, "--help"])
        assert flags <= set(re.findall(r"--[a-z][\w.-]*", capsys.readouterr().out)), command


def test_a_row_that_does_not_exist_is_one_line(tmp_path, capsys):
    for flags, message in [
        (("--preset", "second", "--rows", "grpoo"), "did you mean 'grpo'?"),
        (("--rows", "grpo"), "--preset tiny has no rows to choose from"),
        (("--world", "world2"), "--preset tiny is of the first world"),
    ]:
        assert run_command(["reproduce", "--out", str(tmp_path / "r"), "--dry-run", *flags]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(not BASE_MODEL.is_dir(), reason="the base model is not there")
def test_the_table_is_made_from_nothing_at_toy_size(tmp_path):
    command = [sys.executable, "-m", "experiments.cli", "reproduce", "--preset", "smoke", "--training-seeds", "1"]
    environment = {**os.environ, "VT_ENV_CACHE": os.environ.get("VT_ENV_CACHE", str(tmp_path / "cache"))}
    subprocess.run([*command, "--out", str(tmp_path)], cwd=HERE, env=environment, check=True)
    table = json.loads((tmp_path / "table.json").read_text())
    # What this toy samples cannot be learned from: a round of rejection sampling has tests of its own.
    assert [it["row"]["policy"] for it in table["rows"]] == [LABELS.get(it, it) for it in ORDER if it != "sft+rft"]
    assert {it["row"]["n"] for it in table["rows"]} == {3}
    assert table["rows"][-1]["row"]["accuracy"] == 1.0
    assert set(table["rows"][-1]["row"]["families"]) <= set(ALL_FAMILIES)
    for name in ("table.md", "plots/accuracy.png", "plots/families.png"):
        assert (tmp_path / name).stat().st_size > 0
