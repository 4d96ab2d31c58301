"""Play a finished run again and compare: `vt-env replay runs/eval`.

Every action of the journal is applied once more, on fresh episodes of the same tasks. No model is asked, so what is
tested is everything but the model: tasks, decoding, retrieval, sampling of frames, wording, scoring. Each observation
must come out byte for byte, frames included; the first thing that does not is named. What a clock measured is not
compared. `--boards FOLDER` draws the episodes as they are played, one picture each.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import tyro
from tqdm import tqdm

from agents.base import Reply
from agents.language.confidence_gate import GateConfig
from agents.running_episode import RunningEpisode, Start, open_episode
from experiments.evaluate.episode_origin import annotation_hash, prompt_id, sampler
from experiments.evaluate.eval import episode_builder
from experiments.runs.journal import read_journal
from experiments.runs.run_dir import CONFIG, PROVENANCE, read_json
from experiments.settings.library import LibraryConfig
from experiments.settings.models import ModelConfig
from experiments.settings.policies import Layout, Setting, layout_of
from experiments.settings.prompts import read_recorded
from experiments.settings.text_models import TextConfig
from vt_env.config import MediaConfig
from vt_env.envs.storyboard import draw_storyboard
from vt_env.episode.trajectory import Trajectory, TurnRecord
from vt_env.errors import ConfigError, suggest
from vt_env.media.library import VideoLibrary
from vt_env.protocols import Library
from vt_env.task_sources import load_tasks
from vt_env.tasks.task_set import Task, TaskSet

_TURN_FIELDS = ("observation_text", "call", "error", "viewed", "frames", "frames_hash")
_OPENING_FIELDS = ("prompt_text", "prompt_frames", "prompt_frames_hash")
_END_FIELDS = ("remaining", "stop", "answer", "correct", "reward", "reward_terms", "invalid")
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class ReplayRun:
    """Play the episodes of an evaluation again and name the first difference."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run directory of an evaluation."""
    tasks: str | None = None
    """Where the tasks are now, if not where they were."""
    limit: int | None = None
    """Replay only so many episodes."""
    task_ids: tuple[str, ...] = ()
    """Replay only the episodes of these tasks."""
    boards: Path | None = None
    """Draw each episode as a picture into this folder: the question, and what was thought, done and seen."""


@dataclass(frozen=True)
class Difference:
    """Where a replay came out otherwise."""

    task_id: str
    sample: int
    where: str
    """Such as `turn 2, observation_text`."""
    recorded: str
    replayed: str

    def __str__(self) -> str:
        """One line."""
        return (
            f"{self.task_id} (sample {self.sample}), {self.where}: recorded {self.recorded}, replayed {self.replayed}"
        )


def main(run: ReplayRun) -> int:
    """Replay, and print what came of it.

    Returns:
        0 if every observation came out the same, else 1.

    Raises:
        ConfigError: The directory holds no evaluation, or its tasks are gone.
        DataError: The journal cannot be read.
    """
    config = read_json(run.run / CONFIG)
    if config.get("run") != "eval":
        raise ConfigError(f"{run.run} is a run of {config.get('run')!r}: only evaluations ('eval') are replayed")
    tasks = load_tasks(run.tasks or config["tasks"], config["split"]).head(config["n"])
    played = library_of(config)
    prompts = read_recorded(config.get("prompts"))
    setting = Setting(config["budget"], config.get("tools", "default"), played.media, tasks.is_excerpt, prompts)
    model = ModelConfig(uniform_frames=config["model"]["uniform_frames"])
    layout = layout_of(config["agent"], model, setting, GateConfig(**config["gate"]))
    episodes = _chosen(run)
    for line in changed_origins(read_json(run.run / PROVENANCE), tasks, layout):
        print(line)
    found = 0
    with tqdm(desc="replay", total=len(episodes), unit="episode") as progress:
        # Summaries come from the cache; one that is not there any more is asked for again.
        for difference in differences(episodes, tasks, layout, played.open_library(), run.boards):
            progress.update()
            if difference is not None:
                found += 1
                progress.write(str(difference)) if found == 1 else None
    observations = sum(1 + len(episode.turns) for episode in episodes)
    if found:
        print(f"{found} of {len(episodes)} episodes came out otherwise; the first difference is above")
        return 1
    what = f"{len(episodes)} episode{'s' if len(episodes) > 1 else ''}, {observations} observations"
    print(f"{what}: every one came out the same, byte for byte")
    return 0


def library_of(config: Mapping[str, Any]) -> LibraryConfig:
    """Read from the configuration of an evaluation what its videos were opened with."""
    kinds = {"media": MediaConfig, "text": TextConfig}
    given = {it.name: config[it.name] for it in fields(LibraryConfig) if it.name in config}
    return LibraryConfig(**{name: kinds[name](**value) if name in kinds else value for name, value in given.items()})


