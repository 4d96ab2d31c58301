"""A finished run directory: configuration, provenance and, of an evaluation, its episodes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from experiments.analysis.episode_facts import EpisodeFacts, read_facts
from experiments.analysis.episode_records import RECORDS, read_records
from experiments.analysis.gold_spans import TaskGold, gold_of
from experiments.settings.controls import controls_of, named_as_control
from vt_env.benchmarks.readers.registry import view_of


@dataclass(frozen=True)
class FinishedRun:
    """A run directory, read on demand."""

    path: Path
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """Kind of run: `"eval"`, `"sft"`, `"grpo"`, ..."""
        return self.config["run"]

    @property
    def name(self) -> str:
        """Name of the evaluated policy, with the view where the tasks do not show whole videos, and controls."""
        view = view_of(str(self.config.get("tasks", "")))
        name = f"{self.config['agent']} on {view}" if view else str(self.config["agent"])
        return named_as_control(name, self.controls)

    @property
    def controls(self) -> list[str]:
        """Controls that the run is; empty for a run whose results are results."""
        return controls_of(self.config)

    @cached_property
    def gold(self) -> TaskGold:
        """Gold evidence of the tasks of an evaluation."""
        return gold_of(self.config)

    @cached_property
    def facts(self) -> list[EpisodeFacts]:
        """Journalled or published episodes of an evaluation."""
        if (self.path / RECORDS).exists():
            return read_records(self.path)
        return read_facts(self.path, self.gold.spans)

    @property
    def annotation_hashes(self) -> frozenset[str]:
        """Hashes of the annotations played on; more than one if the annotations changed during the run."""
        origins = self.provenance.get("origins", {}).values()
        return frozenset(str(it["annotation_hash"]) for it in origins if "annotation_hash" in it)
