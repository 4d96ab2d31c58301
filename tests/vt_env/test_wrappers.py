"""Wrappers: what is recorded, counted and changed, and that Gymnasium's own wrappers work on these environments."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from support.small_media import SMALL_MEDIA

from vt_env.config import BudgetConfig
from vt_env.envs.curricula import BudgetCurriculum, TaskCurriculum
from vt_env.envs.wrappers import EpisodeStatistics, RecordTrajectories
from vt_env.episode.trajectory import Trajectory, read_trajectories
from vt_env.errors import ConfigError, DataError
from vt_env.testing import FakeLibrary, FakeVideo, fake_tasks
from vt_env.types import Answer, Item, StopReason, ToolCall

LOOK = ToolCall("frame_zoom", {"start_s": 320.0, "end_s": 340.0})
TIGHT, WIDE = BudgetConfig(max_calls=1, max_frames=8), BudgetConfig(max_calls=4, max_frames=8)


def make(env_id: str = "vt_env/LongVideoQA-v0", **changes: Any) -> gym.Env[Any, Any]:
    fakes = {"tasks": fake_tasks(), "library": FakeLibrary(), "media": SMALL_MEDIA}
    return gym.make(env_id, **{**fakes, **changes})


def read(path: Path) -> list[Trajectory]:
    return list(read_trajectories(path)) if path.exists() else []


def test_every_episode_is_recorded_when_it_ends_or_is_broken_off(tmp_path: Path):
    path = tmp_path / "runs" / "episodes.jsonl"
    env = RecordTrajectories(make(), path, policy="hand", seed=3)
    env.reset(seed=0)
    env.step(LOOK)
    assert read(path) == []
    env.step(Answer("47"))
    (first,) = read(path)
    assert (first.stop, first.reward, first.policy, first.seed) == (StopReason.ANSWERED, 1.0, "hand", 3)
    assert [turn.call.name if turn.call else None for turn in first.turns] == ["frame_zoom", None]
    env.reset()
    env.reset()
    env.step(LOOK)
    env.close()
    env.close()
    assert [(it.stop, len(it.turns)) for it in read(path)] == [(StopReason.ANSWERED, 2), (None, 1)]


def test_what_a_language_model_wrote_is_recorded_unchanged(tmp_path: Path):
    path = tmp_path / "episodes.jsonl"
    env = RecordTrajectories(make("vt_env/LongVideoQAText-v0"), path)
    env.reset(seed=0)
    texts = ["hmm", "so <retrieve>320,340</retrieve>", " <answer> B </answer>"]
    for text in texts:
        env.step(text)
    assert [turn.text for turn in read(path)[0].turns] == texts


def test_an_episode_whose_video_fails_is_recorded_as_invalid(tmp_path: Path):
    path = tmp_path / "episodes.jsonl"
    env = RecordTrajectories(make(library=FakeLibrary((FakeVideo(broken_from_s=0),))), path)
    env.reset(seed=0)
    with pytest.raises(DataError):
        env.step(LOOK)
    env.close()
    (record,) = read(path)
    assert record.invalid is not None and record.stop is None


def test_statistics_count_what_an_episode_spent():
    env = EpisodeStatistics(make())
    env.reset(seed=0)
    for action in (LOOK, ToolCall("frame_zoom", {"start_s": 330.0, "end_s": 350.0}), "?"):
        assert "statistics" not in env.step(action)[4]
    statistics = env.step(Answer("47"))[4]["statistics"]
    calls = statistics.pop("calls_by_tool")
    assert calls.pop("frame_zoom") == 2 and set(calls.values()) == {0}
    assert statistics.pop("image_tokens") == 4
    assert statistics == {"calls": 3, "failed_calls": 1, "frames": 4, "viewed_s": 30.0, "viewed_share": 30 / 600}


def test_a_budget_shrinks_once_it_is_mastered_and_stays_at_the_last():
    env = BudgetCurriculum(make(budget=WIDE), [WIDE, TIGHT], promote_at=0.5, window=4)
    stages, budgets = [], []
    for number in range(14):
        observation, info = env.reset()
        stages.append(info["budget_stage"])
        budgets.append(int(observation["remaining"]["calls"]))
        env.step(Answer("47" if number % 2 or number > 6 else "12"))
    assert stages == [0] * 4 + [1] * 10 and budgets == [4] * 4 + [1] * 10


def test_a_budget_that_is_not_mastered_stays():
    env = BudgetCurriculum(make(budget=WIDE), [WIDE, TIGHT], promote_at=0.75, window=4)
    for number in range(12):
        env.reset()
        env.step(Answer("47" if number % 2 else "12"))
    assert env.stage == 0


def test_tasks_of_the_next_kind_come_once_those_of_the_first_are_mastered():
    def first(item: Item) -> bool:
        return item.task_id in ("fake/0", "fake/1")

    env = TaskCurriculum(make(tasks=fake_tasks(9)), [first, lambda item: not first(item)], promote_at=1.0, window=4)
    asked: list[tuple[int, str]] = []
    for number in range(20):
        _, info = env.reset(seed=3 if number == 0 else None)
        asked.append((info["task_stage"], info["task_id"]))
        assert env.step(Answer("47"))[4]["task_stage"] == info["task_stage"]
    assert [stage for stage, _ in asked] == [0] * 4 + [1] * 16
    assert {task_id for stage, task_id in asked if stage == 0} == {"fake/0", "fake/1"}
    later = {task_id for stage, task_id in asked if stage}
    assert not later & {"fake/0", "fake/1"} and len(later) > 3
    again = [TaskCurriculum(make(tasks=fake_tasks(9)), [first]).reset(seed=3)[1]["task_id"] for _ in range(2)]
    assert again == [asked[0][1]] * 2
    assert env.reset(options={"task_id": "fake/0"})[1]["task_id"] == "fake/0"


def test_a_budget_for_one_episode_must_fit_the_spaces():
    env = make(budget=TIGHT)
    with pytest.raises(ConfigError, match=r"budget.max_calls=4: need 1 or less"):
        env.reset(options={"budget": WIDE})
    wide = make(budget=WIDE)
    assert wide.reset(options={"budget": TIGHT})[0]["remaining"]["calls"] == 1
    assert wide.reset()[0]["remaining"]["calls"] == 4


def test_wrong_arguments_are_refused():
    for wrong in ({"budgets": []}, {"budgets": [TIGHT], "window": 0}, {"budgets": [TIGHT], "promote_at": 0.0}):
        with pytest.raises(ConfigError, match="need a stage or more"):
            BudgetCurriculum(make(), **wrong)
    with pytest.raises(ConfigError, match=r"kinds\[1\]: none of the 3 tasks is of it"):
        TaskCurriculum(make(), [lambda item: True, lambda item: item.family == "absence"])
    for wrapper in (EpisodeStatistics, lambda env: RecordTrajectories(env, "x")):
        with pytest.raises(ConfigError, match="need an environment of vt_env"):
            wrapper(gym.make("CartPole-v1"))


def test_wrappers_stack_with_gymnasiums_own_and_keep_their_spec(tmp_path: Path):
    path = tmp_path / "episodes.jsonl"
    env = gym.wrappers.RecordEpisodeStatistics(EpisodeStatistics(RecordTrajectories(make(), path)))
    env.reset(seed=0)
    *_, info = env.step(Answer("47"))
    assert info["episode"]["r"] == 1.0 and info["statistics"]["calls"] == 0 and len(read(path)) == 1
    assert env.spec is not None and [it.name for it in env.spec.additional_wrappers][:2] == [
        "RecordTrajectories", "EpisodeStatistics",
    ]  # fmt: skip


@pytest.mark.parametrize("env_id", ["vt_env/LongVideoQA-v0", "vt_env/LongVideoQAText-v0"])
def test_gymnasium_films_the_storyboard(env_id: str, tmp_path: Path):
    env = gym.wrappers.RecordVideo(make(env_id, render_mode="rgb_array"), str(tmp_path), disable_logger=True)
    env.reset(seed=0)
    env.step('<tool_call>{"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": "05:40"}}</tool_call>')
    env.step("<answer>47</answer>")
    env.close()
    (film,) = tmp_path.glob("*.mp4")
    import av

    with av.open(str(film)) as container:
        shapes = {frame.to_ndarray(format="rgb24").shape for frame in container.decode(video=0)}
    assert shapes == {(720, 960, 3)}


def test_what_is_filmed_changes_with_every_action():
    env = make(render_mode="rgb_array")
    env.reset(seed=0)
    pictures = [env.render()]
    for action in (LOOK, Answer("47")):
        env.step(action)
        pictures.append(env.render())
    assert all(isinstance(it, np.ndarray) and it.dtype == np.uint8 for it in pictures)
    assert not np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[1], pictures[2])


def test_an_episode_that_is_cut_off_counts_as_wrong():
    env = TaskCurriculum(make(max_episode_steps=1), [lambda item: True] * 2, promote_at=1.0, window=1)
    env.reset(seed=0)
    assert env.step(LOOK)[3] and env.stage == 0


def test_a_budget_that_does_not_fit_is_refused_before_it_is_played():
    with pytest.raises(ConfigError, match=r"budget.max_calls=4: need 1 or less"):
        BudgetCurriculum(make(budget=TIGHT), [TIGHT, WIDE])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_policy_that_has_diverged_is_recorded_and_drawn(tmp_path: Path, value: float):
    path = tmp_path / "episodes.jsonl"
    env = EpisodeStatistics(RecordTrajectories(make(render_mode="ansi"), path))
    env.reset(seed=0)
    *_, info = env.step((3, {"start_fraction": np.array(value), "end_fraction": np.array(0.5)}))
    assert info["error"] == "malformed" and "frame_zoom" in str(env.render())
    env.step(Answer("47"))
    (trajectory,) = read(path)
    assert trajectory.correct and trajectory.turns[0].error == "malformed"
