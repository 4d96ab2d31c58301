"""Conformance checks for wrapped or subclassed environments; one call, for any test runner.

    from vt_env.testing import conformance

    def test_my_environment_keeps_the_rules():
        conformance(lambda: gymnasium.make("vt_env/LongVideoQA-v0", tasks="my/tasks.jsonl", tools=["default", mine]))

`library_conformance` does the same for what opens videos. A failure is an `AssertionError` that says what was expected
and what was found.
"""

import pickle
import warnings
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import check_env

from vt_env.errors import ConfigError, DataError, EpisodeOver
from vt_env.protocols import Library, Video
from vt_env.types import Box, Interval, VideoRef

ALLOWED_WARNINGS: tuple[str, ...] = ()
"""Texts of warnings of Gymnasium's checker that an environment may cause: none."""

_STEPS = 30
_UNTIL_THE_END = 1000
EnvFactory = Callable[[], gym.Env[Any, Any]]


def conformance(env_factory: EnvFactory) -> None:
    """Check an environment: Gymnasium's own checks, and the rules that this package adds.

    * Gymnasium's `check_env` finds nothing, warnings included, outside `ALLOWED_WARNINGS`.
    * A seed decides everything: two environments give the same rollout, bit for bit, and so does a pickled one.
    * Observations lie in the space until the end; before it the reward is 0 and nothing tells whether an answer is
      right; at the end `stop_reason` and `reward_terms` are there.
    * `reset(options={"task_id": ...})` chooses the task; an unknown one is a `ConfigError`.
    * A step before the first reset is a `ResetNeeded`, one after the end an `EpisodeOver`.

    Args:
        env_factory: Makes a fresh environment each time.

    Raises:
        AssertionError: A rule is broken.
    """
    _check_gymnasium(env_factory())
    _check_determinism(env_factory)
    _check_episode(env_factory())
    _check_reset(env_factory())
    _check_misuse(env_factory())


def library_conformance(library: Library, ref: VideoRef) -> None:
    """Check what opens videos for environments, on one of its videos: the protocols of `vt_env.protocols`.

    * The video has a length, its captions and the text on its screen are in time order, and opening it again gives the
      same.
    * Frames are uint8[N, H, W, 3] in the order of the times asked for, no later than asked for; a crop is one picture
      uint8[1, H, W, 3]. A time outside the video is a `DataError`.
    * A search returns `top_k` results at most, the best first, inside the video; subtitles come in time order.
    * A video has no source of clip search that its library does not name; without one, a search finds nothing.
    * A pickled library opens the same video.

    Args:
        library: The library.
        ref: A video of it, of two seconds or more.

    Raises:
        AssertionError: A rule is broken.
        DataError: The video cannot be opened.
    """
    video = library.open(ref)
    assert video.duration_s > 0 and video.ref == ref, f"{video.ref} is {video.duration_s} s long, asked for {ref}"
    for other in (library.open(ref), pickle.loads(pickle.dumps(library)).open(ref)):
        assert other.duration_s == video.duration_s, "opened again, the video has another length"
        assert digest_of(other.frames_at([0.0]).data) == digest_of(video.frames_at([0.0]).data), "other pixels"
    _check_frames(video)
    _check_search(video)
    own, known = list(video.search_sources), list(library.search_sources(ref))
    assert set(own) <= set(known), f"search_sources: {own} of the video, {known} of the library"


def rollout_digest(env: gym.Env[Any, Any], seed: int) -> str:
    """Play random actions, resetting at ends, and return a digest of every bit of what the environment gave back.

    Args:
        env: The environment.
        seed: Decides the tasks and the actions.
    """
    digest = blake2b(digest_size=16)
    env.action_space.seed(seed)
    _digest(digest, env.reset(seed=seed))
    for _ in range(_STEPS):
        result = env.step(env.action_space.sample())
        _digest(digest, result)
        if result[2] or result[3]:
            _digest(digest, env.reset())
    return digest.hexdigest()


def digest_of(value: Any) -> str:
    """Return a digest of every bit of what environments give back: arrays, containers of them, plain values."""
    digest = blake2b(digest_size=16)
    _digest(digest, value)
    return digest.hexdigest()


_CROPPED = Box(0.25, 0.25, 0.75, 0.75)


