"""Offline rescoring: `vt-env rescore runs/eval`, or `vt-env rescore samples.jsonl --annotations DIR`.

Reads the journal alone, without videos or models. On a benchmark it prints the official score and the strict one. A run
on other tasks is rescored with the current answer keys, and changed verdicts are listed. Replies of another harness are
read from JSON lines with `task_id` and `text`, or from lmms-eval sample files.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments.analysis.accuracy import summarise
from experiments.analysis.clue_runs import refuse_unless_clues
from experiments.analysis.episode_facts import facts_of, stream_journal
from experiments.report.tables import policy_table
from experiments.runs import read_run, run_dir
from experiments.settings.judge import JudgeConfig, served_judge
from vt_env.actions.read_answer import read_answer
from vt_env.benchmarks.readers.registry import find_annotations, read_annotations, view_of, with_view
from vt_env.benchmarks.readers.rows import Annotations
from vt_env.benchmarks.scoring.cgbench_clues import with_clues
from vt_env.benchmarks.scoring.export import lmms_eval_results, lmms_eval_samples, submission, write_json, write_jsonl
from vt_env.benchmarks.scoring.import_replies import read_replies
from vt_env.benchmarks.scoring.judge import OpenScore, judge_open
from vt_env.benchmarks.scoring.replies import Reply, replies_of
from vt_env.benchmarks.scoring.scoreboard import Scoreboard, score
from vt_env.benchmarks.scoring.scoreboard_text import interval_text, latex_table, percent, plain
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError
from vt_env.task_sources import load_tasks


@dataclass(frozen=True)
class RescoreRun:
    """Score a run by the official and the strict rule of its benchmark, and write files for other tools."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run directory of an evaluation, or a JSONL file of replies."""
    annotations: Path | None = None
    """Annotation file or folder of the benchmark; by default the tasks of the run."""
    benchmark: str | None = None
    """Name of the benchmark, where the folder holds several."""
    split: str | None = None
    """Split; by default the only one with gold answers."""
    rule: str | None = None
    """Rule that reads the answers beside the strict one, such as `lmms_eval@mcq_extract`; by default the official."""
    seed: int = 0
    """Seed of the bootstrap, and of the guesses of some official rules."""
    clues: Path | None = None
    """Run directory or JSONL file of replies on CG-Bench's clues (`--tasks cgbench/clues`); adds clue-acc and CRR."""
    sample: int = 0
    """Index of the attempt to score; an official score takes one attempt per task."""
    out: Path | None = None
    """Write all scores to this JSON file."""
    latex_file: Path | None = None
    """Write the LaTeX rows of the paper's table to this file."""
    samples_file: Path | None = None
    """Write lmms-eval sample lines to this file."""
    results_file: Path | None = None
    """Write lmms-eval results to this file."""
    submission_file: Path | None = None
    """Write the official submission to this file and score nothing, for splits with hidden answers."""
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    """Model that grades open answers."""


def main(run: RescoreRun) -> None:
    """Print the official and the strict score, or write the submission.

    Raises:
        ConfigError: The run holds no episode, or belongs to another benchmark.
        DataError: The journal or the annotations cannot be read.
    """
    annotations = _annotations(run)
    if annotations is None:
        _rescore_tasks(run)
        return
    replies = _replies(run, run.run, annotations)
    if run.submission_file is not None:
        write_json(run.submission_file, submission(annotations, replies))
        return
    opened = _judged(run, annotations, replies)
    if opened is not None:
        print(_open_line(opened))
        if all(row.is_open for row in annotations.rows):
            if run.out is not None:
                run_dir.write_json(run.out, {"open": run_dir.as_json(opened)})
            return
    board = score(annotations, replies, run.split, run.seed, run.rule)
    if run.clues is not None:
        refuse_unless_clues(run.clues, run.run)
        board = with_clues(board, annotations, replies, _replies(run, run.clues, annotations), run.seed)
    _write_files(run, annotations, replies, board)
    if run.out is not None:
        run_dir.write_json(run.out, {**board.to_json(), "open": None if opened is None else run_dir.as_json(opened)})
    print(plain(board))


def _write_files(run: RescoreRun, annotations: Annotations, replies: Mapping[str, Reply], board: Scoreboard) -> None:
    config = _config(run.run)
    if run.samples_file is not None or run.results_file is not None:
        samples = list(lmms_eval_samples(annotations, replies, board.split))
        if run.samples_file is not None:
            write_jsonl(run.samples_file, samples)
        if run.results_file is not None:
            write_json(run.results_file, lmms_eval_results(board, board.benchmark, config, samples))
    if run.latex_file is not None:
        run_dir.write_text(run.latex_file, latex_table([(str(config.get("agent", run.run.stem)), board)]))


