"""Write training trajectories: `vt-env synth --tasks world --samples 3 --out runs/synth`.

A teacher plays in caption space, filters keep what is worth learning from, the same actions are replayed with frames,
and the data set lands in the run's `dataset` folder. Filters come before the replay since they need no frames, and a
trajectory they reject would not come back. Interrupted, it goes on where it stopped, and pays for nothing twice.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from tqdm import tqdm

from agents.backends.server_limits import ServerConfig
from experiments.data.synth_card import Outcome, make_card, tables
from experiments.data.synth_models import CaptionsConfig, Models, TeacherConfig, open_models
from experiments.runs.read_run import JOURNAL
from experiments.runs.run_dir import Run, open_run, write_text
from experiments.settings.prompts import (
    PROMPTS_IF_MISSING,
    EpisodeConfig,
    choose_prompts,
    prompts_record,
    student_prompts,
)
from synth.benchmark_overlap import find_leakage
from synth.caption_perception import CaptionerPerception, lossy
from synth.dataset import DataCard, write_dataset
from synth.export import ExportFormat, export
from synth.filters import MODES, FilterMode, filter_trajectories
from synth.frame_files import describe_pictures
from synth.generate import Opening, generate, may_pass, plan_attempts
from synth.ground import Grounded, ground, ground_unopened
from synth.load_questions import LoadedQuestions, check_not_empty, load_questions
from synth.teacher import TEACHER_PROMPT
from vt_env.benchmarks.readers.no_training import check_trainable
from vt_env.config import EnvConfig, at_least, resolve_budget
from vt_env.envs.base import make_episode
from vt_env.episode.episode import Episode
from vt_env.episode.trajectory import Trajectory, read_trajectories
from vt_env.errors import ConfigError, DataError
from vt_env.media.library import VideoLibrary
from vt_env.prompts import PromptSet
from vt_env.protocols import Video
from vt_env.tasks.task_set import Task
from vt_env.tools.builtin import tools_for

DATASET_FOLDER, EXPORTS_FOLDER, MISSING_FILE = "dataset", "exports", "missing_videos.txt"


@dataclass(frozen=True)
class SynthRun(EpisodeConfig):
    """How trajectories are made."""

    out: Path = Path("runs/synth")
    """Run directory; an interrupted run goes on there."""
    tasks: Annotated[str, tyro.conf.arg(aliases=["--from"])] = "world"
    """Name, folder or JSONL file of tasks, or a benchmark's name, folder or file. Rows that cannot be used are counted
    and left out."""
    split: str = "train"
    """Split of the tasks. What is trained on it must not be evaluated on it."""
    limit: int | None = None
    """Take only the first so many tasks."""
    samples: int = 3
    """Attempts a task (5 in the paper)."""
    seed: int = 0
    """Seed of the teacher and of the filter."""
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    captions: CaptionsConfig = field(default_factory=CaptionsConfig)
    turn_limit: int | None = None
    """Calls of the teacher before it must answer, at most those of the budget; `None` takes all of them (the paper does
    not publish its limit)."""
    mode: FilterMode = "default"
    """What is kept; `paper` keeps a wrong attempt where none is right."""
    support: bool = False
    """Ask the captioner whether the frames support each thought, and count its verdicts (extension)."""
    tools: Literal["default", "paper"] = "default"
    """The tools offered."""
    budget: str = "default"
    """Preset of the budget, with changes if need be (`default,max_calls=16`), for captions and frames alike."""
    perception: Literal["frames", "captions"] = "frames"
    """What the data set shows: the frames of the replay, or the captions that the teacher read, for a policy that reads
    captions too."""
    export: tuple[ExportFormat, ...] = ()
    """Write the data set for other trainers too."""
    evaluation_tasks: bool = False
    """Take tasks of a benchmark's evaluation split too. A model that is trained on them has no number there."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, "samples", 1)
        at_least(self, "limit", 1)
        if self.mode not in MODES:
            raise ConfigError(f"mode={self.mode!r}: allowed are {', '.join(map(repr, MODES))}")
        calls = resolve_budget(self.budget).max_calls
        if self.turn_limit is not None and not 1 <= self.turn_limit <= calls:
            raise ConfigError(f"turn_limit={self.turn_limit}: need 1 to {calls}, the calls of the budget")
        if self.support and self.captions.source == "task":
            raise ConfigError("support needs a captioner that sees frames: give --captions")


def main(config: SynthRun) -> Path:
    """Make the data set, or go on making it, and print where its trajectories come from.

    Returns:
        The run directory; the data set is its `dataset` folder.

    Raises:
        ConfigError: The configuration is impossible, nothing can be asked, or the directory belongs to another run.
        DataError: The tasks or the journal cannot be read.
    """
    loaded = load_questions(config.tasks, config.split, captions_needed=config.captions.source == "task")
    if loaded.missing_videos:
        write_text(config.out / MISSING_FILE, "".join(f"{name}\n" for name in loaded.missing_videos))
    check_not_empty(loaded, config.tasks)
    if not config.evaluation_tasks:
        check_trainable(loaded.tasks)
    if loaded.problems:
        print(loaded.report())
    chosen = loaded.tasks if config.limit is None else loaded.tasks.head(config.limit)
    tasks = {task.item.task_id: task for task in chosen}
    prompts = choose_prompts(config.prompts, None, config.out, student_prompts(config.tasks, config.teacher.kind))
    identity, also = _identity(config), prompts_record(prompts)
    with open_run(config.out, "synth", identity, also, PROMPTS_IF_MISSING) as run, ExitStack() as stack:
        models = open_models(config.teacher, config.captions, tools_for("captions", config.tools), run.path, stack)
        work = _Work(run, config, tasks, config.open_library(), models, prompts)
        outcome = _ground(work, _play(work))
        card = _write(work, outcome, loaded)
    print(card.markdown().partition("\nSettings")[0])
    return config.out