def _check_frames(video: Video) -> None:
    # Out of order, and one of them twice.
    times_s = [video.duration_s * share for share in (0.75, 0.0, 0.5, 0.75)]
    frames, crop = video.frames_at(times_s), video.crop(times_s[0], _CROPPED)
    assert len(frames) == 4 and len(crop) == 1, f"4 frames are {len(frames)}, a crop is {len(crop)}"
    first = video.frames_at([0.0]).data
    assert first.shape[1:] == frames.data.shape[1:], f"frames are {first.shape[1:]} and {frames.data.shape[1:]}"
    for made, box in ((frames, None), (crop, _CROPPED)):
        size_px, real_px = video.picture_size_px(box), made.data.shape[2:0:-1]
        assert tuple(size_px) == real_px, f"picture_size_px({box}) says {size_px}, pictures are {real_px}"
    late = [shown_s - time_s for shown_s, time_s in zip(frames.pts_s, times_s, strict=True)]
    assert max(late) < 1e-3, f"asked for {times_s} s, got the later {frames.pts_s.tolist()}"
    assert np.array_equal(frames.data[0], frames.data[3]), "one time gives two pictures"
    for outside_s in (-1.0, video.duration_s, video.duration_s + 60):
        for ask in (lambda: video.frames_at([outside_s]), lambda: video.crop(outside_s, Box(0, 0, 1, 1))):  # noqa: B023
            try:
                ask()
            except DataError:
                continue
            raise AssertionError(f"{outside_s} s of {video.duration_s} s is not refused")


def _check_search(video: Video) -> None:
    whole = Interval(0.0, video.duration_s)
    lines, captions = list(video.subtitles.within(whole)), list(video.captions or ())
    for name, track in (("subtitles", lines), ("captions", captions), ("screen text", list(video.screen_text or ()))):
        spans = [line.interval for line in track]
        assert spans == sorted(spans), f"{name} are not in time order"
    query = " ".join(line.text for line in [*lines[:1], *captions[:1]]) or "red"
    for top_k in (1, 3):
        clips, found = video.search_clips(query, top_k), video.subtitles.search(query, top_k)
        scores = [[hit.score for hit in clips], [score for _, score in found]]
        assert all(len(it) <= top_k and it == sorted(it, reverse=True) for it in scores), f"top_k={top_k}: {scores}"
        assert all(hit.interval.overlap_s(whole) == hit.interval.duration_s for hit in clips), f"outside: {clips}"
        assert video.search_sources or not clips, f"no source found {clips}"
    summary = [line.interval for line in video.subtitles.summary(query, 3)]
    assert len(summary) <= 3 and summary == sorted(summary), f"a summary of 3 lines: {summary}"


def _check_gymnasium(env: gym.Env[Any, Any]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env.unwrapped)
    texts = [str(it.message) for it in caught]
    unexpected = [text for text in texts if not any(allowed in text for allowed in ALLOWED_WARNINGS)]
    assert not unexpected, f"gymnasium's check_env warns: {unexpected}"


def _check_determinism(env_factory: EnvFactory) -> None:
    first = rollout_digest(env_factory(), 0)
    assert rollout_digest(env_factory(), 0) == first, "two environments with the same seed play differently"
    copied = pickle.loads(pickle.dumps(env_factory()))
    assert rollout_digest(copied, 0) == first, "a pickled environment plays differently"


def _check_episode(env: gym.Env[Any, Any]) -> None:
    env.action_space.seed(1)
    observation, info = env.reset(seed=1)
    for _ in range(_UNTIL_THE_END):
        assert env.observation_space.contains(observation), f"outside the observation space: {observation!r:.200}"
        leaked = {"correct", "reward_terms", "stop_reason"} & set(info)
        assert not leaked, f"info holds {sorted(leaked)} before the end"
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        if terminated or truncated:
            break
        assert reward == 0.0, f"reward {reward} before the end"
    else:
        raise AssertionError(f"no end within {_UNTIL_THE_END} steps")
    assert env.observation_space.contains(observation), f"outside the observation space: {observation!r:.200}"
    missing = {"reward_terms", "stop_reason"} - set(info)
    assert not missing, f"info lacks {sorted(missing)} at the end"
    try:
        env.step(env.action_space.sample())
    except EpisodeOver:
        return
    raise AssertionError("a step after the end is not refused")


def _check_reset(env: gym.Env[Any, Any]) -> None:
    for seed in range(3):
        task_id = env.reset(seed=seed)[1]["task_id"]
        chosen = env.reset(seed=seed + 1, options={"task_id": task_id})[1]["task_id"]
        assert chosen == task_id, f"asked for task {task_id!r}, got {chosen!r}"
    try:
        env.reset(options={"task_id": "no such task"})
    except ConfigError:
        return
    raise AssertionError("an unknown task id is not refused")


def _check_misuse(env: gym.Env[Any, Any]) -> None:
    try:
        env.unwrapped.step(env.action_space.sample())
    except gym.error.ResetNeeded:
        return
    raise AssertionError("a step before the first reset is not refused")


def _digest(digest: Any, value: Any) -> None:
    """Feed a value: arrays by type, shape and bytes, containers by their parts in order, the rest by `repr`."""
    if isinstance(value, np.ndarray):
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(value.tobytes())
    elif isinstance(value, dict):
        for key, part in value.items():
            digest.update(repr(key).encode())
            _digest(digest, part)
    elif isinstance(value, tuple | list):
        digest.update(f"{len(value)}".encode())
        for part in value:
            _digest(digest, part)
    else:
        digest.update(repr(value).encode())
