"""Publish evaluations as data: `vt-env report runs/reproduce --publish experiments/results/reproduce`.

    RUN/eval/random/journal.jsonl ──► NAME/eval/random/records.jsonl.gz   numbers of each episode, no texts
    config.json, provenance.json, metrics.jsonl ──► the same, of every run
    records ──► report.json, table.json, table.md, plots/

What is published is what `experiments.report.seed_report` computes from the records alone, so anybody can do so again:
`python -m experiments.report.seed_report experiments/results/NAME`.
"""

import gzip
from collections.abc import Sequence
from pathlib import Path

from experiments.analysis.episode_records import RECORDS
from experiments.analysis.finished_run import FinishedRun
from experiments.analysis.load_runs import find_runs, load_run
from experiments.report.seed_report import ERRORS_FILE, INPUTS, write_seed_report
from experiments.runs.read_run import CONFIG, METRICS, PROVENANCE
from experiments.runs.run_dir import write_text
from vt_env.errors import ConfigError
from vt_env.jsonl import encode_record, replace_file

_REPOSITORY = Path(__file__).resolve().parents[2]
LARGEST_BYTES = 5_000_000
"""Largest file of records."""


def publish(folders: Sequence[Path], out: Path) -> None:
    """Write the records of all evaluations below the folders, and what is computed from them.

    Args:
        folders: Run directories, or folders of them; the layout below a single folder is kept.
        out: Folder of the published results; a run that is published already is replaced.

    Raises:
        ConfigError: There is no evaluation with an episode, or the records of one are too large.
        DataError: A run directory is damaged.
    """
    named = {path: path.relative_to(folder) for folder in folders for path in find_runs(folder)}
    if len(folders) > 1:
        named = {path: Path(path.name) for path in named}
    if len(set(named.values())) < len(named):
        raise ConfigError("--publish: two runs have one name; give the folder that holds both")
    runs = {name: load_run(path) for path, name in named.items()}
    if not any(run.kind == "eval" and run.facts for run in runs.values()):
        raise ConfigError(f"--publish: {', '.join(map(str, folders))}: no evaluation with an episode")
    for name, run in runs.items():
        _publish_run(run, out / name)
    for name in (INPUTS, ERRORS_FILE):
        if (folders[0] / name).exists() and folders[0] != out:
            _copy_text(folders[0] / name, out / name)
    write_seed_report(out, out)


def _publish_run(run: FinishedRun, folder: Path) -> None:
    for name in (CONFIG, PROVENANCE, METRICS):
        if (run.path / name).exists() and run.path != folder:
            _copy_text(run.path / name, folder / name)
    if run.kind != "eval":
        return
    lines = "".join(f"{encode_record(facts)}\n" for facts in sorted(run.facts, key=lambda it: (it.task_id, it.sample)))
    # Without a time, equal records are equal files.
    packed = gzip.compress(lines.encode(), mtime=0)
    if len(packed) > LARGEST_BYTES:
        raise ConfigError(f"{run.path}: {len(packed)} bytes of records; publish at most {LARGEST_BYTES}: split the run")
    with replace_file(folder / RECORDS) as part:
        part.write_bytes(packed)


def _copy_text(source: Path, target: Path) -> None:
    """Copy a file; paths below the working directory and the repository become relative to them."""
    text = source.read_text(encoding="utf-8")
    for folder in {Path.cwd(), _REPOSITORY}:
        text = text.replace(f"{folder}/", "")
    write_text(target, text)
