"""What the examples share: tasks in memory, the environment, and how well a policy does on videos it never saw."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from experiments.analysis.metrics import Cluster, bootstrap_ci95, mean
from experiments.runs.run_dir import write_json
from vt_env.tasks.task_set import TaskSet
from vt_env.world.in_memory import in_memory
from vt_env.world.script import WorldConfig
from vt_env.world.tasks import world_tasks

Choose = Callable[[NDArray[np.float32], NDArray[np.int8]], int]
"""From features float32[D] and the mask int8[A] of actions that make sense to an action."""


@dataclass(frozen=True)
class WorldRun:
    """Which part of the world is learned on and which is measured on."""

    videos: int = 400
    """Videos trained on, of 12 questions each; with 48 questions in all they are learned by heart."""
    test_videos: int = 60
    """Videos measured on, of the split `test`."""
    minutes: tuple[int, int] = (10, 30)
    """Shortest and longest video."""
    perception: str = "captions"
    """What looking returns."""
    files: bool = False
    """Measure on video files instead of in memory; they are written and stored on first use."""

    def config(self, videos: int) -> WorldConfig:
        """Say how that many videos are made."""
        shortest, longest = self.minutes
        return replace(WorldConfig(), videos=videos, duration_min_s=60 * shortest, duration_max_s=60 * longest)


@dataclass(frozen=True)
class Score:
    """Accuracy on held-out videos."""

    accuracy: float
    ci95: tuple[float, float]
    """Cluster bootstrap over videos."""
    n: int
    videos: int

    def __str__(self) -> str:
        """One line: `0.71 [0.67, 0.75] (n=720, 60 videos)`."""
        low, high = self.ci95
        return f"{self.accuracy:.3f} [{low:.3f}, {high:.3f}] (n={self.n}, {self.videos} videos)"


def training_env(run: WorldRun) -> Callable[[], gym.Env[Any, Any]]:
    """Return what makes environments about the videos trained on; all of them share one library."""
    tasks, library = in_memory(world_tasks("train", config=run.config(run.videos)))
    return lambda: _make(tasks, run.perception, library=library)


def measure(run: WorldRun, choose: Choose, seed: int = 0) -> Score:
    """Play every question about the held-out videos once.

    Args:
        run: The world.
        choose: The policy.
        seed: Seed of the bootstrap.
    """
    tasks = world_tasks("test", config=run.config(run.test_videos))
    choices: dict[str, Any] = {}
    if not run.files:
        tasks, choices["library"] = in_memory(tasks)
    env = _make(tasks, run.perception, **choices)
    right: defaultdict[str, list[bool]] = defaultdict(list)
    for task in tasks:
        features, info = env.reset(options={"task_id": task.item.task_id})
        while "correct" not in info:
            features, *_, info = env.step(choose(features, info["action_mask"]))
        right[info["video"]].append(bool(info["correct"]))
    clusters = {video: Cluster(sum(values), len(values)) for video, values in right.items()}
    return Score(mean(clusters), bootstrap_ci95(clusters, np.random.default_rng(seed)), len(tasks), len(right))


def random_choice(seed: int) -> Choose:
    """Return the policy that takes any action that makes sense, each with the same chance."""
    rng = np.random.default_rng(seed)
    return lambda _, mask: int(rng.choice(np.flatnonzero(mask)))


def report(name: str, run: WorldRun, choose: Choose, out: Path | None) -> None:
    """Measure a trained policy and a random one; print both and, with `out`, write them."""
    print(f"trained in {time.process_time():.0f} s of CPU", flush=True)
    scores = {name: measure(run, choose), "random": measure(run, random_choice(0))}
    for policy, score in scores.items():
        print(f"{policy}: {score}", flush=True)
    if out is not None:
        write_json(out, {policy: vars(score) for policy, score in scores.items()})


def _make(tasks: TaskSet, perception: str, **choices: Any) -> gym.Env[Any, Any]:
    return gym.make("vt_env/LongVideoQANumeric-v0", tasks=tasks, perception=perception, **choices)
