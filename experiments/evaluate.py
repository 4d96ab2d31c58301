"""Evaluate one policy: `vt-env eval --agent sft --model.path runs/sft/model --out runs/eval-sft`.

Episodes are journalled one line each as batches of them end. Killed and started again, it plays the tasks that the
journal lacks, with the same seeds; a torn last line does not count. Episodes whose data failed are journalled with the
reason and never scored.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from agents.rollout import run_many
from experiments.metrics import PolicyRow, policy_row
from experiments.policies import ModelConfig, Policy, PolicyName, Seat, build_policy
from experiments.runs import JOURNAL, open_run
from vt_env.config import EnvConfig
from vt_env.env import make_episode
from vt_env.episode import Episode
from vt_env.errors import DataError
from vt_env.media.video import VideoLibrary
from vt_env.sources import Library
from vt_env.tasks import Task, load_tasks
from vt_env.trajectory import Trajectory, read_trajectories
from vt_env.types import Remaining


@dataclass(frozen=True)
class EvalRun:
    """One policy on the first tasks of a split."""

    agent: PolicyName = "random"
    """The policy, as it is named in reports."""
    out: Path = Path("runs/eval")
    """Run directory; an interrupted run goes on there."""
    tasks: str = "world"
    """A name such as `world` or `world/needle`, a folder, or a JSONL file."""
    split: str = "test"
    """Which of the tasks."""
    n: int = 100
    """Tasks to play; all if there are fewer."""
    seed: int = 0
    """Seed of the policy. Tasks are always the first of the split, so that policies can be compared."""
    budget: str = "default"
    """Preset of what an episode may spend."""
    batch: int = 32
    """Episodes played at once."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The language model, for policies that are one."""


def main(run: EvalRun) -> None:
    """Evaluate, and write the report of this run."""
    from experiments.report import ReportRun
    from experiments.report import main as write_report

    evaluate(run)
    write_report(ReportRun((run.out,)))


def evaluate(run: EvalRun) -> PolicyRow:
    """Play what the journal lacks and summarise all of it.

    Raises:
        ConfigError: The directory belongs to another run, or there is no such policy, model or task.
        DataError: The journal or the task file is damaged.
    """
    with open_run(run.out, "eval", run) as directory:
        tasks = load_tasks(run.tasks, run.split).head(run.n)
        done = {episode.task_id for episode in read_journal(directory.path)}
        seats = [Seat(task, _seed(run.seed, number)) for number, task in enumerate(tasks)]
        left = [seat for seat in seats if seat.task.item.task_id not in done]
        if left:
            policy = build_policy(run.agent, run.model, run.budget)
            library = VideoLibrary(policy.config.media)
            with tqdm(desc=run.agent, total=len(seats), initial=len(done), unit="episode") as progress:
                for first in range(0, len(left), run.batch):
                    episodes = play_batch(policy, left[first : first + run.batch], library, run)
                    for episode in episodes:
                        directory.journal(asdict(episode))
                    progress.update(len(episodes))
                    directory.metric({"event": "batch", "episodes": progress.n})
        return policy_row(run.agent, read_journal(directory.path))


def play_batch(policy: Policy, seats: Sequence[Seat], library: Library, run: EvalRun) -> list[Trajectory]:
    """Play one episode a seat, all at once; one whose video cannot be opened is recorded as invalid."""
    seated: list[Seat] = []
    episodes: list[Episode] = []
    unplayed: dict[str, Trajectory] = {}
    for seat in seats:
        try:
            episodes.append(make_episode(seat.task, library, policy.config, policy.tools))
            seated.append(seat)
        except DataError as reason:
            unplayed[seat.task.item.task_id] = _unplayed(seat.task, policy.config, str(reason), run)
    played = iter(run_many(policy.players(seated), episodes, policy_name=run.agent, seed=run.seed))
    return [unplayed.get(seat.task.item.task_id) or next(played) for seat in seats]


def read_journal(path: Path) -> list[Trajectory]:
    """Read the episodes of a run directory.

    Raises:
        DataError: A line is damaged.
    """
    return list(read_trajectories(path / JOURNAL)) if (path / JOURNAL).exists() else []


def _seed(run_seed: int, task_number: int) -> int:
    return int(np.random.SeedSequence([run_seed, task_number]).generate_state(1)[0])


def _unplayed(task: Task, config: EnvConfig, reason: str, run: EvalRun) -> Trajectory:
    item = task.item
    return Trajectory(
        task_id=item.task_id,
        video_handle=item.video.handle,
        question=item.question,
        options=item.options,
        prompt_text="",
        perception=config.perception,
        turns=(),
        remaining=Remaining(config.budget.max_calls, config.budget.max_frames),
        stop=None,
        invalid=reason,
        policy=run.agent,
        seed=run.seed,
        family=item.family,
        split=item.split,
    )
