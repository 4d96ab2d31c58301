"""What the episodes of an evaluation have in common, for provenance: annotations, wording, sampling, model, code."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from experiments.policies import Policy
from experiments.provenance import PACKAGES, commit, has_uncommitted_changes, machine, package_version
from vt_env import prompts
from vt_env.config import EnvConfig
from vt_env.fingerprint import fingerprint
from vt_env.tasks import Task
from vt_env.tool import Tool
from vt_env.types import Item, Remaining, VideoRef

SAMPLER = "frames at the middles of equal parts, each once"
"""How `vt_env.perception` chooses moments; to be changed with it."""
WHOLE, PARTS = "the whole video", "parts of each video alone, as its annotations have them, and no tool"
"""What an episode may be about, for provenance; the latter is CG-Bench's clue condition."""


def evaluation_origin(policy: Policy, tasks: Sequence[Task], seed: int) -> dict[str, Any]:
    """Say where the episodes of a policy come from.

    Args:
        policy: Who plays, its model loaded.
        tasks: What is played.
        seed: Seed of the run.
    """
    return {
        "annotation_hash": annotation_hash(tasks),
        "prompt_id": prompt_id(policy.layout.tools),
        "sampler": sampler(policy.layout.config),
        "shown": PARTS if any(task.item.shown for task in tasks) else WHOLE,
        "policy": policy.name,
        **policy.origin,
        "seed": seed,
        "commit": commit(),
        "uncommitted_changes": has_uncommitted_changes(),
        "versions": {name: version for name in PACKAGES if (version := package_version(name))},
        "machine": machine(),
    }


def annotation_hash(tasks: Sequence[Task]) -> str:
    """Fingerprint questions, options, videos, answer keys and the parts that are shown alone, in their order.

    Where files lie does not matter.
    """
    return fingerprint([_annotation(task) for task in tasks])


def prompt_id(tools: Sequence[Tool]) -> str:
    """Fingerprint the wording that a model reads: every form of text rendered once, and the tools' descriptions."""
    item = Item("id", "question", ("one", "other"), VideoRef("handle", "path"))
    left = [Remaining(0, 0), Remaining(1, 1)]
    texts = [
        prompts.system_text(),
        *(prompts.question_text(item, 61.0, it, kind) for it in left for kind in ("frames", "captions")),
        *(prompts.result_text("result", it, "frames") for it in left),
        prompts.clips_text([]),
        prompts.subtitles_text([]),
        prompts.captions_text([]),
        prompts.error_text("error"),
        prompts.malformed_text("reason", tools),
        prompts.OVER,
    ]
    return fingerprint([texts, [tool.schema for tool in tools]])


def sampler(config: EnvConfig) -> Mapping[str, Any]:
    """Say what decides which frames are shown, and fingerprint it."""
    what = {"rule": SAMPLER, "perception": config.perception, "budget": asdict(config.budget)}
    what |= {"media": asdict(config.media)}
    return {**what, "hash": fingerprint(what)}


def _annotation(task: Task) -> list[Any]:
    item, gold = task.item, task.gold
    key = None if gold is None else [gold.answer_idx, [[span.start_s, span.end_s] for span in gold.evidence]]
    parts = [[span.start_s, span.end_s] for span in item.shown]
    annotation = [item.task_id, item.question, list(item.options), item.video.handle, item.family, item.split, key]
    return [*annotation, parts] if parts else annotation
