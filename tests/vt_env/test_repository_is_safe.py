"""What SECURITY.md says of the code itself: nothing is unpickled, no remote code runs, keys are read in one place."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("vt_env", "agents", "synth", "experiments")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
UNSAFE = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
"""Modules whose readers can run code."""
ROUND_TRIPS = {"vt_env/testing/conformance.py"}
"""Files that pickle and unpickle what they have made themselves."""
LOADERS = ("AutoConfig", "AutoModel", "AutoModelForImageTextToText", "AutoProcessor", "AutoTokenizer", "kind")


@cache
def nodes() -> tuple[tuple[str, ast.AST], ...]:
    return tuple(
        (path.relative_to(ROOT).as_posix(), node)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call | ast.Import | ast.ImportFrom)
    )


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    for file, node in nodes():
        if isinstance(node, ast.Call):
            yield file, ast.unparse(node.func), node


def options(call: ast.Call) -> dict[str | None, str]:
    return {it.arg: ast.unparse(it.value) for it in call.keywords}


def test_no_module_that_runs_what_it_reads_is_imported() -> None:
    found: set[str] = set()
    for file, node in nodes():
        names = [it.name for it in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if UNSAFE & {name.split(".")[0] for name in names}:
            found.add(file)
    assert len(FILES) > 200 and found == ROUND_TRIPS


def test_arrays_and_weights_are_read_without_pickle() -> None:
    for file, name, call in calls():
        if name in ("np.load", "numpy.load"):
            assert options(call).get("allow_pickle", "False") == "False", file
        if name == "torch.load":
            assert options(call).get("weights_only") == "True", file
        assert name not in ("eval", "exec", "os.system", "np.fromregex"), (file, name)


def test_no_checkpoint_brings_code_of_its_own() -> None:
    seen = 0
    for file, name, call in calls():
        owner, _, method = name.rpartition(".")
        if method == "from_pretrained" and owner in LOADERS:
            assert options(call).get("trust_remote_code") == "False", file
            seen += 1
        assert options(call).get("trust_remote_code", "False") == "False", file
        assert options(call).get("shell", "False") == "False", file
    assert seen > 5


def test_every_media_file_is_opened_in_one_place_with_its_whitelist() -> None:
    opened = {
        (file, ast.unparse(call))
        for file, name, call in calls()
        if name == "av.open" and "'w'" not in ast.unparse(call)
    }
    reads = {
        file for file, text in opened if not file.startswith(("experiments/bench/", "vt_env/world/", "vt_env/talks/"))
    }
    assert reads <= {"vt_env/media/decode/container.py"}


@pytest.mark.parametrize("name", ["Image.open"])
def test_every_picture_is_opened_in_named_formats(name: str) -> None:
    for file, called, call in calls():
        if called == name:
            assert "formats" in options(call), file
