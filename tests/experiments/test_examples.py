"""The examples run, at toy size: they train, and they are measured on videos that they never saw."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from experiments.examples.held_out import HeldOutWorld, measure, random_choice, training_env
from vt_env.envs.numeric_features import NumericConfig
from vt_env.testing import FakeLibrary, fake_tasks
from vt_env.world.tasks import world_tasks

pytestmark = pytest.mark.slow

TOY = HeldOutWorld(videos=2, test_videos=3, minutes=(2, 3))


def run_ppo(out: Path) -> None:
    pytest.importorskip("torch")
    from experiments.examples.ppo import PPORun, main

    main(PPORun(TOY, steps=256, envs=4, horizon=16, out=out))


def run_sb3(out: Path) -> None:
    pytest.importorskip("sb3_contrib")
    from experiments.examples.sb3_maskable_ppo import SB3Run, main

    main(SB3Run(TOY, steps=256, envs=8, out=out))


@pytest.mark.parametrize(("name", "run"), [("ppo", run_ppo), ("sb3-maskable-ppo", run_sb3)])
def test_an_example_trains_and_is_measured_beside_a_random_policy(
    name: str, run: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run(tmp_path / "result.json")
    result = json.loads((tmp_path / "result.json").read_text())
    assert set(result) == {name, "random"}
    for score in result.values():
        low, high = score["ci95"]
        assert low <= score["accuracy"] <= high and (score["n"], score["videos"]) == (36, 3)
    assert f"\n{name}: " in capsys.readouterr().out


@pytest.mark.parametrize("actions", ["discrete", "multi_discrete"])
def test_the_checker_of_stable_baselines3_has_nothing_to_say(actions: Any):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    env = gym.make(
        "vt_env/LongVideoQANumeric-v0",
        tasks=fake_tasks(),
        library=FakeLibrary(),
        numeric=NumericConfig(actions=actions),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(env.unwrapped)


def test_what_is_trained_on_and_what_is_measured_on_share_no_video():
    run = HeldOutWorld(videos=9, test_videos=7)
    handles = [
        {task.item.video.handle for task in world_tasks(split, config=run.config(videos))}
        for split, videos in (("train", run.videos), ("test", run.test_videos))
    ]
    assert [len(it) for it in handles] == [9, 7] and not handles[0] & handles[1]


def test_files_and_memory_measure_the_same_policy_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A policy that searches the subtitles, looks at the first result and takes the likeliest option."""
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path))
    env: Any = training_env(TOY)().unwrapped
    options, names = env.feature_slices["options"], env.action_names

    def look_once(features: np.ndarray, mask: np.ndarray) -> int:
        kind = int(np.argmax(features[env.feature_slices["last_kind"]]))
        likely = int(np.argmax(features[options].reshape(-1, 5)[:, 3]))
        return names.index({0: "search_subtitles", 2: "look_at_0"}.get(kind, f"answer_{likely}"))

    scores = [measure(HeldOutWorld(test_videos=2, minutes=(2, 3), files=files), look_once) for files in (False, True)]
    assert scores[0] == scores[1] and scores[0].accuracy > 0.5


def test_a_random_policy_takes_only_what_makes_sense():
    choose = random_choice(0)
    mask = np.array([0, 1, 0, 1], dtype=np.int8)
    assert {choose(np.zeros(1, np.float32), mask) for _ in range(50)} == {1, 3}


def test_advantages_are_sums_of_surprises_that_end_with_the_episode():
    torch = pytest.importorskip("torch")
    from experiments.examples.ppo import Batch, PPORun, advantages

    def column(*values: float) -> Any:
        return torch.tensor(values, dtype=torch.float32)[:, None]

    none = torch.zeros(3, 1)
    batch = Batch(none, none, none, none, column(0, 1, 0), column(0, 1, 0), column(0.5, 0.6, 0.2))
    found = advantages(PPORun(gamma=1.0, gae_lambda=0.5), batch, torch.tensor([0.3])).squeeze().tolist()
    assert found == pytest.approx([0.1 + 0.5 * 0.4, 0.4, 0.1])


def test_a_masked_action_has_no_chance():
    torch = pytest.importorskip("torch")
    from experiments.examples.ppo import Agent, greedy

    agent = Agent(5, 4, 8)
    policy = agent.policy(torch.randn(100, 5), torch.tensor([True, False, True, False]).expand(100, 4))
    assert policy.probs[:, [1, 3]].max() == 0 and torch.isfinite(policy.entropy()).all()
    assert greedy(agent)(np.ones(5, np.float32), np.array([0, 0, 1, 0], np.int8)) == 2
