"""Playing the attempts of an evaluation, in this process or in workers, see `experiments.runs.executors`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from agents.language.confidence_gate import GateConfig
from agents.rollout import EpisodeLimits, Start, play_in_rounds, play_in_threads, record_unopened
from experiments.runs.executors import EpisodeExecutorConfig, Work, run_in_workers
from experiments.settings.controls import named_as_control
from experiments.settings.library import LibraryConfig
from experiments.settings.models import ModelConfig
from experiments.settings.policies import MODELS, Layout, Policy, SeededAttempt, Setting, build_policy, layout_of
from vt_env.envs.base import make_episode
from vt_env.episode.episode import Episode
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError
from vt_env.media.shuffled_frames import ShuffledFrames
from vt_env.protocols import Library
from vt_env.tasks.task_set import Task
from vt_env.types import VideoRef

_AGENT_ATTEMPTS = 8
"""Attempts of a policy without a model that a worker takes at a time: each lasts milliseconds."""


class Playing(Protocol):
    """Settings of an evaluation that decide how its attempts are played."""

    @property
    def agent(self) -> str:
        """Name of the policy."""
        ...

    @property
    def seed(self) -> int:
        """Seed of the policy."""
        ...

    @property
    def batch(self) -> int:
        """Concurrent episodes."""
        ...

    @property
    def limits(self) -> EpisodeLimits:
        """Limits of an episode besides its budget."""
        ...


@dataclass(frozen=True)
class EvalWorkerSpec:
    """What a worker needs to play episodes of an evaluation: settings alone, opened where it runs."""

    agent: str
    model: ModelConfig
    gate: GateConfig
    setting: Setting
    library: LibraryConfig
    seed: int
    batch: int
    limits: EpisodeLimits
    provenance: Mapping[str, Any]
    """`Policy.provenance` of the process that writes; a worker with another one is refused."""
    controls: tuple[str, ...] = ()
    """Controls that the run is, see `experiments.settings.controls`."""
    shuffled: tuple[VideoRef, ...] = ()
    """Videos that show each other's frames; empty for all runs but that control."""


@dataclass(frozen=True)
class _Worker:
    """An opened worker."""

    spec: EvalWorkerSpec
    policy: Policy
    library: Library


def play(
    policy: Policy,
    attempts: Sequence[SeededAttempt],
    library: Library,
    run: Playing,
    provenance: str = "",
    controls: Sequence[str] = (),
) -> Iterator[Trajectory]:
    """Play one episode per attempt, concurrently; an episode whose video cannot be opened is recorded as invalid.

    Args:
        policy: The policy.
        attempts: Tasks with the seeds of their episodes.
        library: Opens the videos.
        run: Seed, batch and limits.
        provenance: Provenance key, stored in each trajectory.
        controls: Controls that the run is, named with the policy in each trajectory.

    Yields:
        Trajectories in the order in which episodes end.
    """
    layout = policy.layout
    starts = [
        Start(it.task.item, layout.config, episode_builder(it.task, layout, library), run.seed, it.sample)
        for it in attempts
    ]
    batch, name = policy.batch_policy(attempts), named_as_control(run.agent, controls)
    if policy.schedule == "threads":
        played = play_in_threads(batch, starts, run.batch, policy_name=name, limits=run.limits)
    else:
        refill = policy.schedule == "rounds"
        played = play_in_rounds(batch, starts, run.batch, policy_name=name, limits=run.limits, refill=refill)
    for idx, episode in played:
        # An episode that a limit of the runner ends has no answer and so no score of its own; it counts as wrong.
        is_wrong = episode.limit is not None and attempts[idx].task.gold is not None
        yield replace(episode, provenance=provenance, correct=False if is_wrong else episode.correct)


def episode_builder(task: Task, layout: Layout, library: Library) -> Callable[[], Episode]:
    """Return a function that builds a fresh episode of a task with the policy's layout.

    The budget of a gated policy depends on the duration of the video.
    """

    def build() -> Episode:
        config = layout.config
        if layout.is_gated:
            task.prepare(task.item.video)
            config = layout.config_for(library.open(task.item.video).duration_s)
        return make_episode(task, library, config, layout.tools)

    return build


def check_spreadable(config: EpisodeExecutorConfig, agent: str, model: ModelConfig) -> None:
    """Refuse to spread a policy whose engine takes a whole machine.

    Raises:
        ConfigError: The policy runs vLLM in its own process.
    """
    if config.is_spread and agent in MODELS and model.backend == "vllm":
        how = "--executor ray" if config.executor == "ray" else f"--workers {config.workers}"
        raise ConfigError(f"--backend vllm with {how}: serve the model (vllm serve) and give --backend openai")


def play_in_workers(
    config: EpisodeExecutorConfig, spec: EvalWorkerSpec, attempts: Sequence[SeededAttempt], provenance: str
) -> Iterator[Trajectory]:
    """Play one episode per attempt in workers.

    A policy without a model plays a few attempts at a time, a model in the worker's process `spec.batch`, in batches as
    `play` does; with a server, a worker of a Ray cluster plays `spec.batch` at once and a process of this machine one.

    Args:
        config: Where the workers run.
        spec: What a worker needs.
        attempts: Tasks with the seeds of their episodes.
        provenance: Provenance key, stored in each trajectory.

    Yields:
        Trajectories in the order in which they come; invalid ones for attempts that ended their worker twice.

    Raises:
        ConfigError: A worker has other weights or code than this process, or the executor or server cannot be reached.
    """
    has_model = spec.agent in MODELS
    waits = spec.model.backend == "openai" if has_model else ":" in spec.agent
    size = 1 if waits else spec.batch if has_model else _AGENT_ATTEMPTS
    items = [tuple(attempts[start : start + size]) for start in range(0, len(attempts), size)]
    work = Work(_open_worker, spec, _play_item, at_once=spec.batch if waits else 1)
    layout = layout_of(spec.agent, spec.model, spec.setting, spec.gate)
    for item, played in run_in_workers(config, work, items):
        for episode in _unplayed(item, layout, spec) if played is None else played:
            yield replace(episode, provenance=provenance)


def _open_worker(spec: EvalWorkerSpec) -> _Worker:
    library: Library = spec.library.open_library()
    if spec.shuffled:
        library = ShuffledFrames(library, spec.shuffled, spec.seed)
    policy = build_policy(spec.agent, spec.model, spec.setting, spec.gate, spec.batch)
    for name in {*spec.provenance, *policy.provenance}:
        expected, own = spec.provenance.get(name), policy.provenance.get(name)
        if expected != own:
            policy.close()
            got = f"a worker has {name} {own}, the process that writes {expected}"
            raise ConfigError(f"{got}: give all machines the same files and versions")
    if policy.schedule == "threads":
        # What a server is asked once is asked before several threads would.
        policy.batch_policy(())
    return _Worker(spec, policy, library)


def _play_item(worker: _Worker, attempts: tuple[SeededAttempt, ...]) -> list[Trajectory]:
    spec = worker.spec
    return list(play(worker.policy, attempts, worker.library, spec, controls=spec.controls))


def _unplayed(attempts: Sequence[SeededAttempt], layout: Layout, spec: EvalWorkerSpec) -> Iterator[Trajectory]:
    reason = "playing it ended its worker twice (too little memory, or a crash)"
    name = named_as_control(spec.agent, spec.controls)
    for it in attempts:
        yield record_unopened(it.task.item, layout.config, reason, policy_name=name, seed=spec.seed, sample=it.sample)
