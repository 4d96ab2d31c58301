"""One finished run directory: configuration, provenance and, of an evaluation, its episodes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from experiments.analysis.episode_facts import EpisodeFacts, read_facts
from experiments.analysis.gold_spans import Key, key_of
from vt_env.benchmarks.readers.registry import view_of


@dataclass(frozen=True)
class FinishedRun:
    """What one run directory says about itself."""

    path: Path
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """`"eval"`, `"sft"`, `"grpo"`, ..."""
        return self.config["run"]

    @property
    def name(self) -> str:
        """The policy of an evaluation, as it was named, and what it was shown if not whole videos."""
        view = view_of(str(self.config.get("tasks", "")))
        return f"{self.config['agent']} on {view}" if view else str(self.config["agent"])

    @cached_property
    def key(self) -> Key:
        """What is known of the tasks of an evaluation."""
        return key_of(self.config)

    @cached_property
    def facts(self) -> list[EpisodeFacts]:
        """What the journalled episodes of an evaluation contribute to tables."""
        return read_facts(self.path, self.key.spans)

    @property
    def annotation_hashes(self) -> frozenset[str]:
        """Fingerprints of the annotations that its episodes were played on; one, unless they changed on the way."""
        origins = self.provenance.get("origins", {}).values()
        return frozenset(str(it["annotation_hash"]) for it in origins if "annotation_hash" in it)
