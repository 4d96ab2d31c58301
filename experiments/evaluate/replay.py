"""Replay the actions of a finished run and compare the observations: `vt-env replay runs/eval`.

Every action of the journal is applied to a fresh episode of the same task. No model runs, so the comparison tests
everything else: tasks, decoding, retrieval, frame sampling, prompts, scoring. Each observation must be equal byte for
byte, frames included; the first difference is printed. Measured times are not compared. `--boards FOLDER` draws one
storyboard per episode.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import tyro
from tqdm import tqdm

from agents.base import Reply
from agents.language.confidence_gate import GateConfig
from agents.running_episode import RunningEpisode, Start, open_episode
from experiments.evaluate.episode_provenance import annotation_hash, prompt_id, sampler
from experiments.evaluate.play_attempts import episode_builder
from experiments.runs.journal import read_journal
from experiments.runs.read_run import CONFIG, PROVENANCE, read_json
from experiments.settings.library import library_config
from experiments.settings.models import ModelConfig
from experiments.settings.policies import Layout, Setting, layout_of, tasks_of
from experiments.settings.prompts import read_prompts_record
from vt_env.config import at_least
from vt_env.envs.storyboard import draw_storyboard
from vt_env.episode.trajectory import ReplyEnd, Trajectory, TurnRecord
from vt_env.errors import ConfigError, suggest
from vt_env.media.library import VideoLibrary
from vt_env.media.shuffled_frames import ShuffledFrames
from vt_env.media.terminal import progress_bar
from vt_env.protocols import Library
from vt_env.task_sources import load_tasks
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.tools.builtin import can_search
from vt_env.types import StopReason

_TURN_FIELDS = ("observation_text", "call", "error", "viewed", "frames", "frames_hash", "continues")
_OPENING_FIELDS = ("prompt_text", "prompt_frames", "prompt_frames_hash")
_END_FIELDS = ("remaining", "stop", "answer", "correct", "reward", "reward_terms", "invalid")
_EXCERPT_CHARACTERS = 60


@dataclass(frozen=True)
class ReplayRun:
    """Replay the episodes of an evaluation and name the first difference."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run directory of an evaluation."""
    tasks: str | None = None
    """Task set, if it has moved since the evaluation."""
    limit: int | None = None
    """Number of episodes, the first of the journal; by default all."""
    task_ids: tuple[str, ...] = ()
    """Ids of the tasks whose episodes are replayed; by default all."""
    boards: Path | None = None
    """Folder for one storyboard per episode: question, replies, actions, frames."""

    def __post_init__(self) -> None:
        if self.limit is not None:
            at_least(self, "limit", 1)


@dataclass(frozen=True)
class Difference:
    """First difference between a recorded episode and its replay."""

    task_id: str
    sample: int
    where: str
    """Turn and field, such as `turn 2, observation_text`."""
    recorded: str
    replayed: str

    def __str__(self) -> str:
        """Return one line."""
        return (
            f"{self.task_id} (sample {self.sample}), {self.where}: recorded {self.recorded}, replayed {self.replayed}"
        )


def main(run: ReplayRun) -> int:
    """Replay the run; print changed provenance, the first difference and a summary.

    Returns:
        0 if all observations are equal, else 1.

    Raises:
        ConfigError: The directory holds no evaluation, or its tasks are missing.
        DataError: The journal cannot be read.
    """
    config = read_json(run.run / CONFIG)
    if config.get("run") != "eval":
        raise ConfigError(f"{run.run} is a run of {config.get('run')!r}: only evaluations ('eval') are replayed")
    tasks = tasks_of(config["agent"], load_tasks(run.tasks or config["tasks"], config["split"]).head(config["n"]))
    played = library_config(config)
    prompts = read_prompts_record(config.get("prompts"))
    library = played.open_library()
    shown = ShuffledFrames(library, tasks.videos, config["seed"]) if config.get("shuffle_frames") else library
    tools, searched = played.with_screen_text(config.get("tools", "default")), can_search(library, tasks.videos)
    setting = Setting(config["budget"], tools, played.chosen.media, tasks.is_excerpt, prompts, searched)
    model = ModelConfig(uniform_frames=config["model"]["uniform_frames"])
    layout = layout_of(config["agent"], model, setting, GateConfig(**config["gate"]))
    episodes = _select(run)
    for line in changed_provenance(read_json(run.run / PROVENANCE), tasks, layout):
        print(line)
    found = 0
    with progress_bar("replay", len(episodes), unit="episode") as progress:
        # Summaries come from the cache; only one that was evicted needs the server again.
        for difference in differences(episodes, tasks, layout, shown, run.boards):
            progress.update()
            if difference is not None:
                found += 1
                tqdm.write(str(difference)) if found == 1 else None
    observations = sum(1 + len(episode.turns) for episode in episodes)
    if found:
        print(f"{found} of {len(episodes)} episodes differ; the first difference is above")
        return 1
    what = f"{len(episodes)} episode{'s' if len(episodes) > 1 else ''}, {observations} observations"
    print(f"{what}: all equal, byte for byte")
    return 0


