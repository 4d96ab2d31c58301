"""A data set on disk: sharded trajectories and the card that says where they come from and what was left out.

    trajectories-00000-of-00001.jsonl   data_card.json   data_card.md
    pictures.jsonl   every picture that trajectories name, with the hash of its pixels
    videos.jsonl     every video, with the hash of its content
    rejected.jsonl   every attempt that was left out: stage, reason, what was found
    grounding.jsonl  what came out differently in the replay with frames, and verdicts on thoughts

The folder is written under another name and renamed, so it is whole or absent.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from vt_env.episode.trajectory import Trajectory, read_trajectories, write_trajectories
from vt_env.errors import DataError, first_line
from vt_env.jsonl import decode_object, encode_record, replace_file, write_lines
from vt_env.markdown import markdown_table

CARD_FILE, READABLE_CARD_FILE = "data_card.json", "data_card.md"
PICTURES_FILE, VIDEOS_FILE, REJECTED_FILE, GROUNDING_FILE = (
    "pictures.jsonl",
    "videos.jsonl",
    "rejected.jsonl",
    "grounding.jsonl",
)
SHARD_SIZE = 10_000
"""Trajectories a shard."""
CARD_SCHEMA = 2


@dataclass(frozen=True)
class DataCard:
    """Provenance of a data set, with counts of what was left out."""

    settings: Mapping[str, Any]
    """The configuration that made it, seeds included."""
    versions: Mapping[str, str]
    """Versions of the packages that can change it."""
    stages: Mapping[str, Mapping[str, int]]
    """Trajectories after each stage, in order, by family."""
    rejected: Mapping[str, Mapping[str, int]]
    """Stage to reason to number of trajectories that it rejected."""
    questions: Mapping[str, int]
    """Number of questions asked, and of those that are left with a trajectory."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Questions that could not be asked, by reason."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Attempts that failed, by who did: a model with how its reply ended, or the video."""
    divergences: Mapping[str, int] = field(default_factory=dict)
    """Kinds of divergence in the replay, those that do no harm included."""
    support: Mapping[str, int] = field(default_factory=dict)
    """Verdicts on whether frames support the thoughts after them."""
    usage: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Role to tokens, requests and cost in dollars."""
    captions: Mapping[str, int] = field(default_factory=dict)
    """Captions that were made in the last process of the run, and those that were there before."""
    leakage: Mapping[str, Any] = field(default_factory=dict)
    """Videos that benchmarks have too: fields of `synth.benchmark_overlap.Leakage`."""
    shards: Mapping[str, str] = field(default_factory=dict)
    """File name of each shard to the SHA-256 of its bytes."""
    schema: int = CARD_SCHEMA

    def markdown(self) -> str:
        """Write the card for people."""
        families = sorted({family for counts in self.stages.values() for family in counts})
        stages = (
            [stage, sum(counts.values()), *(counts.get(family, 0) for family in families)]
            for stage, counts in self.stages.items()
        )
        rejected = ([stage, reason, n] for stage, reasons in self.rejected.items() for reason, n in reasons.items())
        lines = ["# Data card", "", *markdown_table(["stage", "all", *families], stages), ""]
        lines += markdown_table(("rejected by", "reason", "trajectories"), rejected)
        lines += ["", *(f"* questions {name}: {count}" for name, count in self.questions.items())]
        lines += [f"* questions left out, {why}: {n}" for why, n in self.left_out.items()]
        lines += [f"* attempts failed, {who}: {n}" for who, n in self.failures.items()]
        lines += [f"* divergence of the replay, {kind}: {n}" for kind, n in self.divergences.items()]
        lines += [f"* frames support the next thought, {verdict}: {n}" for verdict, n in self.support.items()]
        lines += [f"* captions {name}: {n}" for name, n in self.captions.items()]
        lines += [f"* {role}: {_used(used)}" for role, used in self.usage.items()]
        lines += _leakage_lines(self.leakage)
        lines += ["", "Settings and versions:", "", "```json"]
        lines += [json.dumps({"settings": self.settings, "versions": self.versions}, indent=1), "```", ""]
        return "\n".join(lines)


