"""README and docs are true: Python runs as printed, commands and flags exist, links resolve, the site builds."""

import contextlib
import importlib.util
import io
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from support.document_blocks import BLOCKS, DOCUMENTS, HISTORY, ROOT, Block, blocks, inline_code

from experiments.cli import COMMANDS, run
from vt_env.config import paper_budget, resolve_budget
from vt_env.task_sources import load_tasks

README = ROOT / "README.md"
README_WORDS, README_LINES = 800, 130
OTHER_PROGRAMS = {"bash", "inspect", "vf-eval", "pip", "source", "pytest", "vllm", "accelerate", "python3", "swift"}
"""Programs in bash blocks that are not ours; what they run of ours is checked."""
OTHERS_FLAGS = {
    "--chat-template",
    "--extra",
    "--nproc-per-node",
    "--tensor-parallel-size",
    "--url",
    "--env.taskset.rules",
    "--env-var",
    "--secret",
}
MARKS = ("run by hand: ", "test command", "run by the tests", "read by the tests", "not run: ", "run by tests/")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _sessions() -> dict[str, str]:
    """Python of each document, in order; the documents that print the same are run once."""
    unmarked = [block for block in blocks("python") if not block.mark]
    sessions = {
        _name(path): "\n".join(block.text for block in unmarked if block.document == path) for path in DOCUMENTS
    }
    return {name: code for code, name in {code: name for name, code in sessions.items() if code}.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("document", "code"), _sessions().items(), ids=list(_sessions()))
def test_python_runs_as_printed(document, code, tmp_path):
    for city in ("Greenbelt", "Oslo"):
        (tmp_path / "talks" / city).mkdir(parents=True)
        shutil.copy(ROOT / "tests/fixtures/nasa_13013.mp4", tmp_path / "talks" / city / "talk.mp4")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if document == "docs/extending.md":
        stop, brightness, *_ = done.stdout.splitlines()
        assert stop == "answered 1" and re.match(r"\d+ of 255", brightness)
    else:
        printed = ("'accuracy':", "answer", "paper: frames of up to 32,768 pixels (41 image tokens), 20 calls")
        assert any(it in done.stdout for it in printed)


def test_every_block_is_checked_or_says_why_not():
    for block in BLOCKS:
        assert block.language in {"python", "bash", "json", "text"}, block
        assert block.mark.startswith(MARKS) or (not block.mark and block.language in {"python", "text"}), block
        if block.mark.startswith("run by tests/"):
            assert (ROOT / block.mark.removeprefix("run by ").split()[0]).is_file(), block
    fences = sum(len(re.findall(r"^\s*```", path.read_text(), re.MULTILINE)) for path in DOCUMENTS)
    assert fences == 2 * len(BLOCKS)


@pytest.mark.slow
def test_the_video_commands_run_as_printed(tmp_path):
    (commands,) = [block for block in blocks("bash", "run by the tests") if block.document.name == "own_videos.md"]
    for line in commands.commands:
        name, *arguments = shlex.split(line)
        assert name == "vt-env"
        arguments = [str(ROOT / it) if it.startswith("tests/") else it for it in arguments]
        environment = {**os.environ, "VT_ENV_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "experiments.cli", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "answer: Greenbelt, Maryland" in done.stdout
    assert (tmp_path / "runs/play/storyboard.png").stat().st_size > 0


def _our_arguments(command: str) -> list[str] | None:
    """Return what follows `vt-env`, whatever starts it; `None` where another program is run alone."""
    words = shlex.split(command)
    for ours in ("vt-env", "experiments.cli"):
        if ours in words:
            return words[words.index(ours) + 1 :]
    return None


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks("bash"), ids=lambda block: f"{_name(block.document)}: {block.mark[:20]}")
def test_flags_of_printed_commands_parse(block: Block, monkeypatch):
    for command in block.commands:
        arguments = _our_arguments(command)
        if arguments:
            seen = []
            monkeypatch.setattr(f"{COMMANDS[arguments[0]].module}.main", seen.append)
            assert run(arguments) == 0 and len(seen) == 1


@pytest.mark.parametrize("block", blocks("bash"), ids=lambda block: f"{_name(block.document)}: {block.mark[:20]}")
def test_programs_and_extras_of_printed_commands_exist(block: Block):
    for command in block.commands:
        words = [word for word in shlex.split(command) if not re.match(r"[A-Z_]+=", word)]
        assert words[0] in {"vt-env", "uv", *OTHER_PROGRAMS}, command
        extras = [extra for flag, extra in itertools.pairwise(words) if flag == "--extra"]
        assert set(extras) <= set(PYPROJECT["project"]["optional-dependencies"]), command
        for word in words:
            if word.startswith(("experiments/", "tests/")):
                assert (ROOT / word).exists(), command


