"""Where the answers of a run's tasks can be seen, looked up from its configuration when a report is made.

Journals hold no answer key. Where the tasks are no longer there, a report says so and leaves evidence out.
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
class Key:
    """What is known of the tasks of a run."""

    spans: Mapping[str, tuple[Span, ...]]
    """Task to its gold spans, tasks without any left out."""
    annotations: Annotations | None
    """The benchmark's, if the tasks are one."""
    missing: str
    """Why nothing is known; empty where something is."""


def key_of(config: Mapping[str, Any]) -> Key:
    """Look up the tasks of an evaluation by its configuration."""
    return _key(str(config.get("tasks", "")), str(config.get("split", "")) or None)


@lru_cache(maxsize=8)
def _key(tasks: str, split: str | None) -> Key:
    try:
        annotations = None if tasks.partition("/")[0] == "world" else find_annotations(tasks)
        if annotations is not None:
            # Where the spans were handed over with the question, finding them says nothing.
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
        return Key({}, None, str(reason))
    return Key({task_id: known for task_id, known in spans.items() if known}, annotations, "")