def _select(run: ReplayRun) -> list[Trajectory]:
    """Read the episodes selected by `task_ids` and `limit`."""
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
    """Replay episodes one by one and yield the first difference of each, or `None` if it is equal.

    Args:
        episodes: Recorded episodes.
        tasks: Task set of the evaluation.
        layout: Layout of the evaluated policy.
        library: Opens the videos; by default one with the layout's media configuration.
        boards: Folder for one storyboard per episode.
    """
    opened = library or VideoLibrary(layout.config.media)
    known = {task.item.task_id: task for task in tasks}
    for episode in episodes:
        task = known.get(episode.task_id)
        if task is None:
            yield Difference(episode.task_id, episode.sample, "task", "present", "missing from the task set")
            continue
        played = _replay(episode, task, layout, opened)
        if boards is not None and isinstance(played, RunningEpisode):
            boards.mkdir(parents=True, exist_ok=True)
            # A user's task id may hold characters that a file name cannot.
            draw_storyboard(played.episode).save(boards / f"{quote(episode.task_id, safe='')}-{episode.sample}.png")
        yield first_difference(episode, played.record() if isinstance(played, RunningEpisode) else played)


def replay(recorded: Trajectory, task: Task, layout: Layout, library: Library) -> Trajectory:
    """Apply the actions of a recorded episode to a fresh episode of its task; return the new record."""
    played = _replay(recorded, task, layout, library)
    return played.record() if isinstance(played, RunningEpisode) else played


def _replay(recorded: Trajectory, task: Task, layout: Layout, library: Library) -> RunningEpisode | Trajectory:
    """Apply the actions of a recorded episode; return an invalid record if the video cannot be opened."""
    build = episode_builder(task, layout, library)
    played = open_episode(
        0, Start(task.item, layout.config, build, recorded.seed, recorded.sample), recorded.policy, None
    )
    if isinstance(played, RunningEpisode):
        ends_there = recorded.stop is StopReason.CONTEXT_FULL
        for turn, *_ in recorded.by_reply:
            is_full = turn.reply is not None and turn.reply.ended is ReplyEnd.CONTEXT
            # Earlier versions went on with an empty reply.
            if not played.apply(Reply(turn.text, None if is_full and not ends_there else turn.reply, turn.gate)):
                break
    return played


def first_difference(recorded: Trajectory, replayed: Trajectory) -> Difference | None:
    """Compare two records of one episode turn by turn; return `None` if all that a policy observes is equal.

    Without a hash of frames in the journal, only their times are compared. An invalid episode, or one that a limit of
    the runner ended, is compared up to its last turn.
    """

    def difference(where: str, one: object, other: object) -> Difference:
        return Difference(recorded.task_id, recorded.sample, where, *_excerpts(one, other))

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


def changed_provenance(provenance: Mapping[str, Any], tasks: TaskSet, layout: Layout) -> list[str]:
    """Return one note for each input of the observations (annotations, prompts, sampler) that has changed since."""
    now = {
        "annotation_hash": annotation_hash(tasks),
        "prompt_id": prompt_id(layout.prompts, layout.tools),
        "sampler": sampler(layout.config)["hash"],
    }
    lines: list[str] = []
    for entry in provenance.get("origins", {}).values():
        before = {**entry, "sampler": entry["sampler"]["hash"]}
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


def _excerpts(one: object, other: object) -> tuple[str, str]:
    """Return both values as text, from 10 characters before the first difference."""
    a, b = (it if isinstance(it, str) else repr(it) for it in (one, other))
    differs = next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    start = max(0, differs - 10)
    head = f"(from character {start}) " if start else ""
    first, second = (f"{head}{text[start : start + _EXCERPT_CHARACTERS]!r}" for text in (a, b))
    return first, second
