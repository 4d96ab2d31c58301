"""What the viewer shows, as JSON values and pictures; the server and the exported site are made of it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from experiments.analysis.attempts import RunNumbers, attempt_of_row
from experiments.analysis.run_plots import run_plots
from experiments.runs.read_run import JOURNAL, METRICS, read_metrics
from experiments.runs.read_tags import read_tags
from experiments.settings.controls import controls_of, named_as_control
from experiments.view.divergences import read_divergences
from experiments.view.episode_index import DATASET, EpisodeIndex, IndexedRun
from experiments.view.episode_page import episode_page
from experiments.view.run_videos import RunVideos
from experiments.view.selection import Selection
from experiments.view.tags import FAILURE_CLASSES, write_tags
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError, DataError

_KEPT_PICTURES = 512
T = TypeVar("T")


@dataclass
class Viewer:
    """Viewer of run directories.

    Args:
        runs: Run directories by the name that is shown.

    Raises:
        DataError: The `config.json` of a run or its tags are damaged.
    """

    runs: Mapping[str, Path]
    index: EpisodeIndex = field(init=False)

    def __post_init__(self) -> None:
        self.index = EpisodeIndex(self.runs)
        self._videos = {name: RunVideos(run.config) for name, run in self.index.runs.items()}
        for name, run in self.index.runs.items():
            self.index.set_tags(name, read_tags(run.path))
        self._divergences = lru_cache(maxsize=8)(read_divergences)
        self._plots = lru_cache(maxsize=8)(self._compute_plots)
        self._picture = lru_cache(_KEPT_PICTURES)(self._draw)

    def describe_runs(self) -> dict[str, Any]:
        """Return the runs, by name: kind, policy, tasks; and the failure classes that are offered as tags."""
        runs = [
            {"name": name, "kind": run.config.get("run"), "agent": _agent(run.config),
             "tasks": run.config.get("tasks"), "has_journal": run.journal.exists()}
            for name, run in self.index.runs.items()
        ]  # fmt: skip
        return {"runs": runs, "failure_classes": dict(FAILURE_CLASSES)}

    def list_episodes(self, selection: Selection) -> dict[str, Any]:
        """Return one page of the list."""
        page = self.index.select(selection)
        torn = [run.name for run in self.index.runs.values() if run.is_torn]
        return {
            "total": page.total,
            "rows": page.rows,
            "facets": page.facets,
            "read": self.index.read_share(),
            "torn": torn,
        }

    def show(self, episode_id: int) -> dict[str, Any]:
        """Return an episode, with its row and the other attempts at its task; no key and no gold evidence.

        Raises:
            DataError: There is no such episode.
        """
        row = self.index.row(episode_id)
        others = [it for it in self.index.ids_of(row["task_id"]) if it["id"] != episode_id] if row["task_id"] else []
        shown: dict[str, Any] = {"row": row, "others": others, "episode": None, "line": None}
        run, line = self.index.line(episode_id)
        try:
            shown["episode"] = episode_page(Trajectory.from_json(line))
        except DataError:
            shown["line"] = line[:2000].decode("utf-8", "replace")
        key = row["task_id"], row["sample"]
        divergences = self._divergences(run.path).get(key, []) if run.journal.parent.name == DATASET else []
        return shown | {"run": run.name, "budget": run.config.get("budget"), "divergences": divergences}

    def key_of(self, episode_id: int) -> dict[str, Any]:
        """Return the gold evidence and the right option of an episode's task, for a reader who asks for them.

        Raises:
            DataError: There is no such episode.
        """
        run, episode = self._episode(episode_id)
        videos = self._videos[run.name]
        evidence = _or_problem(lambda: videos.evidence(episode.task_id))
        option_idx = _or_problem(lambda: videos.option_of_key(episode.task_id))
        problem = next((it for it in (evidence, option_idx) if isinstance(it, _Problem)), None)
        if problem is not None:
            return {"evidence": [], "option_idx": None, "problem": problem.text}
        return {"evidence": evidence, "option_idx": option_idx, "problem": ""}

    def picture(self, episode_id: int, number: int, *, whole: bool = False) -> bytes:
        """Draw a picture of an episode as PNG: as the policy saw it, or the whole frame at the video's size.

        Raises:
            DataError: The episode, the picture or the video is not there.
            ConfigError: The tasks of the run cannot be loaded.
        """
        return self._picture(episode_id, number, whole)

    def whole_image(self, episode_id: int, number: int, max_px: int) -> Image.Image:
        """Return the whole frame of a picture, at most `max_px` long.

        Raises:
            DataError: As `picture`.
            ConfigError: As `picture`.
        """
        run, episode = self._episode(episode_id)
        return self._videos[run.name].whole_image(episode, number, max_px)

    def video_path(self, episode_id: int) -> Path:
        """Return the video file of an episode.

        Raises:
            DataError: The episode or the file is not there.
            ConfigError: The tasks of the run cannot be loaded.
        """
        run, episode = self._episode(episode_id)
        return self._videos[run.name].video_path(episode)

    def tag(self, episode_id: int, tags: Sequence[str]) -> list[str]:
        """Set the tags of an episode; returns them.

        Raises:
            ConfigError: A tag is not allowed, or the line has no task id.
            DataError: There is no such episode.
        """
        row = self.index.row(episode_id)
        if not row["task_id"]:
            raise ConfigError("a damaged line has no task id: it cannot be tagged")
        run = self.index.runs[row["run"]]
        own = write_tags(run.path, (row["task_id"], row["sample"]), tags)
        for other in self.index.runs.values():
            if other.path == run.path:
                self.index.set_tags(other.name, read_tags(run.path))
        return own

    def pairs(self, first: str, second: str) -> dict[str, Any]:
        """Pair the attempts of two runs at the same tasks, with the counts of who was right.

        Raises:
            DataError: There is no such run.
        """
        for name in (first, second):
            self._run(name)
        rows = self.index.pairs(first, second)
        for row in rows:
            row["verdict"] = _verdict(row["outcome_a"] == "right", row["outcome_b"] == "right")
        return {"rows": rows, "counts": count_verdicts(rows)}

    def plots(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Return the plots of some runs, see `experiments.analysis.run_plots`.

        Raises:
            DataError: There is no such run, or its metrics are damaged.
        """
        state = tuple((name, self._run(name).read_bytes, _size_of(self._run(name).path / METRICS)) for name in names)
        return self._plots(state)

    def numbers_of(self, name: str) -> RunNumbers:
        """Return what the plots of a run are computed from.

        Raises:
            DataError: As `plots`.
        """
        run = self._run(name)
        # Shards of a data set stand beside the journal, whose run has logged the metrics.
        metrics = read_metrics(run.path) if run.journal.name == JOURNAL else []
        return RunNumbers(name, run.config, metrics, [attempt_of_row(row) for row in self.index.rows_of(name)])

    def _compute_plots(self, state: tuple[tuple[str, int, int], ...]) -> list[dict[str, Any]]:
        return [asdict(plot) for plot in run_plots([self.numbers_of(name) for name, *_ in state])]

    def _run(self, name: str) -> IndexedRun:
        if name not in self.index.runs:
            raise DataError(f"no run {name!r}: the runs are {', '.join(self.index.runs)}")
        return self.index.runs[name]

    def _episode(self, episode_id: int) -> tuple[IndexedRun, Trajectory]:
        run, line = self.index.line(episode_id)
        return run, Trajectory.from_json(line)

    def _draw(self, episode_id: int, number: int, whole: bool) -> bytes:
        run, episode = self._episode(episode_id)
        videos = self._videos[run.name]
        return videos.whole_frame(episode, number) if whole else videos.picture(episode, number)


def count_verdicts(pairs: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count the pairs in which only the first run, only the second, both or neither was right."""
    counts = Counter(row["verdict"] for row in pairs)
    return {name: counts[name] for name in ("only a", "only b", "both", "neither")}


def _verdict(first: bool, second: bool) -> str:
    if first == second:
        return "both" if first else "neither"
    return "only a" if first else "only b"


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@dataclass(frozen=True)
class _Problem:
    text: str


def _or_problem(ask: Callable[[], T]) -> "T | _Problem":
    try:
        return ask()
    except (ConfigError, DataError) as reason:
        return _Problem(str(reason))


def _agent(config: Mapping[str, Any]) -> str | None:
    agent, controls = config.get("agent"), controls_of(config)
    return named_as_control(str(agent or config.get("run")), controls) if controls else agent
