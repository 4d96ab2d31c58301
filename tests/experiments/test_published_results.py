"""Published results hold the numbers of every episode, and every table of them is computed from these again."""

import gzip
import json
from pathlib import Path

import pytest
from support.finished_runs import write_eval

from experiments.analysis.episode_records import RECORDS
from experiments.analysis.load_runs import load_run
from experiments.report.publish import LARGEST_BYTES, publish
from experiments.report.report import ReportRun
from experiments.report.report import main as write_report
from experiments.report.seed_report import TABLE_FILE, TABLE_JSON, render_page, render_table, seed_table
from experiments.runs.run_dir import as_json
from vt_env.errors import ConfigError, DataError

RESULTS = Path(__file__).parents[2] / "experiments" / "results"
PUBLISHED = sorted(path.parent for path in RESULTS.glob(f"*/{TABLE_JSON}"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reproduce")
    for seed, right in enumerate(([True, False, True, True], [True, True, True, False])):
        write_eval(folder / f"seed-{seed}" / "eval" / "sft", "sft", right)
    write_eval(folder / "eval" / "random", "random", [True, False, False, False])
    return folder


def test_a_published_run_has_the_numbers_of_its_journal_and_no_text(finished, tmp_path):
    publish([finished], tmp_path)
    played, published = (load_run(folder / "seed-1" / "eval" / "sft") for folder in (finished, tmp_path))
    assert sorted(published.facts, key=str) == sorted(played.facts, key=str) and published.config == played.config
    assert b"What number" not in gzip.decompress((published.path / RECORDS).read_bytes())
    assert not (published.path / "journal.jsonl").exists()


def test_the_tables_of_the_records_are_those_of_the_journals(finished, tmp_path):
    publish([finished], tmp_path)
    table = seed_table(finished)
    assert [it.row.policy for it in table.rows] == ["random", "sft"] and table.rows[1].row.n == 8
    assert json.loads((tmp_path / TABLE_JSON).read_text()) == as_json(table)
    assert (tmp_path / TABLE_FILE).read_text() == render_table(table)
    assert (tmp_path / "plots" / "calls.png").stat().st_size > 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    publish([tmp_path], tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_report_publishes_and_reads_what_was_published(finished, tmp_path, capsys):
    write_report(ReportRun((finished,), out=tmp_path / "report", publish=tmp_path / "published"))
    one, other = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("report", "published"))
    assert one["rows"] == other["rows"] and one["calls"] == other["calls"]
    assert [it["policy"] for it in one["calls"]] == ["random", "sft (seed-0/eval/sft)", "sft (seed-1/eval/sft)"]


def test_what_cannot_be_published_or_read_is_one_line(finished, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="no evaluation with an episode"):
        publish([tmp_path], tmp_path / "out")
    with pytest.raises(ConfigError, match="two runs have one name"):
        publish([finished / "seed-0", finished / "seed-1"], tmp_path / "out")
    publish([finished], tmp_path / "out")
    records = tmp_path / "out" / "eval" / "random" / RECORDS
    records.write_bytes(records.read_bytes()[:-20])
    with pytest.raises(DataError, match="publish the run anew"):
        _ = load_run(records.parent).facts
    monkeypatch.setattr("experiments.report.publish.LARGEST_BYTES", 10)
    with pytest.raises(ConfigError, match="publish at most 10: split the run"):
        publish([finished], tmp_path / "other")


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_published_tables_follow_from_their_records(folder: Path):
    table = seed_table(folder)
    assert json.loads((folder / TABLE_JSON).read_text()) == as_json(table)
    assert (folder / TABLE_FILE).read_text() == render_page(folder, table)
    for records in folder.rglob(RECORDS):
        assert records.stat().st_size <= LARGEST_BYTES
    for name in ("report.json", "plots/calls.png"):
        assert (folder / name).exists(), name


def test_figures_of_the_documentation_are_those_of_the_records():
    for shown in (RESULTS.parents[1] / "docs" / "images").glob("*-calls.png"):
        made = RESULTS / shown.name.removesuffix("-calls.png") / "plots" / "calls.png"
        assert shown.read_bytes() == made.read_bytes(), shown
