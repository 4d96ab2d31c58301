"""Many episodes at once: in rounds or in threads, with limits, and what happens where one of them goes wrong."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from support.small_world import FRAMES

from agents.base import Conversation, Reply, Unanswerable
from agents.rollout import EpisodeLimits, Start, play_in_rounds, play_in_threads
from vt_env.config import EnvConfig
from vt_env.envs.base import make_episode
from vt_env.episode.reply_record import ReplyRecord
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError, DataError
from vt_env.hashing import frames_hash
from vt_env.testing import FakeLibrary, FakeVideo, fake_task

LOOK = '<tool_call>{"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": "05:40"}}</tool_call>'
ANSWER = "<answer>B</answer>"
PAID = ReplyRecord(prompt_tokens=100, image_tokens=0, completion_tokens=10)


class Lengths:
    """Looks as often as it is told for each episode, then answers; remembers who was asked together."""

    def __init__(self, looks: Sequence[int], record: ReplyRecord | None = None) -> None:
        self.looks, self.record = looks, record
        self.rounds: list[list[int]] = []
        self.forgotten: list[int] = []

    def act(self, conversations: Sequence[Conversation]) -> list[Reply]:
        self.rounds.append([it.episode_idx for it in conversations])
        return [
            Reply(LOOK if len(it.replies) < self.looks[it.episode_idx] else ANSWER, self.record) for it in conversations
        ]

    def forget(self, episode_idx: int) -> None:
        self.forgotten.append(episode_idx)


def starts(count: int, config: EnvConfig = FRAMES, library: FakeLibrary | None = None) -> list[Start]:
    tasks = [fake_task(task_id=f"task-{n}") for n in range(count)]
    opened = library or FakeLibrary()
    return [
        Start(task.item, config, lambda task=task: make_episode(task, opened, config), seed=n)
        for n, task in enumerate(tasks)
    ]


def texts(played: dict[int, Trajectory]) -> dict[int, list[str]]:
    return {idx: [turn.text for turn in episode.turns] for idx, episode in sorted(played.items())}


def test_an_episode_that_ends_makes_room_for_the_next_at_once():
    policy = Lengths([0, 3, 0, 0])
    order = [idx for idx, _ in play_in_rounds(policy, starts(4), width=2)]
    assert order == [0, 2, 3, 1]
    assert policy.rounds == [[0, 1], [1, 2], [1, 3], [1]]
    assert policy.forgotten == order


def test_without_refilling_a_batch_is_played_to_its_end():
    policy = Lengths([0, 2, 0, 0])
    assert [idx for idx, _ in play_in_rounds(policy, starts(4), width=2, refill=False)] == [0, 1, 2, 3]
    assert policy.rounds == [[0, 1], [1], [1], [2, 3]]


@pytest.mark.parametrize("width", [1, 3, 8])
def test_threads_play_the_same_episodes_as_rounds(width: int):
    looks = [2, 0, 3, 1, 0, 2]
    in_rounds = dict(play_in_rounds(Lengths(looks), starts(6), width))
    in_threads = dict(play_in_threads(Lengths(looks), starts(6), width))
    assert {idx: it.without_times() for idx, it in in_threads.items()} == {
        idx: it.without_times() for idx, it in in_rounds.items()
    }


def test_threads_wait_for_their_own_reply_only():
    both_wait = threading.Barrier(2, timeout=10)

    class Meeting(Lengths):
        def act(self, conversations: Sequence[Conversation]) -> list[Reply]:
            # Passes only if two episodes are asked for at the same time.
            both_wait.wait()
            return super().act(conversations)

    assert len(dict(play_in_threads(Meeting([1, 1, 1, 1]), starts(4), width=2))) == 4


def test_a_failure_in_one_thread_is_raised_after_what_had_ended():
    class Breaking(Lengths):
        def act(self, conversations: Sequence[Conversation]) -> list[Reply]:
            if conversations[0].episode_idx == 3:
                raise ConfigError("the server is gone")
            return super().act(conversations)

    policy = Breaking([1] * 9)
    seen: list[int] = []
    with pytest.raises(ConfigError, match="the server is gone"):
        for idx, _ in play_in_threads(policy, starts(9), width=1):
            seen.append(idx)
    assert seen == [0, 1, 2]
    assert {idx for asked in policy.rounds for idx in asked} == {0, 1, 2}, "no other episode is begun"


def test_an_episode_in_which_the_policy_cannot_act_is_invalid_and_the_others_go_on():
    class Refused(Lengths):
        def act(self, conversations: Sequence[Conversation]) -> list[Reply]:
            if conversations[0].episode_idx == 1:
                raise Unanswerable("the server rejects the request: too many images")
            return super().act(conversations)

    played = dict(play_in_threads(Refused([1, 1, 1]), starts(3), width=2))
    assert [played[idx].correct for idx in range(3)] == [True, None, True]
    assert played[1].invalid == "the server rejects the request: too many images"


@pytest.mark.parametrize("play", [play_in_rounds, play_in_threads])
def test_an_episode_is_broken_off_at_its_limit_of_tokens(play: Callable[..., object]):
    limits = EpisodeLimits(tokens=250)
    played = dict(play(Lengths([9, 0], PAID), starts(2), 2, limits=limits))
    assert (played[0].limit, played[0].stop, len(played[0].turns)) == ("tokens", None, 3)
    assert (played[1].limit, played[1].correct) == (None, True)
    assert played[0].calls == 3


def test_an_episode_is_broken_off_at_its_limit_of_seconds():
    (episode,) = dict(play_in_rounds(Lengths([9]), starts(1), 1, limits=EpisodeLimits(seconds=0.0))).values()
    assert (episode.limit, len(episode.turns)) == ("seconds", 1)


def test_every_turn_holds_the_hash_of_its_frames_and_what_is_known_of_its_reply():
    config = replace(FRAMES, budget=replace(FRAMES.budget, global_frames=4))
    (episode,) = dict(play_in_rounds(Lengths([1], PAID), starts(1, config), 1)).values()
    video = FakeVideo()
    assert episode.prompt_frames_hash == frames_hash(video.frames_at([it.time_s for it in episode.prompt_frames]))
    look, answer = episode.turns
    assert look.frames_hash == frames_hash(video.frames_at([it.time_s for it in look.frames]))
    assert answer.frames_hash == ""
    assert look.reply is not None and look.reply.latency_s is not None and look.reply.without_times() == PAID
    assert episode.wall_s is not None and episode.wall_s >= episode.latency_s > 0


@pytest.mark.parametrize("play", [play_in_rounds, play_in_threads])
def test_a_video_that_cannot_be_opened_or_read_spoils_its_own_episode_only(play: Callable[..., object]):
    def lost():
        raise DataError("elsewhere.mp4: no such file")

    whole, broken = starts(2), starts(1, library=FakeLibrary((FakeVideo(broken_from_s=300.0),)))
    played = dict(play(Lengths([1, 1, 1, 1]), [whole[0], replace(whole[1], build=lost), broken[0], whole[1]], 2))
    assert [played[idx].invalid is None for idx in range(4)] == [True, False, False, True]
    assert texts(played)[1] == [] and "nothing can be decoded" in played[2].invalid
