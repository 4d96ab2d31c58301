"""All environments, both perceptions: Gymnasium's rules, this package's rules, the same bits everywhere."""

import inspect
import os
import pickle
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from support.small_media import SMALL_MEDIA

import vt_env
from vt_env.envs.tool_env import LongVideoQAEnv
from vt_env.envs.wrappers import reset_groups
from vt_env.errors import ConfigError
from vt_env.testing import FakeLibrary, FakeVideo, conformance, fake_tasks, library_conformance
from vt_env.testing.conformance import digest_of, rollout_digest
from vt_env.types import FrameBatch

IDS = ("vt_env/LongVideoQA-v0", "vt_env/LongVideoQAText-v0", "vt_env/LongVideoQANumeric-v0")
KINDS = [(env_id, perception) for env_id in IDS for perception in ("frames", "captions")]
all_kinds = pytest.mark.parametrize(("env_id", "perception"), KINDS)


def make(env_id: str, perception: str = "frames", **changes: Any) -> gym.Env[Any, Any]:
    fakes = {"tasks": fake_tasks(20), "library": FakeLibrary(), "media": SMALL_MEDIA}
    return gym.make(env_id, perception=perception, **{**fakes, **changes})


def digests() -> str:
    return "\n".join(rollout_digest(make(env_id, perception), 7) for env_id, perception in KINDS)


def vector(
    env_id: str, kind: str, count: int, mode: AutoresetMode = AutoresetMode.NEXT_STEP
) -> VectorEnv[Any, Any, Any]:
    factories = [lambda: make(env_id)] * count
    if kind == "sync":
        return SyncVectorEnv(factories, autoreset_mode=mode)
    shared = "Numeric" in env_id
    return AsyncVectorEnv(factories, shared_memory=shared, context="forkserver", autoreset_mode=mode)


@all_kinds
def test_every_environment_keeps_the_rules(env_id: str, perception: str):
    conformance(lambda: make(env_id, perception))


def test_the_ids_that_the_package_registers_are_these():
    registered = {name for name in gym.registry if name.startswith("vt_env/")}
    assert vt_env.__name__ == "vt_env" and registered == set(IDS)


@pytest.mark.parametrize("env_id", IDS)
def test_every_environment_is_documented_in_the_form_of_gymnasiums_own(env_id: str):
    text = inspect.getdoc(type(make(env_id).unwrapped)) or ""
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        "Description", "Action Space", "Observation Space", "Rewards", "Starting State", "Episode End", "Information",
        "Arguments", "References", "Version History",
    ]  # fmt: skip
    assert all(section.strip() for section in re.split(r"^## .*$", text, flags=re.MULTILINE))


def test_the_documented_arguments_are_those_that_there_are():
    text = inspect.getdoc(LongVideoQAEnv) or ""
    documented = re.findall(
        r"^\| `(\w+)` \|", text.partition("## Arguments")[2].partition("## References")[0], re.MULTILINE
    )
    assert documented == list(inspect.signature(LongVideoQAEnv).parameters)


class Talkative(gym.Wrapper[Any, Any, Any, Any]):
    def step(self, action: Any) -> Any:
        *result, info = super().step(action)
        return *result, info | {"correct": True}


class Hashing(gym.ObservationWrapper[Any, Any, Any]):
    def observation(self, observation: Any) -> Any:
        return observation + np.float32(id(self) % 1000)


class Forgiving(gym.Wrapper[Any, Any, Any, Any]):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return super().reset(seed=seed)


@pytest.mark.parametrize("broken", [Talkative, Hashing, Forgiving])
def test_conformance_finds_what_breaks_a_rule(broken: type[gym.Wrapper[Any, Any, Any, Any]]):
    with pytest.raises(AssertionError):
        conformance(lambda: broken(make(IDS[2])))


@dataclass(frozen=True)
class Late(FakeVideo):
    def frames_at(self, times_s: Any) -> FrameBatch:
        frames = super().frames_at(times_s)
        return FrameBatch(frames.data, frames.pts_s + 1)


@dataclass(frozen=True)
class Missized(FakeVideo):
    def picture_size_px(self, box: Any = None) -> tuple[int, int]:
        return (self.frame_px, self.frame_px + 1)


@dataclass(frozen=True)
class Boundless(FakeVideo):
    def frames_at(self, times_s: Any) -> FrameBatch:
        return super().frames_at([min(max(0, time_s), self.duration_s - 1) for time_s in times_s])


@dataclass(frozen=True)
class Lavish(FakeVideo):
    def search_clips(self, query: str, top_k: int) -> Any:
        return super().search_clips(query, top_k + 1)


def test_a_library_is_checked_and_what_breaks_a_rule_is_found():
    library_conformance(FakeLibrary(), FakeVideo().ref)
    for kind, message in (
        (Late, "got the later"),
        (Missized, "picture_size_px"),
        (Boundless, "is not refused"),
        (Lavish, "top_k=1"),
    ):
        with pytest.raises(AssertionError, match=message):
            library_conformance(FakeLibrary((kind(),)), FakeVideo().ref)


