"""Export of replies as submissions to official servers and as lmms-eval files.

A submission must answer every question of its server; an incomplete one raises `ConfigError`. A reply that the strict
rule cannot parse is submitted blank (MLVU, LongVideoBench) or as -1 (EgoSchema), never as a guess; it is not documented
how the servers count those.
"""

import hashlib
import json
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
from vt_env.jsonl import write_lines
from vt_env.valid_text import is_valid_text

UNPARSED_IDX = -1
MAX_NAMED = 3

SUBMISSIONS: Mapping[str, str] = {"mlvu_test": "test", "egoschema": "*", "longvideobench": "test"}
"""Split that the server of each benchmark scores; `*` for all."""


def submission(annotations: Annotations, replies: Mapping[str, Reply]) -> Any:
    """Build the official submission as JSON values.

    * MLVU test: `[{"question_id", "question_type", "option"}]` (JUNJIE99/MLVU, `evaluation_test/test_res.json`)
    * EgoSchema: `{q_uid: 0 to 4}` for all 5031 questions (egoschema/EgoSchema, `validate.py`)
    * LongVideoBench test: `{id: letter}` (as in lmms-eval, which writes the whole reply)

    Raises:
        ConfigError: No submission format is known for the benchmark, or a question has no reply.
    """
    name = annotations.benchmark
    if name not in SUBMISSIONS:
        raise ConfigError(f"{name}: no submission format is known; allowed are {', '.join(SUBMISSIONS)}")
    rows = [row for row in annotations.rows if not row.is_open and SUBMISSIONS[name] in ("*", row.split)]
    missing = [row.question_id for row in rows if row.task_id not in replies]
    if missing or not rows:
        named = ", ".join(missing[:MAX_NAMED])
        raise ConfigError(f"{name}: {len(missing)} of {len(rows)} questions have no reply ({named}); play them first")
    read = {row.question_id: strict_status(replies[row.task_id], item_options(row))[0] for row in rows}
    if name == "egoschema":
        return {uid: UNPARSED_IDX if idx is None else idx for uid, idx in read.items()}
    letters = {question_id: "" if idx is None else letter_at(idx) for question_id, idx in read.items()}
    if name == "longvideobench":
        return letters
    return [
        {"question_id": row.question_id, "question_type": row.labels["task"][0], "option": letters[row.question_id]}
        for row in rows
    ]


def lmms_eval_samples(annotations: Annotations, replies: Mapping[str, Reply], split: str) -> Iterator[dict[str, Any]]:
    """Yield the lines of an lmms-eval sample file (`*_samples_TASK.jsonl`), in the order of the annotations.

    The keys are those of its tracker (0716c69d, `loggers/evaluation_tracker.py`): `doc_id`, `target`,
    `filtered_resps`, `doc_hash`, `input` and one key per metric, here `exact_match`: 1 for a strictly correct reply,
    else 0. `doc_hash` hashes the annotation as read here, so it equals lmms-eval's only if that reads the same columns.
    `doc_id` counts the raw rows of the split, from 0.
    Questions with an error or without a reply are left out. `score` repeats the metric: lmms-eval 0.7.3
    (`baselines/loader.py`, for `--baseline`) reads a key of that name, and without one compares the whole reply with
    the target, so that "(C)" would be wrong.

    Args:
        annotations: The benchmark.
        replies: Replies by task id.
        split: The split.
    """
    doc_ids = {task_id: doc_id for doc_id, task_id in enumerate(annotations.positions.get(split, ())) if task_id}
    for row in scored_rows(annotations, split):
        reply = replies.get(row.task_id)
        verdict = None if reply is None else strict_verdict(row, reply)
        if reply is None or verdict is None or verdict.status is Status.ERROR:
            continue
        yield {
            "doc_id": doc_ids[row.task_id],
            "target": "" if row.answer_idx is None else letter_at(row.answer_idx),
            "filtered_resps": [reply.text],
            "doc_hash": _doc_hash(row),
            "input": _input(row),
            "exact_match": float(verdict.correct),
            "score": float(verdict.correct),
            "status": verdict.status.value,
            "task_id": row.task_id,
        }


def lmms_eval_results(
    board: Scoreboard, task: str, config: Mapping[str, Any], samples: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Build an lmms-eval results file, with the keys that its tables and loggers read.

    The metric name of an incomplete run includes the coverage, so it has no entry under the official name. Values are
    percentages, as lmms-eval's are for these benchmarks. `METRIC_stderr,none` is half the width of the 95 % interval
    over videos, divided by 1.96.

    Args:
        board: The scores.
        task: lmms-eval's task name.
        config: Run configuration, stored as metadata; `agent` becomes the model name.
        samples: Lines of the sample file, for `task_hashes`.
    """
    metrics = {f"{one.name} ({one.rule})": one for one in reversed(board.rules)}
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
    write_lines(path, [_json(content, indent=2)])


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, whole or not at all."""
    write_lines(path, map(_json, rows))


def _json(content: Any, indent: int | None = None) -> str:
    text = json.dumps(content, ensure_ascii=False, indent=indent)
    # Half a surrogate pair, which models write, has no UTF-8; JSON can escape it.
    return text if is_valid_text(text) else json.dumps(content, indent=indent)


def _doc_hash(row: Row) -> str:
    doc = json.dumps(row.raw, indent=2, ensure_ascii=False, default=str)
    return hashlib.sha256(doc.encode(errors="surrogatepass")).hexdigest()


def _input(row: Row) -> str:
    options: Sequence[str] = [f"{letter_at(idx)}. {option}" for idx, option in enumerate(row.options)]
    return "\n".join([row.question, *options])