def count_families(trajectories: Iterable[Trajectory]) -> dict[str, int]:
    """Count trajectories by family, in alphabetical order; a task without one counts as `other`."""
    return dict(sorted(Counter(it.family or "other" for it in trajectories).items()))


def write_dataset(
    folder: Path,
    trajectories: Sequence[Trajectory],
    card: DataCard,
    shard_size: int = SHARD_SIZE,
    tables: Mapping[str, Iterable[Mapping[str, Any]]] | None = None,
) -> None:
    """Write a data set, in place of one that lies there; an interruption leaves the old one or none.

    Args:
        folder: Where it goes.
        trajectories: What it holds, in order.
        card: Where they come from.
        shard_size: Trajectories a shard at most.
        tables: Rows of further JSONL files, by file name.
    """
    shards = [trajectories[at : at + shard_size] for at in range(0, len(trajectories), shard_size)]
    names = [_shard_name(number, len(shards)) for number in range(len(shards))]
    with replace_file(folder) as part:
        part.mkdir()
        for name, shard in zip(names, shards, strict=True):
            write_trajectories(part / name, shard)
        for name, rows in (tables or {}).items():
            write_lines(part / name, map(encode_record, rows))
        card = replace(card, shards={name: _sha256(part / name) for name in names})
        (part / CARD_FILE).write_text(json.dumps(asdict(card), indent=1) + "\n", encoding="utf-8")
        (part / READABLE_CARD_FILE).write_text(card.markdown(), encoding="utf-8")


def read_dataset(folder: Path) -> Iterator[Trajectory]:
    """Read the trajectories of a data set, shard by shard.

    Raises:
        DataError: The folder holds no data set, lacks a shard, or a shard has changed since it was written.
    """
    shards = sorted(folder.glob("trajectories-*-of-*.jsonl"))
    if not (folder / CARD_FILE).is_file():
        raise DataError(f"{folder}: no {CARD_FILE}: give the folder of a finished data set")
    if [shard.name for shard in shards] != [_shard_name(number, len(shards)) for number in range(len(shards))]:
        raise DataError(f"{folder}: shards {[shard.name for shard in shards]} are not complete: write it again")
    try:
        card = decode_object((folder / CARD_FILE).read_bytes())
    except ValueError as reason:
        raise DataError(f"{folder / CARD_FILE}: {first_line(reason)}; make the data set again") from reason
    if card.get("schema") != CARD_SCHEMA:
        raise DataError(f"{folder}: schema {card.get('schema')}, this version reads {CARD_SCHEMA}: make it again")
    written = card.get("shards")
    if not isinstance(written, dict) or set(written) != {shard.name for shard in shards}:
        raise DataError(f"{folder}: its shards are not those that {CARD_FILE} names: write it again")
    hashes = cast("dict[str, object]", written)
    for shard in shards:
        if hashes.get(shard.name) != _sha256(shard):
            raise DataError(f"{shard}: not what was written, by its hash in {CARD_FILE}: write it again")
        yield from read_trajectories(shard)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _used(used: Mapping[str, float]) -> str:
    return (
        f"{used['tries']:.0f} requests, {used['prompt_tokens']:.0f} tokens read, {used['completion_tokens']:.0f} "
        f"written, {used['cost_usd']:.2f} USD"
    )


def _leakage_lines(leakage: Mapping[str, Any]) -> list[str]:
    if not leakage:
        return []
    counts = {name: leakage["counts"].get(name, 0) for name in leakage["checked"]}
    lines = [f"* videos shared with {name}: {n} of its {leakage['checked'][name]}" for name, n in counts.items()]
    return [*lines, f"* not compared with: {', '.join(leakage['not_checked']) or 'none'}"]


def _shard_name(number: int, count: int) -> str:
    return f"trajectories-{number:05d}-of-{count:05d}.jsonl"
