"""Checkouts of official repositories below `$VT_ENV_OFFICIAL`, jobs that run their scripts, and a table of results."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support import run_official

VARIABLE = "VT_ENV_OFFICIAL"
REPOSITORIES: Mapping[str, str] = {
    "Video-MME": "MME-Benchmarks/Video-MME 4e7566d3",
    "parse_answer": "thanku-all/parse_answer afd52cfe",
    "Video-MME-v2": "MME-Benchmarks/Video-MME-v2 b24176a1",
    "LVBench": "zai-org/LVBench 1dd4612d",
    "MLVU": "JUNJIE99/MLVU fd060c10",
    "CG-Bench": "CG-Bench/CG-Bench f8266087",
    "EgoSchema": "egoschema/EgoSchema 505c7873",
    "NExT-GQA": "doc-doc/NExT-GQA 63772e02",
    "NExT-QA": "doc-doc/NExT-QA 6b92588a",
    "lmms-eval": "EvolvingLMMs-Lab/lmms-eval 75571cfe",
}
"""Folder of each checkout to its repository on GitHub and the commit that was compared."""


@dataclass
class Checkouts:
    """The checkouts, and a table of what was compared so far."""

    root: Path
    heads: tuple[str, ...]
    """Heads of the columns behind benchmark, repository and script."""
    rows: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])

    def file(self, checkout: str, path: str) -> str:
        """Return a file of a checkout; skip the test if it is not there."""
        found = self.root / checkout / path
        if not found.exists():
            pytest.skip(f"{found} is not there: check out {REPOSITORIES[checkout]}")
        return str(found)

    def commit(self, checkout: str) -> str:
        """Return the commit of a checkout, or `unknown`."""
        command = ["git", "-C", str(self.root / checkout), "rev-parse", "--short=8", "HEAD"]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        return found.stdout.strip() or "unknown"

    def run(self, folder: Path, job: str, **arguments: Any) -> Any:
        """Run a job of `run_official` in a folder, in a process of its own."""
        given, result = folder / "job.json", folder / "result.json"
        given.write_text(json.dumps({"job": job, "arguments": arguments}))
        command = [sys.executable, run_official.__file__, str(given), str(result)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(result.read_text())

    def record(self, benchmark: str, checkout: str, script: str, *cells: str) -> None:
        """Add a row to the table."""
        repository = f"{REPOSITORIES[checkout].split()[0]} {self.commit(checkout)}"
        self.rows.append((benchmark, repository, f"`{script}`", *cells))

    def write_table(self, name: str) -> None:
        """Write what was compared beside the checkouts, as a table in Markdown."""
        heads = ("benchmark", "repository", "script", *self.heads)
        lines = [heads, ("---",) * len(heads), *self.rows]
        (self.root / name).write_text("".join(f"| {' | '.join(line)} |\n" for line in lines), encoding="utf-8")


def checkouts_or_skip(*heads: str) -> Checkouts:
    """Return the checkouts, with the heads of a table; skip the module where the variable names no folder."""
    root = os.environ.get(VARIABLE, "")
    if not root or not Path(root).is_dir():
        reason = f"set {VARIABLE} to a folder with checkouts of official repositories (docs/official_scripts.md)"
        pytest.skip(reason, allow_module_level=True)
    return Checkouts(Path(root).resolve(), heads)
