"""Synthesise demonstrations: `vt-env synth --tasks world --samples 3 --out runs/synth`.

A teacher plays in caption space, filters select trajectories, their actions are replayed with frames, and the run's
`dataset` folder receives the result. Filters run before the replay, since they need no frames and a rejected trajectory
need not be replayed. An interrupted run resumes and pays for no reply twice.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from agents.backends.server_limits import ServerConfig
from experiments.data.synth_card import SynthResult, make_card, tables
from experiments.data.synth_episodes import (
    SynthEpisodes,
    SynthSpec,
    check_spreadable,
    play_in_workers,
    replay_in_workers,
)
from experiments.data.synth_models import CaptionsConfig, Models, TeacherConfig, open_models
from experiments.runs.executors import EpisodeExecutorConfig
from experiments.runs.read_run import JOURNAL
from experiments.runs.run_dir import Run, open_run, write_text
from experiments.settings.profile import is_world
from experiments.settings.prompts import (
    IF_MISSING,
    EpisodeConfig,
    choose_prompts,
    prompts_record,
    student_prompts,
)
from experiments.settings.tags import TAGS_IF_MISSING, TagConfig
from synth.benchmark_overlap import find_leakage
from synth.dataset import DataCard, write_dataset
from synth.export import ExportFormat, export
from synth.filters import MODES, FilterMode, filter_trajectories
from synth.frame_files import describe_pictures
from synth.generate import generate, may_pass, plan_attempts
from synth.ground import Grounded
from synth.load_questions import LoadedQuestions, check_not_empty, load_questions
from synth.teacher import teacher_prompt
from vt_env.benchmarks.readers.no_training import check_trainable
from vt_env.config import BudgetConfig, at_least, resolve_budget
from vt_env.episode.trajectory import Trajectory, read_trajectories
from vt_env.errors import ConfigError, DataError
from vt_env.media.library import VideoLibrary
from vt_env.media.terminal import track
from vt_env.prompts import PromptSet
from vt_env.protocols import Video
from vt_env.tasks.task_set import Task
from vt_env.tools.builtin import can_search, tools_for
from vt_env.world2.tasks import with_views

DATASET_FOLDER, EXPORTS_FOLDER, MISSING_FILE = "dataset", "exports", "missing_videos.txt"


@dataclass(frozen=True)
class SynthRun(TagConfig, EpisodeConfig, EpisodeExecutorConfig):
    """Synthesise demonstrations with a teacher, filters and a replay with frames."""

    out: Path = Path("runs/synth")
    """Run directory; an interrupted run resumes there."""
    tasks: Annotated[str, tyro.conf.arg(aliases=["--from"])] = "world"
    """Name, folder or JSONL file of tasks, or of a benchmark. Unusable rows are counted and left out."""
    split: str = "train"
    """Split of the tasks; do not evaluate on it."""
    limit: int | None = None
    """Number of tasks, the first of the split; by default all."""
    samples: int = 3
    """Attempts per task (5 in the paper)."""
    seed: int = 0
    """Seed of the teacher and the filter."""
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    captions: CaptionsConfig = field(default_factory=CaptionsConfig)
    turn_limit: int | None = None
    """Maximum number of calls of the teacher, at most that of the budget, which is the default (the paper does not
    publish its limit)."""
    mode: FilterMode = "default"
    """Filter: `default` keeps right attempts that saw the evidence and differ from each other; `paper` keeps all right
    ones, and a random one of a question without a right one."""
    support: bool = False
    """Ask the captioner whether the frames support each thought, and count the verdicts (extension)."""
    tools: Literal["default", "paper", "adaptive"] | None = None
    """Tool set."""
    budget: str | None = None
    """Budget of an episode, in caption space and replay alike: a preset, optionally with changes
    (`default,max_calls=16`), or changes alone of the profile's."""
    perception: Literal["frames", "captions"] = "frames"
    """Observations of the data set: frames of the replay, or the teacher's captions, to train a policy that reads
    captions."""
    export: tuple[ExportFormat, ...] = ()
    """Additional formats of the data set, for other trainers."""
    evaluation_tasks: bool = False
    """Allow tasks of a benchmark's evaluation split. A model trained on them must not be evaluated there."""

    def __post_init__(self) -> None:
        super().__post_init__()
        EpisodeExecutorConfig.__post_init__(self)
        check_spreadable(self, self.teacher, support=self.support)
        at_least(self, "samples", 1)
        at_least(self, "limit", 1)
        if self.mode not in MODES:
            raise ConfigError(f"mode={self.mode!r}: allowed are {', '.join(map(repr, MODES))}")
        at_least(self, "turn_limit", 1)
        if self.captions.source == "screen" and not self.screen_text:
            raise ConfigError("--captions screen needs the text on the screen: add --screen-text")
        if self.support and self.captions.source in ("task", "screen"):
            raise ConfigError(
                "support needs a captioner that sees frames: give --captions server, vllm or transformers"
            )

    @property
    def plays_world(self) -> bool:
        """Whether the tasks are of the generated world."""
        return is_world(self.tasks)

    @property
    def run_folder(self) -> Path | None:
        """The run directory."""
        return self.out

    @property
    def episode_budget(self) -> BudgetConfig:
        """Budget of an episode."""
        return resolve_budget(self.chosen.budget)

    @property
    def teacher_budget(self) -> BudgetConfig:
        """Budget of the teacher, which `turn_limit` lowers.

        Raises:
            ConfigError: The limit is above the calls of the budget.
        """
        calls, limit = self.episode_budget.max_calls, self.turn_limit
        if limit is not None and limit > calls:
            raise ConfigError(f"turn_limit={limit}: need 1 to {calls}, the calls of the budget")
        return replace(self.episode_budget, max_calls=limit or calls)


