"""Questions answered at once with the key: what a policy without tools is trained on.

    vt-env key --tasks world/all --frames 8 --out runs/uniform-data

The counterpart of `vt-env synth` for `uniform` and `blind`: the same questions, the same trainer (`vt-env sft --tools
none`), and nothing to explore. Whether frames spread evenly are enough can then be told from what was not learned.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.rollout import run_episode
from experiments.library_config import LibraryConfig
from experiments.runs import open_run
from vt_env.actions import render_action
from vt_env.benchmarks.guard import refuse_training
from vt_env.config import BudgetConfig, EnvConfig
from vt_env.env import make_episode
from vt_env.errors import ConfigError
from vt_env.media.video import VideoLibrary
from vt_env.tasks import Task, load_tasks
from vt_env.trajectory import Trajectory, write_trajectories
from vt_env.types import Answer, Observation

TRAJECTORIES_FILE = "trajectories.jsonl"


@dataclass(frozen=True)
class KeyRun(LibraryConfig):
    """Which questions are answered, and what stands beside them."""

    out: Path = Path("runs/key")
    """Run directory; the trajectories are its `trajectories.jsonl`."""
    tasks: str = "world"
    """Name, folder or JSONL file of tasks."""
    split: str = "train"
    """Split of the tasks. What is trained on must not be evaluated on."""
    limit: int | None = None
    """Take only the first so many tasks."""
    frames: int = 8
    """Frames spread over the video and shown with the question; 0 for the question alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frames < 0 or (self.limit is not None and self.limit < 1):
            raise ConfigError(f"frames={self.frames}, limit={self.limit}: need 0 or more, and 1 or more")


def main(config: KeyRun) -> Path:
    """Answer all questions and write the trajectories.

    Returns:
        The run directory.

    Raises:
        ConfigError: There is no such task, no answer key, or the tasks are a benchmark's.
        DataError: A video cannot be read.
    """
    tasks = load_tasks(config.tasks, config.split)
    refuse_training(tasks)
    chosen = list(tasks if config.limit is None else tasks.head(config.limit))
    with open_run(config.out, "key", config) as run:
        answered = list(answer_all(chosen, config.open_library(), config.frames))
        write_trajectories(config.out / TRAJECTORIES_FILE, answered)
        run.metric({"event": "written", "trajectories": len(answered)})
    print(f"{len(answered)} answers in {config.out / TRAJECTORIES_FILE}")
    return config.out


def answer_all(tasks: Sequence[Task], library: VideoLibrary, frames: int) -> Iterator[Trajectory]:
    """Answer each question at once, with so many frames of the video beside it.

    Raises:
        ConfigError: A task has no answer key.
    """
    budget = BudgetConfig(max_calls=1, max_frames=frames + 1, frames_per_zoom=1, global_frames=frames)
    for task in tasks:
        if task.gold is None:
            raise ConfigError(f"{task.item.task_id}: its answer is not known; take tasks with answers")
        agent = KnowsTheAnswer(task.item.options[task.gold.answer_idx])
        yield run_episode(agent, make_episode(task, library, EnvConfig("frames", budget), ()), policy_name="key")


class KnowsTheAnswer:
    """Gives one answer and does nothing else.

    Args:
        option: The answer.
    """

    def __init__(self, option: str) -> None:
        self._option = option

    def reset(self, observation: Observation) -> None:
        """Nothing depends on the question."""

    def act(self, observation: Observation) -> str:
        """Answer."""
        return render_action(Answer(self._option))
