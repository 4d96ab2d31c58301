"""The engine over a folder of media: the one that `VT_ENV_CORPUS` names, and one that is written here.

Frames are compared with those of the `ffmpeg` program where it is installed, at random times. The table is written
beside pytest's cache; its path stands at the end of pytest's output.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import av
import pytest
from support import corpus_oddities, corpus_recipes, videos
from support.corpus_check import EXACT, REFUSED, Limits, Row
from support.corpus_judge import name_of_judge
from support.corpus_recipes import write_corpus
from support.corpus_table import table

from vt_env.errors import LOUD

pytestmark = [pytest.mark.slow, pytest.mark.corpus]

GIVEN = os.environ.get("VT_ENV_CORPUS")
SEED = int(os.environ.get("VT_ENV_CORPUS_SEED", "0"))
LIMITS = Limits(
    float(os.environ.get("VT_ENV_CORPUS_SECONDS", "120")), float(os.environ.get("VT_ENV_CORPUS_MB", "2048"))
)
TESTS = Path(__file__).parents[1]


def check(folder: Path, table_path: Path, request: pytest.FixtureRequest) -> dict[str, Row]:
    """Check every file in a process of its own and write the table."""
    answers = table_path.with_suffix(".jsonl")
    command = [sys.executable, "-m", "support.corpus_check", str(folder), str(answers)]
    command += [str(SEED), str(LIMITS.seconds), str(LIMITS.megabytes)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    # What a user meets: an unforeseen exception of one file is its refusal.
    environment.pop(LOUD, None)
    subprocess.run(command, env=environment, check=True)
    rows = [Row(**json.loads(line)) for line in answers.read_text().splitlines()]
    table_path.write_text(table(rows, name_of_judge(), SEED, folder))
    request.node.user_properties.append(("written", f"table of the corpus: {table_path}"))
    return {row.name: row for row in rows}


@pytest.mark.skipif(GIVEN is None, reason="no folder: VT_ENV_CORPUS=FOLDER pytest -m corpus")
def test_every_file_of_a_given_folder_is_exact_or_refused_in_one_line(request):
    rows = check(Path(str(GIVEN)), request.config.cache.mkdir("corpus") / "given.md", request)
    assert rows, f"{GIVEN} holds no file"
    assert {name: row.line for name, row in rows.items() if row.is_fault} == {}


@pytest.fixture(scope="module")
def made(request) -> Path:
    """The generated corpus, made anew where its recipes or the encoders change."""
    sources = (corpus_recipes, corpus_oddities, videos)
    text = "".join(Path(str(it.__file__)).read_text() for it in sources) + av.__version__
    return request.config.cache.mkdir("corpus") / hashlib.sha256(text.encode()).hexdigest()[:12]


def test_every_generated_file_is_exact_or_refused_for_its_reason(made, request):
    files = write_corpus(made / "files")
    assert len(files) >= 120
    rows = check(made / "files", made / "generated.md", request)
    assert {name: row.line for name, row in rows.items() if row.is_fault} == {}
    other = {}
    for recipe in files:
        row = rows[recipe.name]
        is_good = (
            bool(recipe.refused and re.search(recipe.refused, row.line))
            if row.status == REFUSED
            else not recipe.refused or recipe.or_exact
        )
        if not is_good:
            other[recipe.name] = (row.status, row.line)
    assert other == {}
    assert [row.name for row in rows.values() if row.status == EXACT and not row.times] == []
    assert sum(row.status == EXACT for row in rows.values()) >= 120