def main(config: SynthRun) -> Path:
    """Synthesise the data set, or resume, and print the counts of its data card.

    Returns:
        The run directory; the data set is its `dataset` folder.

    Raises:
        ConfigError: The configuration is impossible, no question is usable, or the directory belongs to another run.
        DataError: The tasks or the journal cannot be read, or no attempt could be played.
    """
    config = config.filled()
    config.judges([config.out])
    config.teacher_budget  # noqa: B018  Checked before any work.
    loaded = load_questions(config.tasks, config.split, captions_needed=config.captions.source == "task")
    if loaded.missing_videos:
        write_text(config.out / MISSING_FILE, "".join(f"{name}\n" for name in loaded.missing_videos))
    check_not_empty(loaded, config.tasks)
    if not config.evaluation_tasks:
        check_trainable(loaded.tasks)
    if loaded.problems:
        print(loaded.report())
    chosen = loaded.tasks if config.limit is None else loaded.tasks.head(config.limit)
    # Where frames are learned from, the script reads everything that a frame shows, not captions written beforehand.
    chosen = with_views(chosen) if (config.teacher.kind, config.perception) == ("scripted", "frames") else chosen
    tasks = {task.item.task_id: task for task in chosen}
    prompts = choose_prompts(
        config.prompts, None, config.out, student_prompts(config.tasks, config.chosen, config.teacher.kind)
    )
    if prompts.answers == "tool" and config.teacher.kind == "scripted":
        got = f"prompts={prompts.name}, teacher=scripted"
        raise ConfigError(f"{got}: the script answers in tags; give --prompts tiny or default, or another --teacher")
    identity, wording = _identity(config), prompts_record(prompts)
    missing = {**IF_MISSING, **TAGS_IF_MISSING}
    with open_run(config.out, "synth", identity, wording, missing) as run, ExitStack() as stack:
        library = config.open_library()
        searched = can_search(library, [task.item.video for task in tasks.values()])
        tools = tools_for("captions", config.offered, can_search=searched, answers=prompts.answers)
        models = open_models(config.teacher, config.captions, tools, run.path, stack)
        work = _Work(run, config, tasks, library, searched, models, prompts)
        attempts = _play(work)
        _check_any_played(attempts, config.out)
        result = _ground(work, attempts)
        card = _write(work, result, loaded)
    print(card.markdown().partition("\nSettings")[0])
    return config.out


def _check_any_played(attempts: Sequence[Trajectory], out: Path) -> None:
    reasons = Counter(it.invalid for it in attempts)
    if attempts and None not in reasons:
        often, count = reasons.most_common(1)[0]
        raise DataError(
            f"{out}: none of {len(attempts)} attempts could be played, {count} of them: {often}; mend that, and give "
            "another --out"
        )


