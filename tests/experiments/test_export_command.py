"""`vt-env export verl` writes what verl reads, and says what is wrong in one line."""

import json
import shlex
from pathlib import Path

import pytest
from pyarrow import parquet
from support.document_blocks import blocks

from experiments.cli import run
from experiments.data.export import LOOPS_FILE
from vt_env.integrations.shared_source import session_source

ROWS = [
    {
        "video": "a.mp4",
        "question": "Which city?",
        "options": ["Oslo", "Lima"],
        "answer": 1,
        "task_id": f"a-{split}",
        "split": split,
    }
    for split in ("train", "test")
]


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    (tmp_path / "a.mp4").touch()
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def export(*arguments: object) -> int:
    return run(["export", *map(str, arguments)])


def test_each_split_has_its_rows_and_its_loop(tasks, tmp_path):
    for split in ("train", "test", "train"):
        assert export("verl", "--tasks", tasks, "--split", split, "--out", tmp_path / "data") == 0

    (row,) = parquet.read_table(tmp_path / "data" / "test.parquet").to_pylist()
    assert row["extra_info"]["task_id"] == "a-test"
    assert row["reward_model"]["ground_truth"] == ""
    loops = json.loads((tmp_path / "data" / LOOPS_FILE).read_text())
    assert [it["name"] for it in loops] == ["vt_env_test", "vt_env_train"]
    assert loops[0]["source"]["tasks"] == str(tasks)
    assert session_source(loops[0]["source"]).tasks[0].item.question == "Which city?"


def test_rows_of_ms_swift_name_their_tasks_and_rules_and_hold_no_answer(tasks, tmp_path):
    assert export("ms-swift", "--tasks", tasks, "--out", tmp_path / "data") == 0
    (row,) = map(json.loads, (tmp_path / "data" / "train.jsonl").read_text().splitlines())
    assert row["task_id"] == "a-train" and set(row) == {"messages", "task_id", "env_config"}
    assert session_source(row["env_config"]).tasks[0].item.task_id == "a-train"


@pytest.mark.slow
def test_the_commands_of_the_docs_run_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = [it for block in blocks("bash", "run by tests/experiments/test_export") for it in block.commands]
    assert len(printed) == 4
    for command in printed:
        assert run(shlex.split(command)[1:]) == 0
    assert {it.name for it in Path("verl-data").iterdir()} == {"train.parquet", "test.parquet", LOOPS_FILE}
    assert len(list(Path("lmms-tasks").iterdir())) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tensorflow",), "allowed are verl, ms-swift and lmms-eval"),
        (("verl", "--split", "dev"), "dev"),
        (("verl", "--budget", "large"), "large"),
    ],
)
def test_what_cannot_be_exported_is_named(tasks, tmp_path, capsys, arguments, message):
    assert export(*arguments, "--tasks", tasks, "--out", tmp_path / "data") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_a_damaged_list_of_loops_is_not_overwritten(tasks, tmp_path, capsys):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / LOOPS_FILE).write_text("[1]")
    assert export("verl", "--tasks", tasks, "--out", folder) == 2
    assert "remove the file" in capsys.readouterr().err
