"""RLlib's PPO trains on the numeric environment; runs where RLlib is (`.ci/engines rllib`)."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ray.rllib", reason="RLlib has an environment of its own: .ci/engines rllib")


from experiments.examples.held_out import HeldOutWorld, training_env
from experiments.examples.rllib_ppo import MaskInObservation, RLlibRun, greedy, main, train

TOY = HeldOutWorld(videos=2, test_videos=3, minutes=(2, 3))


def test_the_observation_holds_the_mask_and_lies_in_its_space():
    env = MaskInObservation(training_env(TOY)())
    seen, info = env.reset(seed=0)
    assert env.observation_space.contains(seen)
    assert np.array_equal(seen["action_mask"], info["action_mask"]) and seen["action_mask"].sum() > 0


def test_the_example_trains_and_is_measured_beside_a_random_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main(RLlibRun(TOY, iterations=2, batch=256, minibatch=64, envs=4, out=tmp_path / "result.json"))
    result = json.loads((tmp_path / "result.json").read_text())
    assert set(result) == {"rllib-ppo", "random"}
    assert [(it["n"], it["videos"]) for it in result.values()] == [(36, 3)] * 2
    assert "512 steps: mean return 0." in capsys.readouterr().out


def test_neither_the_trained_policy_nor_its_samples_take_an_action_that_makes_no_sense():
    run = RLlibRun(TOY, iterations=1, batch=64, minibatch=64, envs=2)
    algorithm = train(run)
    try:
        env = training_env(TOY)()
        features, info = env.reset(seed=0)
        choose = greedy(algorithm)
        for _ in range(5):
            action = choose(features, info["action_mask"])
            assert info["action_mask"][action] == 1
            features, *_, info = env.step(action)
            if "stop_reason" in info:
                break
        for episode in algorithm.env_runner.sample(num_episodes=4):
            masks, actions = episode.get_observations()["action_mask"], episode.get_actions()
            assert all(mask[action] == 1 for mask, action in zip(masks[:-1], actions, strict=True))
    finally:
        algorithm.stop()
