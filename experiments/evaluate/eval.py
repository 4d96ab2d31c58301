"""Evaluate one policy: `vt-env eval --agent sft --model.path runs/sft/model --out runs/eval-sft`.

Every episode is one line of the journal, written when it ends. Killed and started again, a run plays the attempts that
the journal lacks, with the same seeds; a torn last line does not count. Episodes whose data failed, or whose request a
server did not answer, are journalled with the reason and never scored; the same command plays them again. A server that
dies ends the run and no episode.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from agents.language.confidence_gate import GateConfig
from agents.rollout import EpisodeLimits, Start, play_in_rounds, play_in_threads
from agents.seeds import attempt_seed
from experiments.analysis.metrics import PolicyRow, policy_row
from experiments.evaluate.episode_origin import evaluation_origin, refuse_changed, search_origin
from experiments.runs.journal import read_journal, without_failed
from experiments.runs.run_dir import HOW_ONLY, Run, open_run
from experiments.settings.models import ModelConfig
from experiments.settings.policies import MODELS, Layout, Policy, SeededAttempt, Setting, build_policy, model_of
from experiments.settings.prompts import BEFORE_SETS, EpisodeConfig, choose_prompts, recorded
from vt_env.config import at_least
from vt_env.envs.base import make_episode
from vt_env.episode.episode import Episode
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError
from vt_env.protocols import Library
from vt_env.task_sources import load_tasks
from vt_env.tasks.task_set import Task


@dataclass(frozen=True)
class EvalRun(EpisodeConfig):
    """One policy on the first tasks of a split."""

    agent: str = "random"
    """A policy as reports name it (a wrong name lists them), or `module:Class` or `file.py:Class` of your own."""
    out: Path = Path("runs/eval")
    """Run directory; an interrupted run goes on there."""
    tasks: str = "world"
    """A name such as `world` or `world/needle`, a folder, or a JSONL file; `cgbench/clues` shows the clues alone."""
    split: str = "test"
    """Which of the tasks."""
    n: int = 100
    """Tasks to play; all if there are fewer."""
    samples: int = 1
    """Attempts at each task, each with its own seed; with more than one, pass@k is reported. Models need a temperature
    above 0 then."""
    seed: int = 0
    """Seed of the policy. Tasks are always the first of the split, so that policies can be compared."""
    budget: str = "default"
    """What an episode may spend: a preset, with changes if need be (`paper,max_calls=16,max_frames=128`)."""
    tools: Literal["default", "paper"] = "default"
    """The tools offered, to policies that have any."""
    batch: int = field(default=32, metadata=HOW_ONLY)
    """Episodes played at once, and requests under way at once where a server plays."""
    limits: EpisodeLimits = field(default_factory=EpisodeLimits)
    """What an episode may take besides its budget."""
    gate: GateConfig = field(default_factory=GateConfig)
    """The confidence gate, for the agent `gated`."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The language model, for policies that are one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n", "samples", "batch"):
            at_least(self, name, 1)
        if self.samples > 1 and self.agent in MODELS and not self.model.temperature:
            got = f"samples={self.samples}, model.temperature=0"
            raise ConfigError(f"{got}: all attempts would be the same; give --model.temperature, such as 1")


def main(run: EvalRun) -> None:
    """Evaluate, and write the report of this run."""
    from experiments.report.report import ReportRun
    from experiments.report.report import main as write_report

    evaluate(run)
    write_report(ReportRun((run.out,)))


def evaluate(run: EvalRun) -> PolicyRow:
    """Play what the journal lacks and summarise all of it.

    Raises:
        ConfigError: The directory belongs to another run or to other annotations, wording or weights, there is no such
            policy, model or task, or a server does not answer any more.
        DataError: The journal or the task file is damaged.
    """
    prompts = choose_prompts(run.prompts, model_of(run.agent, run.model, run.gate), run.out)
    with open_run(run.out, "eval", run, recorded(prompts), BEFORE_SETS) as directory:
        tasks = load_tasks(run.tasks, run.split).head(run.n)
        journal = without_failed(directory)
        done = {(episode.task_id, episode.sample) for episode in journal}
        attempts = [
            SeededAttempt(task, attempt_seed(run.seed, task.item.task_id, sample), sample)
            for sample in range(run.samples)
            for task in tasks
        ]
        left = [attempt for attempt in attempts if (attempt.task.item.task_id, attempt.sample) not in done]
        if left:
            library = run.open_library()
            setting = Setting(run.budget, run.tools, run.media, tasks.is_excerpt, prompts)
            policy = build_policy(run.agent, run.model, setting, run.gate, run.batch)
            with closing(policy):
                entry = {**evaluation_origin(policy, tasks, run.seed), **search_origin(library)}
                refuse_changed(directory.path, {episode.provenance for episode in journal}, entry)
                origin = directory.origin(entry)
                episodes = play(policy, left, library, run, origin)
                write_down(episodes, directory, run, len(attempts), len(done))
        episodes = read_journal(directory.path)
        failed = sum(it.invalid is not None for it in episodes)
        if failed:
            print(f"{failed} episodes could not be played and are not scored; the same command tries them again")
        return policy_row(run.agent, episodes)


def play(
    policy: Policy, attempts: Sequence[SeededAttempt], library: Library, run: EvalRun, origin: str = ""
) -> Iterator[Trajectory]:
    """Play one episode an attempt, many at once; one whose video cannot be opened is recorded as invalid.

    Args:
        policy: Who plays.
        attempts: What is played.
        library: Opens the videos.
        run: Seed, batch and limits.
        origin: Kept in the trajectories.

    Yields:
        Trajectories, as episodes end.
    """
    layout = policy.layout
    starts = [
        Start(it.task.item, layout.config, episode_builder(it.task, layout, library), run.seed, it.sample)
        for it in attempts
    ]
    players = policy.players(attempts)
    if policy.schedule == "threads":
        played = play_in_threads(players, starts, run.batch, policy_name=run.agent, limits=run.limits)
    else:
        refill = policy.schedule == "rounds"
        played = play_in_rounds(players, starts, run.batch, policy_name=run.agent, limits=run.limits, refill=refill)
    for idx, episode in played:
        # The runner broke it off, so the episode itself has no verdict.
        is_wrong = episode.limit is not None and attempts[idx].task.gold is not None
        yield replace(episode, provenance=origin, correct=False if is_wrong else episode.correct)


def episode_builder(task: Task, layout: Layout, library: Library) -> Callable[[], Episode]:
    """Make what builds a fresh episode of a task, as the policy's layout has it for a video of its length."""

    def build() -> Episode:
        config = layout.config
        if layout.is_gated:
            task.prepare(task.item.video)
            config = layout.config_for(library.open(task.item.video).duration_s)
        return make_episode(task, library, config, layout.tools)

    return build


def write_down(episodes: Iterator[Trajectory], directory: Run, run: EvalRun, total: int, done: int) -> None:
    """Journal episodes as they end, with progress and one line of metrics a batch."""
    with tqdm(desc=run.agent, total=total, initial=done, unit="episode") as progress:
        for episode in episodes:
            directory.journal(episode)
            progress.update()
            if (progress.n - done) % run.batch == 0 or progress.n == total:
                directory.metric({"event": "batch", "episodes": progress.n})