@dataclass(frozen=True)
class _Work:
    """What every phase of an open run needs."""

    run: Run
    config: SynthRun
    tasks: Mapping[str, Task]
    """By their ids, in order."""
    library: VideoLibrary
    models: Models
    prompts: PromptSet


def _identity(config: SynthRun) -> SynthRun:
    """Leave out what may change when a run goes on: where servers are, how hard they are driven, what is exported."""
    teacher, captions = config.teacher, config.captions
    return replace(
        config,
        teacher=replace(teacher, server=ServerConfig(model=teacher.server.model), batch_size=0),
        captions=replace(captions, server=ServerConfig(model=captions.server.model)),
        export=(),
    )


def _play(work: _Work) -> list[Trajectory]:
    """Make the attempts that the journal lacks, and return all in the order of tasks."""
    config, journal = work.config, work.run.path / JOURNAL
    before = read_trajectories(journal, skip_torn=True) if journal.exists() else ()
    # An attempt that was made again stands twice; the later one counts.
    made = {(it.task_id, it.sample): it for it in before}
    tasks = list(work.tasks.values())
    attempts = plan_attempts(tasks, config.samples, {key for key, it in made.items() if not may_pass(it)})
    budget = resolve_budget(config.budget)
    teacher_budget = replace(budget, max_calls=config.turn_limit or budget.max_calls)
    episode_config = EnvConfig("captions", teacher_budget, prompts=work.prompts)
    playing = generate(attempts, work.models.teacher, _opening(work, episode_config), episode_config, config.seed)
    total = len(tasks) * config.samples
    for trajectory in tqdm(playing, "attempts", total, initial=total - len(attempts), disable=None):
        work.run.journal(trajectory)
        made[trajectory.task_id, trajectory.sample] = trajectory
    return [made[attempt.key] for attempt in plan_attempts(tasks, config.samples)]


def _opening(work: _Work, episode_config: EnvConfig) -> Opening:
    captioner, loss, seed = work.models.captioner, work.config.captions.loss, work.config.seed
    tools = tools_for("captions", work.config.tools)

    def opening(task: Task) -> Episode:
        task.prepare(task.item.video)
        video = work.library.open(task.item.video)
        perception = None
        if captioner is not None:
            perception = CaptionerPerception(
                video, episode_config.budget, captioner, task.item.question, episode_config.prompts
            )
        elif loss:
            video = replace(video, captions=lossy(video.captions or (), loss, video.ref.handle, seed))
        return Episode(task.item, task.gold, video, episode_config, tools, perception)

    return opening


def _ground(work: _Work, attempts: Sequence[Trajectory]) -> Outcome:
    """Filter, and replay with frames what is left. The evidence is read here, after the last attempt was made."""
    config = work.config
    evidence = {task_id: task.gold.evidence for task_id, task in work.tasks.items() if task.gold is not None}
    filtered = filter_trajectories(attempts, config.mode, np.random.default_rng(config.seed), evidence)
    if config.perception == "captions":
        return Outcome(config.mode, attempts, filtered, [Grounded(it, ()) for it in filtered.kept])
    episode_config = EnvConfig("frames", resolve_budget(config.budget), prompts=work.prompts)
    tools = tools_for("frames", config.tools)
    check = work.models.captioner.supports if config.support and work.models.captioner else None
    grounded: list[Grounded] = []
    for source in tqdm(filtered.kept, "replays", disable=None):
        try:
            episode = make_episode(work.tasks[source.task_id], work.library, episode_config, tools)
        except DataError as reason:
            grounded.append(ground_unopened(source, str(reason)))
        else:
            grounded.append(ground(source, episode, check))
    return Outcome(config.mode, attempts, filtered, grounded)


def _write(work: _Work, outcome: Outcome, loaded: LoadedQuestions) -> DataCard:
    """Write the data set with its card, and the exports."""
    run, config, kept = work.run, work.config, outcome.kept
    refs = {it.video_handle: work.tasks[it.task_id].item.video for it in kept}

    def open_video(handle: str) -> Video:
        return work.library.open(refs[handle])

    pictures, videos = describe_pictures(kept, open_video)
    leakage = find_leakage(Path(ref.path) for ref in refs.values())
    card = make_card(config, loaded, outcome, work.models, leakage)
    card = replace(card, settings={**card.settings, **prompts_record(work.prompts), "teacher_prompt": TEACHER_PROMPT})
    write_dataset(run.path / DATASET_FOLDER, kept, card, tables=tables(outcome, pictures, videos))
    for form in config.export:
        rows = export(
            run.path / EXPORTS_FOLDER / form, form, kept, pictures, open_video, config.tools, prompts=work.prompts
        )
        run.metric({"event": "exported", "format": form, "rows": rows})
    run.metric({"event": "written", "trajectories": len(kept), "usage": work.models.usage})
    return card