def _judged(run: RescoreRun, annotations: Annotations, replies: Mapping[str, Reply]) -> OpenScore | None:
    """Grade open answers; `None` without a judge.

    Raises:
        ConfigError: There is a judge, and no reply to an open question.
    """
    if not run.judge.model:
        return None
    if not any(row.is_open and row.task_id in replies for row in annotations.rows):
        raise ConfigError(f"--judge.model {run.judge.model}: {run.run} has no reply to an open question to grade")
    with served_judge(run.judge) as judge:
        return judge_open(annotations.rows, replies, judge, at_once=run.judge.at_once, seed=run.seed)


def _open_line(opened: OpenScore) -> str:
    counted = f"{len(opened.graded)} graded, {len(opened.failed)} unscored"
    if opened.value is None:
        reason = next(iter(opened.failed.values()), "nothing to grade")
        return f"{opened.name}: no number, {counted} (first: {reason}); run again to retry those"
    return f"{opened.name}: {percent(opened.value)} (95 % {interval_text(opened.ci95)}), {counted}"


def _annotations(run: RescoreRun) -> Annotations | None:
    if run.annotations is not None:
        annotations = read_annotations(run.annotations, run.benchmark)
        view = view_of(str(_config(run.run).get("tasks", "")))
        return with_view(annotations, view) if view else annotations
    if not (run.run / read_run.CONFIG).exists():
        raise ConfigError(
            f"{run.run}: no {read_run.CONFIG} names its tasks; give --annotations, the folder of the benchmark"
        )
    config = _config(run.run)
    if "tasks" not in config:
        raise ConfigError(f"{run.run}: a run of {config.get('run')!r}, which has no tasks; give a run of vt-env eval")
    return find_annotations(str(config["tasks"]))


def _replies(run: RescoreRun, path: Path, annotations: Annotations) -> Mapping[str, Reply]:
    if not path.exists():
        raise ConfigError(f"{path}: no such run directory or file of replies")
    if path.is_file():
        return read_replies(path, annotations, run.split)
    replies = replies_of(_attempt(path, run.sample))
    if not replies:
        raise ConfigError(f"{path}: no episode of sample {run.sample}; give the directory of an evaluation")
    return replies


def _attempt(path: Path, sample: int) -> Iterable[Trajectory]:
    return (episode for episode in stream_journal(path) if episode.sample == sample)


def _rescore_tasks(run: RescoreRun) -> None:
    """Rescore a run on other tasks with their current answer keys."""
    names = ("submission_file", "samples_file", "results_file", "latex_file", "clues", "rule")
    asked = [name for name in names if getattr(run, name)]
    if asked:
        raise ConfigError(f"--{asked[0].replace('_', '-')}: the run was not played on a benchmark; give --annotations")
    named = [name for name in ("sample", "benchmark") if getattr(run, name)] + ["judge.model"] * bool(run.judge.model)
    if named:
        raise ConfigError(f"--{named[0]}: for benchmarks alone; other tasks are rescored with all attempts")
    config = _config(run.run)
    keys = {it.item.task_id: it.gold for it in load_tasks(config["tasks"], run.split or config["split"])}
    facts, changed, unknown = [], [], 0
    for episode in stream_journal(run.run):
        gold = keys.get(episode.task_id)
        unknown += episode.task_id not in keys
        correct = episode.correct
        if gold is not None and episode.invalid is None:
            correct = episode.answer is not None and (
                read_answer(episode.answer, episode.options).option_idx == gold.answer_idx
            )
        changed += [episode.task_id] if correct != episode.correct else []
        facts.append(facts_of(replace(episode, correct=correct)))
    row = summarise(str(config.get("agent", run.run.name)), facts, run.seed)
    if run.out is not None:
        run_dir.write_json(run.out, {**run_dir.as_json(row), "changed": changed})
    print("\n".join(policy_table([row])))
    named = f" ({', '.join(changed[:3])})" if changed else ""
    print(f"\nrescored: {len(facts)} episodes, {len(changed)} verdicts changed{named}")
    if unknown:
        print(f"{unknown} episodes belong to no current task of {config['tasks']}; their journalled verdicts are kept")


def _config(path: Path) -> dict[str, Any]:
    return read_run.read_json(path / read_run.CONFIG) if (path / read_run.CONFIG).exists() else {"replies": str(path)}
