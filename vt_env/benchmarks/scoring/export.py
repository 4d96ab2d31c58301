"""Replies in the files that other tools and official servers take.

A submission holds an answer for every question that its server asks, so an incomplete one is refused. What cannot be
read strictly goes out blank (MLVU, LongVideoBench) or as -1 (EgoSchema), never as a guess; how servers count those is
not documented.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vt_env.benchmarks.readers.parse_fields import letter_at
from vt_env.benchmarks.readers.rows import Annotations, Row
from vt_env.benchmarks.readers.to_tasks import item_options
from vt_env.benchmarks.scoring.replies import Reply, Status, strict_status
from vt_env.benchmarks.scoring.scoreboard import Scoreboard, scored_rows
from vt_env.benchmarks.scoring.verdicts import strict_verdict
from vt_env.errors import ConfigError

UNREAD_POSITION = -1
NAMED = 3

SUBMISSIONS: Mapping[str, str] = {"mlvu_test": "test", "egoschema": "*", "longvideobench": "test"}
"""Benchmark to the split that its server scores; `*` for all."""


def submission(annotations: Annotations, replies: Mapping[str, Reply]) -> Any:
    """Return the official submission, to be written as JSON.

    * MLVU test: `[{"question_id", "question_type", "option"}]` (JUNJIE99/MLVU, `evaluation_test/test_res.json`)
    * EgoSchema: `{q_uid: 0 to 4}` for all 5031 questions (egoschema/EgoSchema, `validate.py`)
    * LongVideoBench test: `{id: letter}` (as lmms-eval writes it, there with the whole reply)

    Raises:
        ConfigError: The benchmark has no such file, or a question has no reply.
    """
    name = annotations.benchmark
    if name not in SUBMISSIONS:
        raise ConfigError(f"{name}: no submission file is known; there is one for {', '.join(SUBMISSIONS)}")
    rows = [row for row in annotations.rows if not row.is_open and SUBMISSIONS[name] in ("*", row.split)]
    missing = [row.question_id for row in rows if row.task_id not in replies]
    if missing or not rows:
        named = ", ".join(missing[:NAMED])
        raise ConfigError(f"{name}: {len(missing)} of {len(rows)} questions have no reply ({named}); play them first")
    read = {row.question_id: strict_status(replies[row.task_id], item_options(row))[0] for row in rows}
    if name == "egoschema":
        return {uid: UNREAD_POSITION if idx is None else idx for uid, idx in read.items()}
    letters = {question_id: "" if idx is None else letter_at(idx) for question_id, idx in read.items()}
    if name == "longvideobench":
        return letters
    return [
        {"question_id": row.question_id, "question_type": row.labels["task"][0], "option": letters[row.question_id]}
        for row in rows
    ]


def lmms_eval_samples(
    annotations: Annotations, replies: Mapping[str, Reply], split: str, metric: str = "exact_match"
) -> Iterator[dict[str, Any]]:
    """Return the lines of an lmms-eval sample file (`*_samples_TASK.jsonl`), in the order of the annotations.

    Keys are those that its tracker writes (0716c69d, `loggers/evaluation_tracker.py`): `doc_id`, `target`,
    `filtered_resps`, `doc_hash`, `input` and one key a metric. `doc_hash` is of the annotation as read here, so it
    equals lmms-eval's only where that reads the same columns. Errors are left out, as questions without a reply are.
    `score` repeats the metric: lmms-eval 0.7.3 (`baselines/loader.py`, for `--baseline`) takes a key of that name, and
    without one compares the whole reply with the target, so that "(C)" would be wrong.

    Args:
        annotations: The benchmark.
        replies: Task id to reply.
        split: Which split.
        metric: Name of the metric whose value is 1 for right and 0 for wrong, strictly.
    """
    for doc_id, row in enumerate(scored_rows(annotations, split)):
        reply = replies.get(row.task_id)
        verdict = None if reply is None else strict_verdict(row, reply)
        if reply is None or verdict is None or verdict.status is Status.ERROR:
            continue
        yield {
            "doc_id": doc_id,
            "target": "" if row.answer_idx is None else letter_at(row.answer_idx),
            "filtered_resps": [reply.text],
            "doc_hash": _doc_hash(row),
            "input": _input(row),
            metric: float(verdict.correct),
            "score": float(verdict.correct),
            "status": verdict.status.value,
            "task_id": row.task_id,
        }


def lmms_eval_results(
    board: Scoreboard, task: str, config: Mapping[str, Any], samples: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Return an lmms-eval results file, with the keys that its tables and loggers read.

    An incomplete run has no `METRIC,none` entry under the official name: the coverage stands in the name. Values are
    percent, as its own of these benchmarks are. `METRIC_stderr,none` is half of the 95 % interval over videos by 1.96.

    Args:
        board: The scores.
        task: lmms-eval's name of the task.
        config: What the run was, to be kept beside the numbers; `agent` becomes the name of the model.
        samples: Lines of the sample file, for `task_hashes`.
    """
    metrics = {f"{one.name} ({one.rule})": one for one in reversed(board.shown)}
    numbers: dict[str, Any] = {"alias": task}
    for name, one in metrics.items():
        numbers[f"{name},none"] = one.value
        numbers[f"{name}_stderr,none"] = None if one.ci95 is None else (one.ci95[1] - one.ci95[0]) / (2 * 1.96)
        numbers[f"{name} counted,none"] = one.counted
    hashed = "".join(f"sample_{idx}{sample['doc_hash']}" for idx, sample in enumerate(samples))
    return {
        "results": {task: numbers},
        "group_subtasks": {task: []},
        "configs": {task: {"task": task, "metadata": dict(config)}},
        "versions": {task: board.strict.rule},
        "n-shot": {task: 0},
        "higher_is_better": {task: dict.fromkeys(metrics, True)},
        "n-samples": {task: {"original": board.questions, "effective": board.replied}},
        "config": {"model": "vt_env", "model_args": f"agent={config.get('agent', '')}", "limit": None},
        "task_hashes": {task: hashlib.sha256(hashed.encode()).hexdigest()} if hashed else {},
        "model_name": str(config.get("agent", "")),
    }


def write_json(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all."""
    _write(path, [json.dumps(content, ensure_ascii=False, indent=2)])


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, whole or not at all."""
    _write(path, (json.dumps(row, ensure_ascii=False) for row in rows))


def _write(path: Path, lines: Iterable[str]) -> None:
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
    os.replace(part, path)


def _doc_hash(row: Row) -> str:
    doc = json.dumps(row.raw, indent=2, ensure_ascii=False, default=str)
    return hashlib.sha256(doc.encode()).hexdigest()


def _input(row: Row) -> str:
    options: Sequence[str] = [f"{letter_at(idx)}. {option}" for idx, option in enumerate(row.options)]
    return "\n".join([row.question, *options])
