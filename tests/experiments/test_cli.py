"""The command line answers in one line what the caller can mend, and help waits for no library it does not need."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.cli import COMMANDS, run

HERE = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "trl", "vllm", "faiss", "matplotlib")


def test_help_lists_every_command_without_loading_a_heavy_library(capsys):
    code = (
        f"import sys; from experiments.cli import run; run(['--help']); print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True)
    *usage, loaded = done.stdout.strip().splitlines()
    assert loaded == "[]"
    assert all(any(line.split()[:1] == [name] for line in usage) for name in COMMANDS)


LIGHT = [name for name in COMMANDS if name not in ("pretrain", "probe", "sft", "grpo", "rft")]


@pytest.mark.parametrize("name", LIGHT)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as ended:
        run([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: vt-env {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evil"], "no command 'evil': allowed are quickstart, reproduce, doctor"),
        (["eval", "--tasks", "wrld"], "tasks='wrld'"),
        (["eval", "--agent", "sft", "--n", "1", "--tasks", "world"], "agent='sft' needs a trained checkpoint"),
        (["index", "nowhere.mp4"], "nowhere.mp4: no such file or folder"),
        (["play", "nowhere.mp4"], "nowhere.mp4: no such file"),
        (["play", "world/nedle", "--agent", "random"], "family 'nedle'"),
        (["quickstart", "--processes", "0"], "processes=0: need 1 or more"),
        (["reproduce", "--training-seeds", "0"], "training_seeds=0: need 1 or more"),
        (["eval", "--agent", "random", "--encoder", "wrld"], "OWNER/NAME of a hub; did you mean 'world'?"),
        (["report", "nowhere"], "nowhere: no run directory there"),
        (["world", "--out", "w", "--split", "tset"], "split='tset'"),
    ],
)
def test_what_the_caller_can_mend_is_one_line_and_exit_code_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("vt-env: ") and message in error and error.count("\n") == 1


def test_a_name_in_any_encoding_is_told_and_its_control_characters_are_not_obeyed(tmp_path):
    arguments = [sys.executable, "-m", "experiments.cli", "index", os.fsencode(tmp_path) + b"/a\xe9\x1b[2J.mp4"]
    for locale in ("C", "C.UTF-8"):
        done = subprocess.run(
            arguments, cwd=HERE, capture_output=True, env={**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0"}
        )
        assert done.returncode == 2 and done.stderr.count(b"\n") == 1
        assert b"\\udce9\\x1b[2J.mp4: no such file or folder" in done.stderr


def test_a_warning_that_quotes_a_file_is_told_without_its_control_characters(tmp_path):
    shutil.copy(HERE / "tests" / "fixtures" / "nasa_13013.mp4", tmp_path / "a.mp4")
    (tmp_path / "a.srt").write_bytes("1\n00:00:01,000 --> 00:00:02,000\n\x1b[2Jé à\n".encode("cp1252"))
    arguments = [sys.executable, "-m", "experiments.cli", "index", str(tmp_path / "a.mp4"), "--encoder", "none"]
    environment = {**os.environ, "VT_ENV_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(arguments, cwd=HERE, capture_output=True, env=environment)
    assert done.returncode == 0 and b"read as cp1252" in done.stderr
    assert b"\x1b" not in done.stderr and b"\\x1b[2J" in done.stderr


def test_closed_outputs_are_no_traceback():
    command = [sys.executable, "-m", "experiments.cli"]
    code = f"import os, subprocess, sys; os.close(1); sys.exit(subprocess.call({command}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "experiments.cli", "--help"],
            cwd=HERE,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1 and done.stderr == "vt-env: No space left on device: free some, and run it again\n"


def test_a_reader_that_leaves_early_is_no_failure_to_complain_of():
    piped = f"{shlex.quote(sys.executable)} -m experiments.cli eval --help | true"
    done = subprocess.run(piped, shell=True, cwd=HERE, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_misspelt_flag_is_answered_by_the_nearest_one(capsys):
    with pytest.raises(SystemExit) as ended:
        run(["eval", "--agnt", "random"])
    assert ended.value.code == 2 and "--agent" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_made_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(["eval", "--out", str(tmp_path / "file" / "run"), "--n", "1"]) == 2
    assert "file" in capsys.readouterr().err


def test_an_interruption_says_how_to_go_on(monkeypatch, capsys, tmp_path):
    def interrupt(config):
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.evaluate.eval.main", interrupt)
    assert run(["eval", "--out", "my run"]) == 130
    assert "vt-env eval --out 'my run'" in capsys.readouterr().err


def test_without_arguments_the_usage_is_shown_and_nothing_is_done(capsys):
    assert run([]) == 2
    assert "vt-env COMMAND --help" in capsys.readouterr().out
