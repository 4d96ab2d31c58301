"""The repository keeps its own rules: style, types, direction of imports, sizes, and where its packages come from."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import agents

ROOT = Path(__file__).parents[1]
PACKAGES = ("vt_env", "agents", "synth", "experiments")
FILE_LINES, FUNCTION_LINES = 400, 60
SOURCES = sorted(path for package in (*PACKAGES, "tests") for path in (ROOT / package).rglob("*.py"))
SCRIPTS = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "--no-cache", "."],
        ["ruff", "format", "--no-cache", "--check", "."],
        ["lint-imports", "--no-cache"],
        pytest.param(["pyright"], marks=pytest.mark.slow),
        pytest.param(["pyright", "-p", "experiments"], marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_linters_and_type_checkers_have_nothing_to_say(command):
    tool = SCRIPTS / command[0]
    if not tool.exists():
        pytest.skip("needs the dev extra")
    if command[0] == "pyright":
        command = [*command, "--pythonpath", sys.executable]
    done = subprocess.run([tool, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_agents_is_this_repository_s_and_not_another_package_of_that_name():
    assert Path(agents.__file__).is_relative_to(ROOT)


def test_files_and_functions_stay_small():
    tall = {}
    for path in SOURCES:
        text = path.read_text()
        if text.count("\n") > FILE_LINES:
            tall[str(path.relative_to(ROOT))] = text.count("\n")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = len((ast.get_docstring(node, clean=False) or "").splitlines())
                lines = (node.end_lineno or 0) - node.lineno + 1 - docstring
                if lines > FUNCTION_LINES:
                    tall[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert not tall


def test_no_two_modules_import_each_other_not_even_inside_functions():
    grimp = pytest.importorskip("grimp", reason="needs the dev extra")
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(reversed(circle.args[1])))


@pytest.mark.parametrize(("package", "limit"), [("experiments", 8), ("vt_env", 16), ("agents", 6)])
def test_few_files_lie_outside_the_rooms(package, limit):
    assert len(list((ROOT / package).glob("*.py"))) <= limit


def test_importing_the_environment_loads_no_deep_learning_library_and_no_decoder():
    heavy = ("torch", "transformers", "trl", "vllm", "av", "faiss", "matplotlib")
    code = f"import sys, vt_env; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_shipped_model_is_small():
    files = [path for path in (ROOT / "experiments/tiny_model/base").rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in files) < 30e6