def _chosen(run: ReplayRun) -> list[Trajectory]:
    """Read the episodes that are to be replayed."""
    episodes = read_journal(run.run)
    known = {episode.task_id for episode in episodes}
    for task_id in run.task_ids:
        if task_id not in known:
            raise ConfigError(f"--task-ids {task_id}: {run.run} has no episode of it{suggest(task_id, known)}")
    chosen = [episode for episode in episodes if not run.task_ids or episode.task_id in run.task_ids][: run.limit]
    if not chosen:
        raise ConfigError(f"{run.run}: its journal holds no episode")
    return chosen


def differences(
    episodes: list[Trajectory],
    tasks: TaskSet,
    layout: Layout,
    library: Library | None = None,
    boards: Path | None = None,
) -> Iterator[Difference | None]:
    """Replay episodes one by one; `None` stands for one that came out the same.

    Args:
        episodes: As they were recorded.
        tasks: What they were played on.
        layout: What their policy was given.
        library: Opens their videos.
        boards: Folder that a picture of each is drawn into.
    """
    opened = library or VideoLibrary(layout.config.media)
    known = {task.item.task_id: task for task in tasks}
    for episode in episodes:
        task = known.get(episode.task_id)
        if task is None:
            yield Difference(episode.task_id, episode.sample, "task", "there", "gone from the task set")
            continue
        played = _played_again(episode, task, layout, opened)
        if boards is not None and isinstance(played, RunningEpisode):
            boards.mkdir(parents=True, exist_ok=True)
            # An id of somebody's own may hold what no file name can.
            draw_storyboard(played.episode).save(boards / f"{quote(episode.task_id, safe='')}-{episode.sample}.png")
        yield first_difference(episode, played.record() if isinstance(played, RunningEpisode) else played)


def replay(recorded: Trajectory, task: Task, layout: Layout, library: Library) -> Trajectory:
    """Apply the actions of a record to a fresh episode of its task."""
    played = _played_again(recorded, task, layout, library)
    return played.record() if isinstance(played, RunningEpisode) else played


def _played_again(recorded: Trajectory, task: Task, layout: Layout, library: Library) -> RunningEpisode | Trajectory:
    """Apply the actions of a record; returns the record alone where the video cannot be opened."""
    build = episode_builder(task, layout, library)
    played = open_episode(
        0, Start(task.item, layout.config, build, recorded.seed, recorded.sample), recorded.policy, None
    )
    if isinstance(played, RunningEpisode):
        for turn in recorded.turns:
            if not played.apply(Reply(turn.text, turn.reply, turn.gate)):
                break
    return played


def first_difference(recorded: Trajectory, replayed: Trajectory) -> Difference | None:
    """Compare two records of one episode in the order of time; `None` if a policy could not tell them apart.

    Where the journal has no hash of frames, their times stand for them. An episode that its data, its policy or a limit
    of the runner broke off is compared up to there.
    """

    def difference(where: str, one: object, other: object) -> Difference:
        return Difference(recorded.task_id, recorded.sample, where, *_shown(one, other))

    for name in _OPENING_FIELDS:
        one, other = getattr(recorded, name), getattr(replayed, name)
        if one != other and not _is_unknown_hash(name, one):
            return difference(f"question, {name}", one, other)
    for number, (turn, again) in enumerate(zip(recorded.turns, replayed.turns, strict=False), start=1):
        name = _first_field(turn, again)
        if name is not None:
            return difference(f"turn {number}, {name}", getattr(turn, name), getattr(again, name))
    if len(recorded.turns) != len(replayed.turns):
        return difference("number of turns", len(recorded.turns), len(replayed.turns))
    if recorded.invalid is not None or recorded.limit is not None:
        return None
    for name in _END_FIELDS:
        if getattr(recorded, name) != getattr(replayed, name):
            return difference(f"end, {name}", getattr(recorded, name), getattr(replayed, name))
    return None


def changed_origins(provenance: Mapping[str, Any], tasks: TaskSet, layout: Layout) -> list[str]:
    """Say which of the things that decide observations are others now than when the run was made."""
    now = {
        "annotation_hash": annotation_hash(tasks),
        "prompt_id": prompt_id(layout.prompts, layout.tools),
        "sampler": sampler(layout.config)["hash"],
    }
    lines: list[str] = []
    for origin in provenance.get("origins", {}).values():
        before = {**origin, "sampler": origin["sampler"]["hash"]}
        lines += [f"note: {name} was {before[name]}, is {now[name]}" for name in now if before[name] != now[name]]
    return list(dict.fromkeys(lines))


def _first_field(turn: TurnRecord, again: TurnRecord) -> str | None:
    for name in _TURN_FIELDS:
        one = getattr(turn, name)
        if one != getattr(again, name) and not _is_unknown_hash(name, one):
            return name
    return None


def _is_unknown_hash(name: str, recorded: object) -> bool:
    return name.endswith("_hash") and recorded == ""


def _shown(one: object, other: object) -> tuple[str, str]:
    """Show two values from a little before where they part."""
    a, b = (it if isinstance(it, str) else repr(it) for it in (one, other))
    parts = next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    start = max(0, parts - 10)
    head = f"(from character {start}) " if start else ""
    first, second = (f"{head}{text[start : start + _SHOWN_CHARACTERS]!r}" for text in (a, b))
    return first, second
