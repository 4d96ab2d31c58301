"""A data set on disk: sharded trajectories and the card that says where they come from and what was left out.

    trajectories-00000-of-00001.jsonl   data_card.json   data_card.md

The folder is written under another name and renamed, so it is whole or absent.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vt_env.errors import DataError
from vt_env.trajectory import Trajectory, read_trajectories, write_trajectories

CARD_FILE, READABLE_CARD_FILE = "data_card.json", "data_card.md"
SHARD_SIZE = 10_000
"""Trajectories a shard."""
CARD_SCHEMA = 1


@dataclass(frozen=True)
class DataCard:
    """Where a data set comes from and what was left out on the way."""

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
    schema: int = CARD_SCHEMA

    def markdown(self) -> str:
        """Write the card for people."""
        families = sorted({family for counts in self.stages.values() for family in counts})
        lines = ["# Data card", "", f"| stage | all | {' | '.join(families)} |", "|---" * (len(families) + 2) + "|"]
        for stage, counts in self.stages.items():
            cells = [stage, sum(counts.values()), *(counts.get(family, 0) for family in families)]
            lines.append(f"| {' | '.join(map(str, cells))} |")
        lines += ["", "| rejected by | reason | trajectories |", "|---|---|---|"]
        lines += [f"| {it} | {why} | {n} |" for it, reasons in self.rejected.items() for why, n in reasons.items()]
        lines += ["", *(f"* questions {name}: {count}" for name, count in self.questions.items())]
        lines += ["", "Settings and versions:", "", "```json"]
        lines += [json.dumps({"settings": self.settings, "versions": self.versions}, indent=1), "```", ""]
        return "\n".join(lines)


def count_families(trajectories: Iterable[Trajectory]) -> dict[str, int]:
    """Count trajectories by family, in alphabetical order; a task without one counts as `other`."""
    return dict(sorted(Counter(it.family or "other" for it in trajectories).items()))


def write_dataset(
    folder: Path, trajectories: Sequence[Trajectory], card: DataCard, shard_size: int = SHARD_SIZE
) -> None:
    """Write a data set, in place of one that lies there; an interruption leaves the old one or none.

    Args:
        folder: Where it goes.
        trajectories: What it holds, in order.
        card: Where they come from.
        shard_size: Trajectories a shard at most.
    """
    draft = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    shards = [trajectories[at : at + shard_size] for at in range(0, len(trajectories), shard_size)]
    for number, shard in enumerate(shards):
        write_trajectories(draft / _shard_name(number, len(shards)), shard)
    (draft / CARD_FILE).write_text(json.dumps(asdict(card), indent=1) + "\n", encoding="utf-8")
    (draft / READABLE_CARD_FILE).write_text(card.markdown(), encoding="utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(draft, folder)


def read_dataset(folder: Path) -> Iterator[Trajectory]:
    """Read the trajectories of a data set, shard by shard.

    Raises:
        DataError: The folder holds no data set, lacks a shard, or a line is damaged.
    """
    shards = sorted(folder.glob("trajectories-*-of-*.jsonl"))
    if not (folder / CARD_FILE).is_file():
        raise DataError(f"{folder}: no {CARD_FILE}: give the folder of a finished data set")
    if [shard.name for shard in shards] != [_shard_name(number, len(shards)) for number in range(len(shards))]:
        raise DataError(f"{folder}: shards {[shard.name for shard in shards]} are not complete: write it again")
    for shard in shards:
        yield from read_trajectories(shard)


def _shard_name(number: int, count: int) -> str:
    return f"trajectories-{number:05d}-of-{count:05d}.jsonl"
