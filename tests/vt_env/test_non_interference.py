"""Nothing a policy is shown before the end depends on the answer key: swap the key, replay, compare every byte.

Imports are checked elsewhere; they do not show where objects flow, and this does.
"""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from support.small_media import SMALL_MEDIA

from vt_env.config import EnvConfig, default_budget, paper_budget
from vt_env.envs.tool_env import LongVideoQAEnv
from vt_env.episode.episode import Episode
from vt_env.gold import Gold
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.testing import FakeLibrary, FakeVideo, fake_task
from vt_env.tools.builtin import DEFAULT_TOOLS
from vt_env.types import Action, Answer, Box, Interval, Malformed, Observation, TimedLine, ToolCall

TIMES = st.floats(-5, 610) | st.sampled_from(["05:20", "05:40", "10:01", "now"])
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "query": st.sampled_from(["red square", "delta", "47", ""]),
        "top_k": st.integers(0, 9),
        "start_s": TIMES,
        "end_s": TIMES,
        "time_s": TIMES,
        "box": st.lists(st.sampled_from([0.0, 0.3, 0.6, 1.0]), min_size=3, max_size=5),
    },
)
GOOD_CALLS = st.sampled_from(
    [
        ToolCall("clip_retrieval", {"query": "red square"}),
        ToolCall("subtitle_summary", {"query": "delta"}),
        ToolCall("frame_zoom", {"start_s": "05:20", "end_s": "05:40"}),
        ToolCall("caption_zoom", {"start_s": "05:20", "end_s": "05:40"}),
        ToolCall("spatial_zoom", {"time_s": "05:22", "box": [0, 0, 0.5, 0.5]}),
    ]
)
CALLS = st.builds(ToolCall, st.sampled_from([*DEFAULT_TOOLS, "look"]), ARGUMENTS)
ACTIONS = st.lists(GOOD_CALLS | CALLS | st.just(Malformed("?", "unreadable")), max_size=10)
GOLDS = st.one_of(
    st.none(),
    st.builds(
        Gold,
        st.integers(0, 3),
        st.sampled_from([(), (Interval(320, 346),), (Interval(0, 1), Interval(5, 600))]),
        st.sampled_from([(), (Box(0, 0, 0.5, 0.5),)]),
    ),
)
CONFIGS = st.builds(
    EnvConfig, st.sampled_from(["frames", "captions"]), st.sampled_from([default_budget(), paper_budget()])
)


@dataclass(frozen=True)
class Shown:
    """Every byte of an observation, and what else a policy is told."""

    text: str
    remaining: tuple[int, int]
    pixels: bytes
    times: bytes
    error: str | None
    lines: tuple[TimedLine, ...] = ()

    @staticmethod
    def of(observation: Observation, error: str | None = None) -> "Shown":
        frames, left = observation.frames, observation.remaining
        pixels, times = (b"", b"") if frames is None else (frames.data.tobytes(), frames.pts_s.tobytes())
        return Shown(observation.text, (left.calls, left.frames), pixels, times, error, observation.lines)


def shown_before_the_end(gold: Gold | None, actions: list[Action], config: EnvConfig) -> list[Shown]:
    episode = Episode(fake_task().item, gold, FakeVideo(), config)
    shown = [Shown.of(episode.start())]
    for action in actions:
        outcome = episode.apply(action)
        if outcome.stop is not None:
            break
        assert outcome.reward == 0.0
        shown.append(Shown.of(outcome.observation, outcome.error))
    return shown


@given(GOLDS, GOLDS, ACTIONS, CONFIGS)
def test_every_observation_before_the_end_is_the_same_whatever_the_key(
    gold: Gold | None, other: Gold | None, actions: list[Action], config: EnvConfig
):
    assert shown_before_the_end(gold, actions, config) == shown_before_the_end(other, actions, config)


@given(GOLDS, GOLDS, ACTIONS)
def test_the_environment_tells_the_same_before_the_end_whatever_the_key(
    gold: Gold | None, other: Gold | None, actions: list[Action]
):
    played: list[list[str]] = []
    for key in (gold, other):
        tasks = TaskSet((Task(fake_task().item, key),))
        env = LongVideoQAEnv(tasks=tasks, library=FakeLibrary(), media=SMALL_MEDIA, render_mode="ansi")
        told = [repr(env.reset(seed=0))]
        for action in actions:
            result = env.step(action)
            if result[2] or result[3]:
                break
            told += [repr(result), repr(env.render())]
        played.append(told)
    assert played[0] == played[1]


@given(GOLDS, st.sampled_from(["A", "B", "47", "none"]))
def test_even_the_last_observation_does_not_tell_whether_the_answer_was_right(gold: Gold | None, answer: str):
    episode = Episode(fake_task().item, gold, FakeVideo(), EnvConfig())
    episode.start()
    assert episode.apply(Answer(answer)).observation.text == "The episode is over."
