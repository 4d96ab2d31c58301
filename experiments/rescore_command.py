"""Official and strict numbers of a run on a benchmark: `vt-env rescore runs/eval --annotations /data/lvbench`.

Works from the journal alone, so a finished run can be scored again wherever the annotations are.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.evaluate import read_journal
from vt_env.benchmarks.export import lmms_eval_results, lmms_eval_samples, submission, write_json, write_jsonl
from vt_env.benchmarks.registry import read_annotations
from vt_env.benchmarks.replies import replies_of
from vt_env.benchmarks.scoreboard import score
from vt_env.errors import ConfigError


@dataclass(frozen=True)
class RescoreRun:
    """Score a run under its benchmark's official rule and the strict one, and write files for other tools."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run directory of an evaluation."""
    annotations: Path
    """The benchmark's annotation file or folder."""
    benchmark: str | None = None
    """Which benchmark, where a folder holds several."""
    split: str | None = None
    """Which split; by default the only one that has gold."""
    seed: int = 0
    """Seed of the guesses that some official rules make."""
    sample: int = 0
    """Which attempt at each task, where there are several."""
    samples_file: Path | None = None
    """Write lmms-eval sample lines here."""
    results_file: Path | None = None
    """Write an lmms-eval results file here."""
    submission_file: Path | None = None
    """Write the official submission here and score nothing: its answers are hidden."""


def main(run: RescoreRun) -> None:
    """Print the two numbers side by side, or write the submission.

    Raises:
        ConfigError: The run holds no episode, or belongs to another benchmark.
        DataError: The journal or the annotations cannot be read.
    """
    episodes = [episode for episode in read_journal(run.run) if episode.sample == run.sample]
    if not episodes:
        raise ConfigError(f"{run.run}: no episode of sample {run.sample}; give the directory of an evaluation")
    annotations = read_annotations(run.annotations, run.benchmark)
    replies = replies_of(episodes)
    if run.submission_file is not None:
        write_json(run.submission_file, submission(annotations, replies))
        return
    board = score(annotations, replies, run.split, run.seed)
    if run.samples_file is not None:
        write_jsonl(run.samples_file, lmms_eval_samples(annotations, replies, board.split))
    if run.results_file is not None:
        config = {"policy": episodes[0].policy, "perception": episodes[0].perception, "split": board.split}
        write_json(run.results_file, lmms_eval_results(board, board.benchmark, config))
    print(board.text())
