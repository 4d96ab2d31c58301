"""Gold evidence of the tasks of a run, looked up from its configuration.

Journals hold no answer key. Where the tasks are no longer available, a report states the reason and omits evidence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from vt_env.benchmarks.readers.parse_fields import valid_spans
from vt_env.benchmarks.readers.registry import find_annotations
from vt_env.benchmarks.readers.rows import Annotations, Span
from vt_env.errors import ConfigError, DataError
from vt_env.task_sources import load_tasks


@dataclass(frozen=True)
class TaskGold:
    """Gold evidence of the tasks of a run."""

    spans: Mapping[str, tuple[Span, ...]]
    """Gold spans by task id; tasks without any are absent."""
    annotations: Annotations | None
    """Annotations of the benchmark; `None` for other tasks."""
    missing: str
    """Reason why the tasks could not be read; empty where they could."""


def gold_of(config: Mapping[str, Any]) -> TaskGold:
    """Look up the gold evidence of an evaluation by its configuration."""
    return _gold(str(config.get("tasks", "")), str(config.get("split", "")) or None)


@lru_cache(maxsize=8)
def _gold(tasks: str, split: str | None) -> TaskGold:
    try:
        annotations = None if tasks.partition("/")[0] == "world" else find_annotations(tasks)
        if annotations is not None:
            # A task that shows its evidence alone cannot measure whether the policy finds it.
            asked = () if annotations.view else annotations.rows
            spans = {row.task_id: tuple(valid_spans(row.evidence)) for row in asked}
        else:
            golds = {task.item.task_id: task.gold for task in load_tasks(tasks, split)}
            spans = {
                task_id: tuple((span.start_s, span.end_s) for span in gold.evidence)
                for task_id, gold in golds.items()
                if gold is not None
            }
    except (ConfigError, DataError) as reason:
        return TaskGold({}, None, str(reason))
    return TaskGold({task_id: known for task_id, known in spans.items() if known}, annotations, "")
