"""The README is true: its Python runs as printed, in order and in one session; its commands are commands."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.readme_blocks import blocks

from experiments.cli import COMMANDS, run
from vt_env.config import paper_budget, resolve_budget
from vt_env.task_sources import load_tasks

ROOT = Path(__file__).parents[1]


def test_the_python_of_the_readme_runs_as_printed(tmp_path):
    for city in ("Greenbelt", "Oslo"):
        (tmp_path / "talks" / city).mkdir(parents=True)
        shutil.copy(ROOT / "tests/fixtures/nasa_13013.mp4", tmp_path / "talks" / city / "talk.mp4")
    code = "\n".join(block.text for block in blocks("python") if not block.mark)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    terms, stop, brightness, _ = done.stdout.splitlines()
    assert "'accuracy':" in terms and stop == "answered 1"
    assert re.match(r"\d+ of 255", brightness)


def test_every_python_block_is_run_or_says_why_not():
    (marked,) = [block for block in blocks("python") if block.mark]
    assert marked.mark.startswith("run by tests/experiments/train/test_grpo_step.py as printed")


def test_the_video_commands_of_the_readme_run_as_printed(tmp_path):
    (commands,) = blocks("bash", "run by the tests")
    for line in commands.text.splitlines():
        name, *arguments = shlex.split(line)
        assert name == "vt-env"
        arguments = [str(ROOT / it) if it.startswith("tests/") else it for it in arguments]
        environment = {**os.environ, "VT_ENV_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "experiments.cli", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "answer: Greenbelt, Maryland" in done.stdout
    assert (tmp_path / "runs/play/storyboard.png").stat().st_size > 0


def test_every_bash_block_is_run_or_says_where():
    assert [block.mark.split(":")[0] for block in blocks("bash")] == [
        *("run by hand", "test command", "run by the tests"),
        "not run",
    ]


def test_the_flags_of_commands_that_are_not_run_are_flags(monkeypatch):
    (commands,) = blocks("bash", "not run")
    seen = []
    for line in commands.text.splitlines():
        program, name, *_ = arguments = shlex.split(line)
        assert program == "vt-env"
        monkeypatch.setattr(f"{COMMANDS[name].module}.main", seen.append)
        assert run(arguments[1:]) == 0
    index, evaluation = seen
    assert (index.media, index.encoder) == (evaluation.media, evaluation.encoder)
    assert resolve_budget(evaluation.budget) == replace(paper_budget(), max_calls=12)


def test_commands_that_the_readme_names_exist():
    named = re.findall(r"vt-env ([a-z]+)", (ROOT / "README.md").read_text())
    assert set(named) <= set(COMMANDS)


def test_the_row_of_the_readme_is_a_task(tmp_path):
    (row,) = blocks("json", "read by the tests")
    (tmp_path / "talks").mkdir()
    for name in ("keynote.mp4", "keynote.srt"):
        (tmp_path / "talks" / name).touch()
    (tmp_path / "tasks.jsonl").write_text(row.text)
    (task,) = load_tasks(tmp_path / "tasks.jsonl", json.loads(row.text)["split"])
    assert task.item.options[2] == "Hanoi" and task.gold is not None and task.gold.answer_idx == 2


def test_the_continuous_integration_runs_the_command_of_the_readme():
    (command,) = blocks("bash", "test command")
    script = (ROOT / ".ci/run").read_text().replace('eval "$command"', "")
    done = subprocess.run(["bash", "-c", script], cwd=ROOT / ".ci", capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(done.stderr)
    assert done.stdout == command.text