@dataclass(frozen=True)
class _Work:
    """An open run with its tasks, videos and models."""

    run: Run
    config: SynthRun
    tasks: Mapping[str, Task]
    """Task id to task, in order."""
    library: VideoLibrary
    can_search: bool
    """Whether the clips of any of the videos can be searched."""
    models: Models
    prompts: PromptSet

    @property
    def episodes(self) -> SynthEpisodes:
        """How episodes are built in this process."""
        config, captioner = self.config, self.models.captioner
        spec = SynthSpec(
            config,
            config.teacher,
            config.captions,
            config.teacher_budget,
            config.episode_budget,
            self.can_search,
            self.prompts,
            config.seed,
        )
        check = captioner.supports if config.support and captioner else None
        return SynthEpisodes(spec, self.library, captioner, check)


def _identity(config: SynthRun) -> SynthRun:
    """Reset the settings that may change when a run resumes: server addresses and limits, batch size, exports, tags."""
    teacher, captions = config.teacher, config.captions
    return replace(
        config,
        teacher=replace(teacher, server=ServerConfig(model=teacher.server.model), batch_size=0),
        captions=replace(captions, server=ServerConfig(model=captions.server.model)),
        export=(),
        exclude_tags=(),
        only_tags=(),
    )


def _play(work: _Work) -> list[Trajectory]:
    """Play the attempts missing from the journal; return all attempts in the order of the tasks."""
    config, journal = work.config, work.run.path / JOURNAL
    before = read_trajectories(journal, skip_torn=True) if journal.exists() else ()
    # A repeated attempt has two lines; the later one counts.
    made = {(it.task_id, it.sample): it for it in before}
    tasks = list(work.tasks.values())
    attempts = plan_attempts(tasks, config.samples, {key for key, it in made.items() if not may_pass(it)})
    episodes = work.episodes
    if config.is_spread and config.teacher.kind == "scripted" and work.models.captioner is None:
        playing = play_in_workers(config, episodes.spec, attempts)
    else:
        caption_config = episodes.spec.caption_config
        playing = generate(attempts, work.models.teacher, episodes.open_captions, caption_config, config.seed)
    total = len(tasks) * config.samples
    for trajectory in track(playing, "attempts", total, total - len(attempts)):
        work.run.journal(trajectory)
        made[trajectory.task_id, trajectory.sample] = trajectory
    return [made[attempt.key] for attempt in plan_attempts(tasks, config.samples)]


def _ground(work: _Work, attempts: Sequence[Trajectory]) -> SynthResult:
    """Filter the attempts and replay the kept ones with frames.

    The evidence is read here, after the last attempt, so that no teacher can see it.
    """
    config = work.config
    evidence = {task_id: task.gold.evidence for task_id, task in work.tasks.items() if task.gold is not None}
    (left_out,) = config.judges([work.run.path])
    filtered = filter_trajectories(attempts, config.mode, np.random.default_rng(config.seed), evidence, left_out)
    if config.perception == "captions":
        return SynthResult(config.mode, attempts, filtered, [Grounded(it, ()) for it in filtered.kept])
    episodes = work.episodes
    kept = [(work.tasks[source.task_id], source) for source in filtered.kept]
    if config.is_spread:
        replaying = replay_in_workers(config, episodes.spec, kept)
    else:
        replaying = ((idx, episodes.replay(task, source)) for idx, (task, source) in enumerate(kept))
    replayed = dict(track(replaying, "replays", len(kept)))
    grounded = [replayed[idx] for idx in range(len(kept))]
    return SynthResult(config.mode, attempts, filtered, grounded)


def _write(work: _Work, result: SynthResult, loaded: LoadedQuestions) -> DataCard:
    """Write the data set with its data card, and the exports."""
    run, config, kept = work.run, work.config, result.kept
    refs = {it.video_handle: work.tasks[it.task_id].item.video for it in kept}

    def open_video(handle: str) -> Video:
        return work.library.open(refs[handle])

    pictures, videos = describe_pictures(kept, open_video)
    leakage = find_leakage(Path(ref.path) for ref in refs.values())
    card = make_card(config, loaded, result, work.models, leakage)
    card = replace(
        card,
        settings={
            **card.settings,
            **prompts_record(work.prompts),
            "teacher_prompt": teacher_prompt(work.prompts.answers),
        },
    )
    write_dataset(run.path / DATASET_FOLDER, kept, card, tables=tables(result, pictures, videos))
    tools = {it: work.episodes.spec.tools(it) for it in ("frames", "captions")}
    for form in config.export:
        rows = export(run.path / EXPORTS_FOLDER / form, form, kept, pictures, open_video, tools, prompts=work.prompts)
        run.metric({"event": "exported", "format": form, "rows": rows})
    run.metric({"event": "written", "trajectories": len(kept), "usage": work.models.usage})
    return card
