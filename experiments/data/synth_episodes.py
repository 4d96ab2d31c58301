"""Episodes of a synthesis, in caption space and replayed with frames, in this process or in workers.

Attempts of a teacher or captioner behind a server are played by the process that keeps the replies paid, so that none
is paid twice; what is spread are attempts of the scripted teacher, and every replay.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from agents.rollout import record_unopened
from experiments.data.synth_models import CaptionsConfig, TeacherConfig
from experiments.runs.executors import EpisodeExecutorConfig, Work, run_in_workers
from experiments.settings.library import LibraryConfig
from synth.caption_perception import CaptionerPerception, ScreenTextPerception, lossy
from synth.captioner import Captioner
from synth.generate import Attempt, generate
from synth.ground import Grounded, SupportCheck, ground, ground_unopened
from synth.teacher import ScriptedTeacher
from vt_env.config import BudgetConfig, EnvConfig
from vt_env.envs.base import make_episode
from vt_env.episode.episode import Episode
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError, DataError
from vt_env.media.library import VideoLibrary
from vt_env.prompts import PromptSet
from vt_env.tasks.task_set import Task
from vt_env.tools.builtin import tools_for
from vt_env.tools.tool import Tool

_ITEMS = 8
"""Attempts or replays that a worker takes at a time: each lasts milliseconds."""
_KILLED = "it ended its worker twice (too little memory, or a crash)"


@dataclass(frozen=True)
class SynthSpec:
    """Settings of the episodes of a synthesis; all that a worker needs."""

    library: LibraryConfig
    teacher: TeacherConfig
    captions: CaptionsConfig
    teacher_budget: BudgetConfig
    budget: BudgetConfig
    """Budget of the replays."""
    can_search: bool
    """Whether the clips of any of the videos can be searched."""
    prompts: PromptSet
    seed: int

    def tools(self, perception: str) -> tuple[Tool, ...]:
        """Return the tools on offer under a perception."""
        offered = self.library.offered
        return tools_for(perception, offered, can_search=self.can_search, answers=self.prompts.answers)

    @cached_property
    def caption_config(self) -> EnvConfig:
        """Configuration of the teacher's episodes."""
        return EnvConfig("captions", self.teacher_budget, media=self.library.chosen.media, prompts=self.prompts)

    @cached_property
    def frame_config(self) -> EnvConfig:
        """Configuration of the replays."""
        return EnvConfig("frames", self.budget, media=self.library.chosen.media, prompts=self.prompts)


@dataclass(frozen=True)
class SynthEpisodes:
    """Opened videos and models that the episodes of a synthesis are built with."""

    spec: SynthSpec
    library: VideoLibrary
    captioner: Captioner | None = None
    """`None` if captions are those of the tasks or the text on the screen."""
    check: SupportCheck | None = None

    def open_captions(self, task: Task) -> Episode:
        """Build a fresh episode of a task in caption space.

        Raises:
            DataError: The video cannot be opened.
        """
        config, captions = self.spec.caption_config, self.spec.captions
        task.prepare(task.item.video)
        video = self.library.open(task.item.video)
        perception = None
        if self.captioner is not None:
            perception = CaptionerPerception(video, config.budget, self.captioner, task.item.question, config.prompts)
        elif captions.source == "screen":
            perception = ScreenTextPerception(video, config.budget, config.prompts)
        elif captions.loss:
            lost = lossy(video.captions or (), captions.loss, video.ref.handle, self.spec.seed)
            video = replace(video, captions=lost)
        return Episode(task.item, task.gold, video, config, self._caption_tools, perception)

    def replay(self, task: Task, source: Trajectory) -> Grounded:
        """Replay an attempt with frames."""
        try:
            episode = make_episode(task, self.library, self.spec.frame_config, self._frame_tools)
        except DataError as reason:
            return ground_unopened(source, str(reason))
        return ground(source, episode, self.check)

    @cached_property
    def _caption_tools(self) -> tuple[Tool, ...]:
        return self.spec.tools("captions")

    @cached_property
    def _frame_tools(self) -> tuple[Tool, ...]:
        return self.spec.tools("frames")


def check_spreadable(config: EpisodeExecutorConfig, teacher: TeacherConfig, *, support: bool) -> None:
    """Refuse to spread what asks models inside of workers.

    Raises:
        ConfigError: The teacher runs in this process, or replays ask the captioner.
    """
    if not config.is_spread:
        return
    how = "--executor ray" if config.executor == "ray" else f"--workers {config.workers}"
    if teacher.kind == "vllm":
        raise ConfigError(f"--teacher vllm with {how}: serve the model (vllm serve) and give --teacher server")
    if support:
        raise ConfigError(f"--support with {how}: replays would ask the captioner from every worker; leave one out")


def play_in_workers(
    config: EpisodeExecutorConfig, spec: SynthSpec, attempts: Sequence[Attempt]
) -> Iterator[Trajectory]:
    """Make attempts of the scripted teacher in workers, and yield them as they come.

    Raises:
        ConfigError: The executor cannot be reached.
    """
    items = [tuple(attempts[start : start + _ITEMS]) for start in range(0, len(attempts), _ITEMS)]
    for item, played in run_in_workers(config, Work(_open_worker, spec, _play_attempts), items):
        yield from played if played is not None else (_unplayed(attempt, spec) for attempt in item)


def replay_in_workers(
    config: EpisodeExecutorConfig, spec: SynthSpec, kept: Sequence[tuple[Task, Trajectory]]
) -> Iterator[tuple[int, Grounded]]:
    """Replay attempts with frames in workers, and yield their positions and results as they come.

    Raises:
        ConfigError: The executor cannot be reached.
    """
    items = [tuple(enumerate(kept))[start : start + _ITEMS] for start in range(0, len(kept), _ITEMS)]
    for item, replayed in run_in_workers(config, Work(_open_worker, spec, _replay), items):
        results = [ground_unopened(source, _KILLED) for _, (_, source) in item] if replayed is None else replayed
        yield from zip((idx for idx, _ in item), results, strict=True)


def _open_worker(spec: SynthSpec) -> SynthEpisodes:
    return SynthEpisodes(spec, spec.library.open_library())


def _play_attempts(episodes: SynthEpisodes, attempts: tuple[Attempt, ...]) -> list[Trajectory]:
    spec = episodes.spec
    teacher = ScriptedTeacher(spec.teacher.persistence)
    return list(generate(attempts, teacher, episodes.open_captions, spec.caption_config, spec.seed))


def _replay(episodes: SynthEpisodes, kept: tuple[tuple[int, tuple[Task, Trajectory]], ...]) -> list[Grounded]:
    return [episodes.replay(task, source) for _, (task, source) in kept]


def _unplayed(attempt: Attempt, spec: SynthSpec) -> Trajectory:
    name = ScriptedTeacher(spec.teacher.persistence).name
    config, seed = spec.caption_config, spec.seed
    return record_unopened(attempt.task.item, config, _KILLED, policy_name=name, seed=seed, sample=attempt.sample)
