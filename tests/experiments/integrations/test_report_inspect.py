"""Logs for inspect_ai where it is not installed; `tests/engines/test_inspect_logs.py` reads them back where it is."""

import sys
from pathlib import Path

import pytest
from support.finished_runs import write_eval

from experiments.cli import run
from experiments.runs.read_run import JOURNAL


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_eval(tmp_path / "eval", "random", [True, False])


def test_without_inspect_ai_one_line_says_how_to_get_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    assert run(["report", str(folder), "--inspect", str(tmp_path / "logs")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "pip install vt-env inspect-ai" in error


def test_runs_that_are_no_evaluation_have_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (empty := write_eval(tmp_path / "eval", "random", [])).joinpath(JOURNAL).write_text("")
    assert run(["report", str(empty), "--inspect", str(tmp_path / "logs")]) == 2
    assert "no evaluation with an episode" in capsys.readouterr().err