@pytest.mark.slow
def test_rollouts_are_the_same_bits_in_other_processes_whatever_their_hash_seed():
    here = Path(__file__).parent
    code = f"import sys; sys.path[:0] = {[str(here), str(here.parent)]!r}; import test_conformance; "
    code += "print(test_conformance.digests())"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONHASHSEED": seed}
        )
        for seed in ("0", "12345")
    ]
    expected = digests()
    assert len(set(expected.split())) == len(KINDS)
    assert [process.communicate()[0].strip() for process in processes] == [expected, expected]


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_vectors_of_any_kind_and_size_play_as_single_environments_do(env_id: str, mode: AutoresetMode):
    seeds, steps = [5, 6, 7], 14
    singles = [make(env_id) for _ in seeds]
    played: dict[str, str] = {}
    for kind in ("sync", "async"):
        envs = vector(env_id, kind, len(seeds), mode)
        try:
            envs.action_space.seed(3)
            results = [envs.reset(seed=seeds)[0]]
            for _ in range(steps):
                observations, rewards, terminated, truncated, _ = envs.step(envs.action_space.sample())
                results += [observations, rewards, terminated, truncated]
                done = terminated | truncated
                if mode is AutoresetMode.DISABLED and done.any():
                    results.append(envs.reset(options={"reset_mask": done})[0])
            played[kind] = digest_of(results)
            first = [env.reset(seed=seed)[0] for env, seed in zip(singles, seeds, strict=True)]
            opening = results[0] if isinstance(results[0], np.ndarray) else np.array(results[0]["text"])
            expected = np.array([it if isinstance(it, np.ndarray) else it["text"] for it in first])
            assert np.array_equal(opening, expected)
        finally:
            envs.close()
    assert played["sync"] == played["async"]


def member(observations: Any, number: int) -> Any:
    """Take what one environment of a vector was given out of what all were."""
    if isinstance(observations, dict):
        return {key: member(it, number) for key, it in observations.items()}
    return observations[number]


def in_order(observation: Any) -> Any:
    """Sort keys, since a vector's spaces do."""
    if not isinstance(observation, dict):
        return observation
    return {key: in_order(observation[key]) for key in sorted(observation)}


def actions_of(env_id: str, seed: int, count: int) -> list[Any]:
    space = make(env_id).action_space
    space.seed(seed)
    return [space.sample() for _ in range(count)]


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize(("kind", "workers"), [("sync", 1), ("sync", 3), ("async", 1), ("async", 4)])
def test_what_a_member_of_a_vector_sees_does_not_depend_on_how_many_there_are(env_id: str, kind: str, workers: int):
    """Every observation, reward and end of two members, in vectors of any size, is that of an environment alone."""
    steps = 20
    streams = [actions_of(env_id, seed, steps) for seed in range(workers)]
    alone: list[list[str]] = []
    for seed, stream in list(enumerate(streams))[:2]:
        env = make(env_id)
        seen = [digest_of(in_order(env.reset(seed=seed)[0]))]
        for action in stream:
            observation, reward, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                observation, _ = env.reset()
            seen.append(digest_of((in_order(observation), float(reward), bool(terminated), bool(truncated))))
        alone.append(seen)
    envs = vector(env_id, kind, workers, AutoresetMode.SAME_STEP)
    try:
        observations, _ = envs.reset(seed=list(range(workers)))
        together = [[digest_of(in_order(member(observations, number)))] for number in range(len(alone))]
        for step in range(steps):
            actions = tuple(stream[step] for stream in streams)
            batch = np.array(actions) if "Numeric" in env_id else actions
            observations, rewards, terminated, truncated, _ = envs.step(batch)
            for number, seen in enumerate(together):
                ended = (float(rewards[number]), bool(terminated[number]), bool(truncated[number]))
                seen.append(digest_of((in_order(member(observations, number)), *ended)))
    finally:
        envs.close()
    assert together == alone


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_all_members_of_a_group_start_the_same_task_and_go_on_with_the_same_ones(kind: str):
    envs = vector(IDS[1], kind, 4, AutoresetMode.SAME_STEP)
    try:
        observations, infos = reset_groups(envs, ["fake/3", "fake/8"], seed=1)
        assert list(infos["task_id"]) == ["fake/3", "fake/3", "fake/8", "fake/8"] and len(observations["text"]) == 4
        later = [list(envs.step(("<answer>A</answer>",) * 4)[-1]["task_id"]) for _ in range(5)]
        assert all(ids[0] == ids[1] and ids[2] == ids[3] for ids in later)
        assert any(ids[0] != ids[2] for ids in later)
        with pytest.raises(ConfigError, match="3 for 4 environments"):
            reset_groups(envs, ["fake/1", "fake/2", "fake/3"])
    finally:
        envs.close()


@all_kinds
def test_a_pickled_environment_keeps_its_arguments(env_id: str, perception: str):
    env = make(env_id, perception, budget="paper")
    copied = pickle.loads(pickle.dumps(env))
    assert copied.unwrapped.config == env.unwrapped.config
    assert copied.observation_space == env.observation_space and copied.action_space == env.action_space
