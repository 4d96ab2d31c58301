"""Evaluate one policy: `vt-env eval --agent sft --model.path runs/sft/model --out runs/eval-sft`.

Every finished episode is one line of the journal. A killed run resumes with the missing attempts and the same seeds; a
torn last line counts as missing. An episode whose data failed, or whose request a server did not answer, is journalled
as invalid with the reason and never scored; the same command plays it again. A server that dies ends the run, without
an invalid episode.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agents.language.confidence_gate import GateConfig
from agents.rollout import EpisodeLimits
from agents.seeds import attempt_seed
from experiments.analysis.accuracy import PolicyRow, policy_row
from experiments.evaluate.episode_provenance import check_same_provenance, evaluation_provenance, search_provenance
from experiments.evaluate.play_attempts import EvalWorkerSpec, check_spreadable, play, play_in_workers
from experiments.runs.executors import EpisodeExecutorConfig
from experiments.runs.journal import drop_failed, read_journal
from experiments.runs.read_run import JOURNAL
from experiments.runs.run_dir import Run, open_run, publish_run
from experiments.settings.controls import SHUFFLED_FRAMES, controls_record, model_controls, named_as_control
from experiments.settings.models import ModelConfig
from experiments.settings.policies import (
    MODELS,
    Policy,
    SeededAttempt,
    Setting,
    build_policy,
    layout_of,
    model_path,
    perception_of,
    tasks_of,
)
from experiments.settings.profile import is_world
from experiments.settings.prompts import IF_MISSING, choose_prompts, prompts_record
from experiments.settings.protocol import ProtocolConfig
from experiments.settings.world_version import check_world
from experiments.settings.written_captions import check_captions
from vt_env.benchmarks.scoring.replies import Status
from vt_env.config import HOW_ONLY, at_least
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError, DataError
from vt_env.media.library import VideoLibrary
from vt_env.media.shuffled_frames import ShuffledFrames
from vt_env.media.terminal import progress_bar
from vt_env.prompts import PromptSet, resolve_prompts
from vt_env.protocols import Library
from vt_env.task_sources import load_tasks
from vt_env.tasks.task_set import TaskSet
from vt_env.tools.builtin import can_search


@dataclass(frozen=True)
class EvalRun(ProtocolConfig, EpisodeExecutorConfig):
    """Evaluate one policy on the first tasks of a split."""

    agent: str = "random"
    """Policy by name (a wrong name lists all), or your class as `module:Class` or `file.py:Class`."""
    out: Path = Path("runs/eval")
    """Run directory; an interrupted run resumes there."""
    tasks: str = "world"
    """Task set: a name such as `world` or `world/needle`, a folder, or a JSONL file; `cgbench/clues` shows the clue
    intervals only."""
    split: str = "test"
    """Split of the tasks."""
    n: int = 100
    """Number of tasks, the first of the split; all if there are fewer."""
    samples: int = 1
    """Attempts per task, each with its own seed; above 1, pass@k is reported and models need a temperature above 0."""
    seed: int = 0
    """Seed of the policy. It does not change the tasks, so that policies can be compared."""
    budget: str | None = None
    """Budget of an episode: a preset, optionally with changes (`paper,max_calls=16,max_frames=128`), or changes alone
    of the profile's (`max_calls=16`)."""
    tools: Literal["default", "paper", "adaptive"] | None = None
    """Tool set, for policies with tools."""
    batch: int = field(default=32, metadata=HOW_ONLY)
    """Concurrent episodes of a process; for a server, also concurrent requests."""
    shuffle_frames: bool = False
    """Control, whose results are no results: looks return frames of another video, drawn by the seed."""
    limits: EpisodeLimits = field(default_factory=EpisodeLimits)
    """Limits of an episode besides its budget."""
    gate: GateConfig = field(default_factory=GateConfig)
    """Confidence gate, for the agent `gated`."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Language model, for policies with one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        EpisodeExecutorConfig.__post_init__(self)
        check_spreadable(self, self.agent, self.model)
        for name in ("n", "samples", "batch"):
            at_least(self, name, 1)
        if self.agent in MODELS:
            self.check_attempts(self.model.temperature)

    @property
    def plays_world(self) -> bool:
        """Whether the tasks are of the generated world."""
        return is_world(self.tasks)

    @property
    def known_model(self) -> str | None:
        """Model of the policy."""
        return model_path(self.agent, self.model, self.gate)

    @property
    def run_folder(self) -> Path | None:
        """The run directory."""
        return self.out

    def check_attempts(self, temperature: float | None) -> None:
        """Refuse several attempts of a model that is greedy; `None` stands for an unknown temperature.

        Raises:
            ConfigError: All attempts at a task would be the same.
        """
        if self.samples > 1 and temperature == 0:
            got = f"samples={self.samples}, model.temperature=0"
            raise ConfigError(f"{got}: all attempts would be the same; give --model.temperature above 0, such as 1")


def main(run: EvalRun) -> int:
    """Evaluate the policy and write the report of the run.

    Returns:
        0, or 1 if no episode could be played.
    """
    from experiments.report.report import ReportRun
    from experiments.report.report import main as write_report

    row = evaluate(run)
    write_report(ReportRun((run.out,)))
    publish_run(run.out)
    return int(set(row.status) == {str(Status.ERROR)})


def evaluate(run: EvalRun) -> PolicyRow:
    """Play the attempts missing from the journal and summarise all episodes.

    Raises:
        ConfigError: The directory belongs to another run or to other annotations, prompts or weights; the policy, model
            or task set does not exist; or the server stopped answering.
        DataError: The journal or the task file is damaged.
    """
    run.check_protocol(perception_of(run.agent))
    if perception_of(run.agent) == "captions":
        check_captions(run.tasks, run.known_model)
    run = run.filled()
    prompts = choose_prompts(run.prompts, run.known_model, run.out, resolve_prompts(run.chosen.prompts))
    controls = [*model_controls(run.known_model), *([SHUFFLED_FRAMES] if run.shuffle_frames else [])]
    also = {**prompts_record(prompts), **run.protocol_record, **controls_record(controls)}
    with open_run(run.out, "eval", run, also, {**IF_MISSING, "shuffle_frames": False}) as directory:
        tasks = load_run_tasks(run)
        journal = drop_failed(directory)
        attempts = [
            SeededAttempt(task, attempt_seed(run.seed, task.item.task_id, sample), sample)
            for sample in range(run.samples)
            for task in tasks
        ]
        done = _played(journal, attempts, run.out)
        left = [attempt for attempt in attempts if (attempt.task.item.task_id, attempt.sample) not in done]
        if left:
            library = run.open_library()
            setting = setting_of(run, tasks, library, prompts)
            shown = _shown_library(run, setting, tasks, library)
            policy = build_policy(run.agent, run.model, setting, run.gate, run.batch)
            with closing(policy):
                run.check_attempts(policy.temperature)
                key = add_provenance(directory, journal, policy, tasks, library, run)
                if not run.is_spread:
                    episodes = play(policy, left, shown, run, key, controls)
                    journal_episodes(episodes, directory, run, len(attempts), len(done))
            if run.is_spread:
                spec = worker_spec(run, setting, policy, tasks, controls)
                episodes = play_in_workers(run, spec, left, key)
                journal_episodes(episodes, directory, run, len(attempts), len(done))
        episodes = read_journal(directory.path)
        reasons = Counter(it.invalid for it in episodes if it.invalid is not None)
        if reasons:
            (often, count), failed = reasons.most_common(1)[0], reasons.total()
            print(f"{failed} invalid episodes are not scored; run the same command again to retry them")
            print(f"{count} of them: {often}")
        return policy_row(named_as_control(run.agent, controls), episodes)


def _shown_library(run: EvalRun, setting: Setting, tasks: TaskSet, library: VideoLibrary) -> Library:
    """Return the library that episodes are played with: the run's, or one whose videos show each other's frames.

    Raises:
        ConfigError: The policy sees no frames, or there is one video alone.
    """
    if not run.shuffle_frames:
        return library
    layout = layout_of(run.agent, run.model, setting, run.gate)
    if layout.perception != "frames" or not (layout.tools or layout.budget.global_frames):
        raise ConfigError(f"--shuffle-frames with agent={run.agent!r}: it sees no frames; give one that does, or none")
    return ShuffledFrames(library, tasks.videos, run.seed)


def load_run_tasks(run: EvalRun) -> TaskSet:
    """Load the tasks of a run, as its policy reads them.

    Raises:
        ConfigError: The task set does not exist, or is of another generated world than the model.
        DataError: The task file is damaged.
    """
    tasks = load_tasks(run.tasks, run.split).head(run.n)
    check_world(run.known_model, tasks)
    return tasks_of(run.agent, tasks)


def setting_of(run: EvalRun, tasks: TaskSet, library: VideoLibrary, prompts: PromptSet) -> Setting:
    """Return the settings that all policies of an evaluation share."""
    searched = can_search(library, tasks.videos)
    chosen = run.chosen
    return Setting(chosen.budget, run.offered, chosen.media, tasks.is_excerpt, prompts, searched, chosen.reply_tokens)


def worker_spec(
    run: EvalRun, setting: Setting, policy: Policy, tasks: TaskSet, controls: Sequence[str]
) -> EvalWorkerSpec:
    """Return what a worker needs to play this evaluation."""
    return EvalWorkerSpec(
        run.agent,
        run.model,
        run.gate,
        setting,
        run,
        run.seed,
        run.batch,
        run.limits,
        policy.provenance,
        tuple(controls),
        tuple(tasks.videos) if run.shuffle_frames else (),
    )


def add_provenance(
    directory: Run, journal: Sequence[Trajectory], policy: Policy, tasks: TaskSet, library: VideoLibrary, run: EvalRun
) -> str:
    """Store the provenance of the episodes to be played, and return its key.

    Raises:
        ConfigError: The episodes in the journal have another one.
    """
    own = {**evaluation_provenance(policy, tasks, run.seed), **search_provenance(library, tasks.videos)}
    shuffled = {"controls": {SHUFFLED_FRAMES: {"seed": run.seed}}} if run.shuffle_frames else {}
    entry = {**own, **run.protocol_record, **shuffled}
    check_same_provenance(directory.path, {episode.provenance for episode in journal}, entry)
    return directory.add_provenance(entry)


def _played(journal: Sequence[Trajectory], attempts: Sequence[SeededAttempt], out: Path) -> set[tuple[str, int]]:
    """Return the attempts that a journal holds, by task and sample.

    Raises:
        DataError: It holds an attempt twice, or one that is not part of the run; either would be counted.
    """
    counts = Counter((it.task_id, it.sample) for it in journal)
    wanted = {(it.task.item.task_id, it.sample) for it in attempts}
    for (task_id, sample), count in counts.items():
        if count > 1 or (task_id, sample) not in wanted:
            what = "occurs twice" if count > 1 else "is no part of this run"
            remedy = "restore it, or give another --out"
            raise DataError(f"{out / JOURNAL}: attempt {sample} at task {task_id!r} {what}; {remedy}")
    return set(counts)


def journal_episodes(episodes: Iterator[Trajectory], directory: Run, run: EvalRun, total: int, done: int) -> None:
    """Append each finished episode to the journal; show progress and write one line of metrics per batch.

    Args:
        episodes: Trajectories as they end.
        directory: The open run directory.
        run: Name of the policy and batch size.
        total: Attempts of the whole run.
        done: Attempts that the journal held before.
    """
    with progress_bar(run.agent, total, done, "episode") as progress:
        for episode in episodes:
            directory.journal(episode)
            progress.update()
            if (progress.n - done) % run.batch == 0 or progress.n == total:
                directory.metric({"event": "batch", "episodes": progress.n})
