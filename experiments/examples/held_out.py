"""Training environments and held-out evaluation, shared by the examples."""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from experiments.runs.run_dir import write_json
from vt_env.stats import Cluster, bootstrap_ci95, mean
from vt_env.tasks.task_set import TaskSet
from vt_env.world.in_memory import in_memory
from vt_env.world.script import WorldConfig
from vt_env.world.tasks import world_tasks

Choose = Callable[[NDArray[np.float32], NDArray[np.int8]], int]
"""Policy from features float32[D] and an action mask int8[A], 1 for each valid action, to an action."""


@dataclass(frozen=True)
class HeldOutWorld:
    """Training and test videos of the generated world."""

    videos: int = 400
    """Training videos, of 12 questions each; as few as 48 questions are memorised."""
    test_videos: int = 60
    """Held-out videos, of the split `test`."""
    minutes: tuple[int, int] = (10, 30)
    """Minimum and maximum duration of a video in minutes."""
    perception: str = "captions"
    """Observation of a look: `captions` or `frames`."""
    files: bool = False
    """Evaluate on video files instead of scripts in memory; files are written and stored on first use."""

    def config(self, videos: int) -> WorldConfig:
        """Return the configuration of a world of `videos` videos."""
        shortest, longest = self.minutes
        return replace(WorldConfig(), videos=videos, duration_min_s=60 * shortest, duration_max_s=60 * longest)


@dataclass(frozen=True)
class Score:
    """Accuracy on held-out videos."""

    accuracy: float
    ci95: tuple[float, float]
    """95 % confidence interval, by a cluster bootstrap over videos."""
    n: int
    """Number of questions."""
    videos: int
    """Number of videos."""

    def __str__(self) -> str:
        """Return one line such as `0.710 [0.670, 0.750] (n=720, 60 videos)`."""
        low, high = self.ci95
        return f"{self.accuracy:.3f} [{low:.3f}, {high:.3f}] (n={self.n}, {self.videos} videos)"


def training_env(run: HeldOutWorld) -> Callable[[], gym.Env[Any, Any]]:
    """Return a factory of environments on the training videos; all environments share one library."""
    tasks, library = in_memory(world_tasks("train", config=run.config(run.videos)))
    return lambda: _make(tasks, run.perception, library=library)


def measure(run: HeldOutWorld, choose: Choose, seed: int = 0) -> Score:
    """Evaluate a policy once on every question about the held-out videos.

    Args:
        run: Videos and perception.
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
        while "stop_reason" not in info:
            features, *_, info = env.step(choose(features, info["action_mask"]))
        right[info["video"]].append(bool(info["correct"]))
    clusters = {video: Cluster(sum(values), len(values)) for video, values in right.items()}
    return Score(mean(clusters), bootstrap_ci95(clusters, np.random.default_rng(seed)), len(tasks), len(right))


def random_choice(seed: int) -> Choose:
    """Return the policy that samples uniformly from the valid actions."""
    rng = np.random.default_rng(seed)
    return lambda _, mask: int(rng.choice(np.flatnonzero(mask)))


def report(name: str, run: HeldOutWorld, choose: Choose, out: Path | None) -> None:
    """Evaluate a trained policy and a random one; print both scores and write them to `out`."""
    print(f"trained in {time.process_time():.0f} s of CPU", flush=True)
    scores = {name: measure(run, choose), "random": measure(run, random_choice(0))}
    for policy, score in scores.items():
        print(f"{policy}: {score}", flush=True)
    if out is not None:
        write_json(out, {policy: vars(score) for policy, score in scores.items()})


def _make(tasks: TaskSet, perception: str, **choices: Any) -> gym.Env[Any, Any]:
    return gym.make("vt_env/LongVideoQANumeric-v0", tasks=tasks, perception=perception, **choices)