def test_the_evaluation_example_plays_what_it_indexes(monkeypatch):
    (commands,) = [block for block in blocks("bash", "not run") if "data/lvbench" in block.text]
    seen = []
    for command in commands.commands:
        _, name, *_ = arguments = shlex.split(command)
        monkeypatch.setattr(f"{COMMANDS[name].module}.main", seen.append)
        assert run(arguments[1:]) == 0
    index, evaluation = seen
    indexed, played = index.chosen, evaluation.chosen
    assert (indexed.media, indexed.encoder) == (played.media, played.encoder)
    assert resolve_budget(played.budget) == replace(paper_budget(), max_calls=12)


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_commands_that_are_named_exist(document):
    for code in [*inline_code(document), *(block.text for block in BLOCKS if block.document == document)]:
        assert set(re.findall(r"\bvt-env ([a-z]+)", code)) <= set(COMMANDS), code
        for module in re.findall(r"-m (experiments[\w.]+)", code):
            assert importlib.util.find_spec(module), code


@cache
def _flags(name: str) -> set[str]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit):
        run([name, "--help"])
    return set(re.findall(r"(?<!\S)--[a-z][\w.-]*", printed.getvalue()))


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_flags_that_are_named_exist(document):
    anywhere = set().union(*map(_flags, COMMANDS)) | OTHERS_FLAGS
    for code in inline_code(document):
        if "python -m " in code or "torchrun" in code or "mkdocs" in code:
            continue
        named = re.search(r"vt-env ([a-z]+)", code)
        allowed = _flags(named[1]) | OTHERS_FLAGS if named else anywhere
        assert set(re.findall(r"(?<!\S)--[a-z][\w.-]*", code)) <= allowed, code


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_paths_that_are_named_exist(document):
    for code in inline_code(document):
        if re.fullmatch(r"(vt_env|agents|synth|experiments|tests|docs)/[\w./]*", code):
            assert (ROOT / code).exists(), code


def test_tests_that_are_named_exist():
    named = [code for document in DOCUMENTS for code in inline_code(document) if re.fullmatch(r"tests/\S+::\w+", code)]
    assert len(named) > 40
    for path, _, name in (code.partition("::") for code in named):
        assert f"def {name}(" in (ROOT / path).read_text(), name


def _slugs(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("document", [*DOCUMENTS, *HISTORY], ids=_name)
def test_relative_links_resolve(document):
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if not link.startswith("https://"):
            name, _, anchor = link.partition("#")
            target = document.parent / name if name else document
            assert target.is_file(), link
            assert not anchor or anchor in _slugs(target), link


def test_the_readme_is_read_in_three_minutes():
    text = README.read_text()
    assert len(text.split()) <= README_WORDS and text.count("\n") <= README_LINES


def test_the_printed_row_is_a_task(tmp_path):
    (row,) = blocks("json", "read by the tests")
    (tmp_path / "talks").mkdir()
    for name in ("keynote.mp4", "keynote.srt"):
        (tmp_path / "talks" / name).touch()
    (tmp_path / "tasks.jsonl").write_text(row.text)
    (task,) = load_tasks(tmp_path / "tasks.jsonl", json.loads(row.text)["split"])
    assert task.item.options[2] == "Hanoi" and task.gold is not None and task.gold.answer_idx == 2


def test_every_command_is_in_the_list_of_commands():
    listed = re.findall(r"^\| `vt-env ([a-z]+)` \|", (ROOT / "docs/index.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


def test_every_extra_is_in_the_list_of_extras():
    listed = re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs/index.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(PYPROJECT["project"]["optional-dependencies"])


def test_the_continuous_integration_runs_the_command_of_the_readme():
    (command,) = blocks("bash", "test command")
    script = (ROOT / ".ci/run").read_text().replace('eval "$command"', "")
    done = subprocess.run(["bash", "-c", script], cwd=ROOT / ".ci", capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(done.stderr)
    assert done.stdout == command.text


@pytest.mark.slow
def test_the_documentation_builds_strictly(tmp_path):
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("needs the docs extra")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site/api/agents/index.html").is_file()
