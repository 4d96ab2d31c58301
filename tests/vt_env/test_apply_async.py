"""Looks of a group of rollouts decode side by side, and each gets what it would have got alone."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier

import pytest
from support.videos import VideoSpec, indices, write_video

from vt_env.config import BudgetConfig, EnvConfig, MediaConfig
from vt_env.envs.base import make_episode
from vt_env.episode.episode import Episode
from vt_env.errors import DataError, EpisodeOver
from vt_env.media.library import VideoLibrary
from vt_env.tasks.task_set import Task
from vt_env.testing import FakeLibrary, FakeVideo, fake_task
from vt_env.types import Answer, FrameBatch, Item, Outcome, ToolCall, VideoRef

GROUP = 4
CONFIG = EnvConfig(budget=BudgetConfig(max_frames=8, frames_per_zoom=2))


@dataclass(frozen=True)
class MeetingVideo(FakeVideo):
    """Frames come only once as many looks as a group has are under way."""

    barrier: Barrier = field(default_factory=lambda: Barrier(GROUP))

    def frames_at(self, times_s: Sequence[float]) -> FrameBatch:
        self.barrier.wait(timeout=10)
        return super().frames_at(times_s)


async def zoom_all(episodes: Sequence[Episode], starts_s: Sequence[float]) -> list[Outcome]:
    calls = [ToolCall("frame_zoom", {"start_s": start_s, "end_s": start_s + 2}) for start_s in starts_s]
    return await asyncio.gather(*(it.apply_async(call) for it, call in zip(episodes, calls, strict=True)))


def started(task: Task, library: VideoLibrary | FakeLibrary, count: int) -> list[Episode]:
    episodes = [make_episode(task, library, CONFIG) for _ in range(count)]
    for episode in episodes:
        episode.start()
    return episodes


def test_looks_that_are_awaited_together_are_under_way_at_the_same_time() -> None:
    episodes = started(fake_task(), FakeLibrary((MeetingVideo(),)), GROUP)
    outcomes = asyncio.run(zoom_all(episodes, range(GROUP)))
    assert [outcome.error for outcome in outcomes] == [None] * GROUP


def test_a_group_sees_what_it_would_have_seen_one_after_another(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", VideoSpec(frames=300, b_frames=2))
    item = Item("v", "what?", ("a", "b"), VideoRef("v", str(tmp_path / "v.mp4")))
    library = VideoLibrary(MediaConfig(), tmp_path)
    starts_s = [0.0, 7.0, 7.0, 20.0, 26.0, 3.0]
    outcomes = asyncio.run(zoom_all(started(Task(item, None), library, 6), starts_s))
    for outcome, start_s in zip(outcomes, starts_s, strict=True):
        assert outcome.observation.frames is not None
        assert indices(outcome.observation.frames.data) == [start_s * 10, (start_s + 1) * 10]


def test_what_goes_wrong_in_one_look_reaches_the_one_who_awaits_it_and_nobody_else() -> None:
    library = FakeLibrary((FakeVideo(broken_from_s=100),))
    episodes = started(fake_task(), library, 2)

    async def play() -> list[Outcome | BaseException]:
        broken, well = (ToolCall("frame_zoom", {"start_s": at, "end_s": at + 2}) for at in (200, 20))
        looks = (episodes[0].apply_async(broken), episodes[1].apply_async(well))
        return await asyncio.gather(*looks, return_exceptions=True)

    failed, outcome = asyncio.run(play())
    assert isinstance(failed, DataError) and episodes[0].invalid
    assert isinstance(outcome, Outcome) and outcome.error is None and not episodes[1].invalid


def test_an_episode_ends_as_without_await() -> None:
    (episode,) = started(fake_task(answer_idx=1), FakeLibrary(), 1)
    assert asyncio.run(episode.apply_async(Answer("B"))).reward == 1.0
    with pytest.raises(EpisodeOver):
        asyncio.run(episode.apply_async(Answer("B")))
