"""A run directory is continued by the same configuration only, and nothing half-written counts."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from experiments.runs import read_run, run_dir
from experiments.runs.provenance import commit, provenance
from vt_env.config import HOW_ONLY
from vt_env.errors import ConfigError, DataError
from vt_env.jsonl import read_jsonl


@dataclass(frozen=True)
class Inner:
    rate_hz: float = 1.0
    data_seed: int = 5


@dataclass(frozen=True)
class Small:
    out: Path = Path("a")
    seed: int = 3
    sizes: tuple[int, ...] = (1, 2)
    inner: Inner = Inner()


def test_a_run_directory_says_what_was_run_and_with_what(tmp_path):
    with run_dir.open_run(tmp_path / "run", "toy", Small()):
        pass
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config == {"run": "toy", "seed": 3, "sizes": [1, 2], "inner": {"rate_hz": 1.0, "data_seed": 5}}
    origin = json.loads((tmp_path / "run/provenance.json").read_text())
    assert origin["seeds"] == {"seed": 3, "inner.data_seed": 5}
    assert origin["machine"]["cpu"] >= 1 and "numpy" in origin["versions"]


def test_the_same_configuration_continues_and_another_one_is_refused_by_its_first_difference(tmp_path):
    with run_dir.open_run(tmp_path, "toy", Small()) as run:
        run.journal({"n": 1})
    with run_dir.open_run(tmp_path, "toy", Small(out=Path("elsewhere"))) as run:
        run.journal({"n": 2})
        assert [record["n"] for record in read_jsonl(run.path / read_run.JOURNAL)] == [1, 2]
    other = replace(Small(), inner=Inner(rate_hz=2.0))
    with pytest.raises(ConfigError, match=r"inner\.rate_hz=1\.0, now inner\.rate_hz=2\.0: give another --out"):
        run_dir.open_run(tmp_path, "toy", other).__enter__()


@dataclass(frozen=True)
class Served:
    url: str = field(default="http://b", metadata=HOW_ONLY)
    model: str = "m"


@dataclass(frozen=True)
class Asking:
    server: Served = Served()
    prompts: str = field(default="", metadata=HOW_ONLY)


def test_a_run_goes_on_where_an_earlier_version_kept_how_it_was_done(tmp_path):
    kept = {"run": "toy", "server": {"url": "http://a", "model": "m"}, "prompts": "tiny@1"}
    (tmp_path / run_dir.CONFIG).write_text(json.dumps(kept))
    with run_dir.open_run(tmp_path, "toy", Asking(), {"prompts": "tiny@1"}):
        pass
    with pytest.raises(ConfigError, match=r"server\.model='m', now server\.model='n'"):
        run_dir.open_run(tmp_path, "toy", Asking(Served(model="n")), {"prompts": "tiny@1"}).__enter__()
    with pytest.raises(ConfigError, match="prompts='tiny@1', now prompts='default@1'"):
        run_dir.open_run(tmp_path, "toy", Asking(), {"prompts": "default@1"}).__enter__()


def test_two_processes_cannot_run_in_one_directory(tmp_path):
    code = "import sys; from pathlib import Path; from test_runs import Small; from experiments.runs import run_dir\n"
    code += "with run_dir.open_run(Path(sys.argv[1]), 'toy', Small()): pass"
    command = [sys.executable, "-c", code, str(tmp_path)]
    paths = [str(Path(__file__).parents[it]) for it in range(3)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with run_dir.open_run(tmp_path, "toy", Small()):
        other = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert "is in use by another process" in other.stderr
    assert subprocess.run(command, env=environment, check=False).returncode == 0


def test_a_torn_last_line_is_dropped_and_a_broken_middle_line_is_refused(tmp_path):
    with run_dir.open_run(tmp_path, "toy", Small()) as run:
        run.journal({"n": 1})
    journal = tmp_path / read_run.JOURNAL
    journal.write_bytes(journal.read_bytes() + b'{"n": 2, "text": "half a l')
    with run_dir.open_run(tmp_path, "toy", Small()) as run:
        run.journal({"n": 3})
        assert [record["n"] for record in read_jsonl(run.path / read_run.JOURNAL)] == [1, 3]
    journal.write_text('{"n": 1}\n{"n"\n{"n": 3}\n')
    with pytest.raises(DataError, match=r"journal\.jsonl:2: not JSON"):
        list(read_jsonl(journal))


def test_wall_time_adds_up_over_the_processes_of_a_run(tmp_path):
    lines = [("opened", 0.0), ("step", 4.0), ("opened", 0.0), ("step", 1.0), ("closed", 2.5)]
    text = "".join(json.dumps({"event": event, "elapsed_s": elapsed_s}) + "\n" for event, elapsed_s in lines)
    (tmp_path / read_run.METRICS).write_text(text)
    assert read_run.wall_s(tmp_path) == 6.5


def test_the_commit_is_that_of_this_checkout_whatever_the_working_directory(tmp_path, monkeypatch):
    before = commit()
    monkeypatch.chdir(tmp_path)
    assert commit() == before
    assert provenance({})["commit"] == before


def test_a_missing_or_broken_json_file_is_named(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_run.read_json(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(DataError, match="list instead of a JSON object"):
        read_run.read_json(tmp_path / "config.json")


def test_a_run_that_is_refused_before_it_did_anything_leaves_the_directory_to_the_next(tmp_path):
    with pytest.raises(ConfigError, match="no such thing"), run_dir.open_run(tmp_path / "run", "eval", Small(seed=1)):
        raise ConfigError("no such thing")
    assert list((tmp_path / "run").iterdir()) == []
    with run_dir.open_run(tmp_path / "run", "eval", Small(seed=2)) as run:
        run.journal({"n": 1})
    with pytest.raises(ConfigError, match="later"), run_dir.open_run(tmp_path / "run", "eval", Small(seed=2)):
        raise ConfigError("later")
    assert list(read_jsonl(run.path / read_run.JOURNAL)) == [{"n": 1}]


def test_a_run_is_copied_at_its_end_and_resumed_where_it_is_missing(tmp_path, monkeypatch):
    pytest.importorskip("fsspec", reason="needs the remote extra")
    monkeypatch.setenv(run_dir.REMOTE_RUNS, f"memory://{tmp_path.name}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyboardInterrupt), run_dir.open_run(Path("here/run"), "toy", Small()) as run:
        run.journal({"n": 1})
        raise KeyboardInterrupt
    (tmp_path / "here").rename(tmp_path / "lost")
    with run_dir.open_run(Path("here/run"), "toy", Small()) as run:
        run.journal({"n": 2})
    assert [record["n"] for record in read_jsonl(Path("here/run") / read_run.JOURNAL)] == [1, 2]
    (tmp_path / "here").rename(tmp_path / "lost again")
    with pytest.raises(ConfigError, match="seed=3, now seed=4"):
        run_dir.open_run(Path("here/run"), "toy", Small(seed=4)).__enter__()


def test_a_copy_that_fails_stops_no_run_before_its_end(tmp_path, monkeypatch):
    pytest.importorskip("fsspec", reason="needs the remote extra")
    monkeypatch.setenv(run_dir.REMOTE_RUNS, f"file://{tmp_path}/there")
    with (
        pytest.raises(ConfigError, match="check the address"),
        run_dir.open_run(tmp_path / "run", "toy", Small()) as run,
    ):
        monkeypatch.setenv(run_dir.REMOTE_RUNS, "file:///proc/nowhere")
        with pytest.warns(UserWarning, match="goes on and tries again"):
            run.sync()
        run.journal({"n": 1})
    assert list(read_jsonl(tmp_path / "run" / read_run.JOURNAL)) == [{"n": 1}]


def test_an_address_that_cannot_be_written_is_refused_before_any_work(tmp_path, monkeypatch):
    pytest.importorskip("fsspec", reason="needs the remote extra")
    monkeypatch.setenv(run_dir.REMOTE_RUNS, "file:///proc/nowhere")
    with pytest.raises(ConfigError, match="check the address"):
        run_dir.open_run(tmp_path / "run", "toy", Small()).__enter__()
    assert list((tmp_path / "run").iterdir()) == []


def test_an_address_as_a_run_directory_is_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="set VT_ENV_REMOTE_RUNS to copy it there"):
        run_dir.open_run(Path("s3://bucket/run"), "toy", Small()).__enter__()
    assert list(tmp_path.iterdir()) == []
