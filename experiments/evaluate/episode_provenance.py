"""Provenance shared by the episodes of an evaluation: annotations, prompts, frame sampling, model, code."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.runs.provenance import PACKAGES, commit, has_uncommitted_changes, machine, package_version
from experiments.runs.read_run import PROVENANCE, read_json
from experiments.settings.policies import Policy
from vt_env.budget.remaining import Remaining
from vt_env.config import EnvConfig
from vt_env.errors import ConfigError
from vt_env.hashing import fingerprint
from vt_env.media.library import VideoLibrary
from vt_env.media.search.encoders import TextEncoder
from vt_env.media.text.summaries import Summariser
from vt_env.prompts import OVER, TINY, PromptSet
from vt_env.tasks.task_set import Task
from vt_env.tools.tool import Tool
from vt_env.types import Item, VideoRef

SAMPLER = "frames at the middles of equal parts, each once"
"""Rule by which `vt_env.episode.perception` samples frames; change both together."""
WHOLE, PARTS = "the whole video", "parts of each video alone, as its annotations have them, and no tool"
"""Values of `shown`: the part of a video that an episode is about; the second is CG-Bench's clue condition."""


def evaluation_provenance(policy: Policy, tasks: Sequence[Task], seed: int) -> dict[str, Any]:
    """Return the provenance of a policy's episodes as plain JSON values.

    Args:
        policy: The policy, with its model loaded.
        tasks: Tasks of the evaluation.
        seed: Seed of the run.
    """
    return {
        "annotation_hash": annotation_hash(tasks),
        "prompts": policy.layout.prompts.id,
        "prompt_id": prompt_id(policy.layout.prompts, policy.layout.tools),
        "sampler": sampler(policy.layout.config),
        "shown": PARTS if any(task.item.shown for task in tasks) else WHOLE,
        "policy": policy.name,
        **policy.provenance,
        "seed": seed,
        "commit": commit(),
        "uncommitted_changes": has_uncommitted_changes(),
        "versions": {name: version for name in PACKAGES if (version := package_version(name))},
        "machine": machine(),
    }


def search_provenance(library: VideoLibrary, videos: Sequence[VideoRef]) -> dict[str, Any]:
    """Return the keys of the models that search, read the screen and summarise subtitles; `None` means no model.

    Args:
        library: Opens the videos.
        videos: Videos of the evaluation; where their encoders differ, `clip_encoder` joins the keys.
    """
    own = library.text_models
    models = {"encoder": _key(own.encoder), "summariser": _key(own.summariser)}
    # Runs without captions have no entry, so that their provenance equals that of runs made before captions counted.
    if any(map(own.searches_captions, videos)):
        models["captions"] = _key(own.caption_encoder) or "words"
    if own.screen_ocr is not None:
        models["screen_text"] = own.screen_ocr.key
    keys = sorted({key for it in videos if (key := _key(library.encoders.encoder_of(it)))})
    return {"clip_encoder": " and ".join(keys) or None, "text_models": models}


def check_same_provenance(path: Path, played: Set[str], now: Mapping[str, Any]) -> None:
    """Reject resuming a journal whose episodes have another provenance; the run's configuration does not show it.

    Another commit, machine or package version is allowed: the provenance names each.

    Args:
        path: The run directory.
        played: Provenance keys of the episodes in the journal.
        now: Provenance of the episodes to be played.

    Raises:
        ConfigError: Annotations, prompts, frame sampling, weights or the code of the user's agent have changed.
    """
    known = read_json(path / PROVENANCE).get("origins", {})
    for key in sorted(played & known.keys()):
        before, after = _decisive(known[key]), _decisive(now)
        for name in before.keys() & after.keys():
            if before[name] != after[name]:
                raise ConfigError(
                    f"{path}: its episodes were played with {name} {before[name]}, now it is {after[name]}: give "
                    "another --out, since one run must not mix the two"
                )


def _decisive(provenance: Mapping[str, Any]) -> dict[str, Any]:
    named = ("annotation_hash", "prompt_id", "shown", "clip_encoder", "text_models")
    found = {name: provenance[name] for name in named if name in provenance}
    hashes = {f"{name} hash": provenance.get(name, {}).get("hash") for name in ("sampler", "model", "source")}
    return found | {name: value for name, value in hashes.items() if value is not None}


def annotation_hash(tasks: Sequence[Task]) -> str:
    """Fingerprint questions, options, videos, answer keys and excerpts, in the order of the tasks.

    Paths of files do not count, so a copy of a benchmark has the same hash.
    """
    return fingerprint([_annotation(task) for task in tasks])


def prompt_id(prompts: PromptSet, tools: Sequence[Tool]) -> str:
    """Fingerprint all text that a model reads: each template rendered once, and the schemas of the tools."""
    item = Item("id", "question", ("one", "other"), VideoRef("handle", "path"))
    left = [Remaining(0, 0), Remaining(1, 1)]
    texts = [
        prompts.system,
        *(prompts.opening_text(item, 61.0, it, kind) for it in left for kind in ("frames", "captions")),
        *(prompts.result_text("result", item, it, "frames") for it in left),
        prompts.clips_text([]),
        prompts.subtitles_text([]),
        prompts.captions_text([]),
        prompts.error_text("error"),
        prompts.malformed_text("reason", [tool.line for tool in tools]),
        OVER,
    ]
    # The first set has no key here, so that its fingerprint equals that of runs made before there were other sets.
    of_set = [] if prompts == TINY else [prompts.key]
    return fingerprint([texts, [tool.schema for tool in tools], *of_set])


def sampler(config: EnvConfig) -> Mapping[str, Any]:
    """Return the settings that decide which frames are shown, with their fingerprint as `hash`."""
    budget = asdict(config.budget)
    if config.budget.max_image_tokens is None:
        # Fingerprints of before there was a limit stay what they were.
        del budget["max_image_tokens"]
    what = {"rule": SAMPLER, "perception": config.perception, "budget": budget}
    what |= {"media": asdict(config.media)}
    return {**what, "hash": fingerprint(what)}


def _key(model: TextEncoder | Summariser | None) -> str | None:
    return None if model is None else model.key


def _annotation(task: Task) -> list[Any]:
    item, gold = task.item, task.gold
    key = None if gold is None else [gold.answer_idx, [[span.start_s, span.end_s] for span in gold.evidence]]
    parts = [[span.start_s, span.end_s] for span in item.shown]
    annotation = [item.task_id, item.question, list(item.options), item.video.handle, item.family, item.split, key]
    return [*annotation, parts] if parts else annotation
