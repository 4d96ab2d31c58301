"""Any text is an action: random, mutated and nested ones lead to a typed outcome, never to an exception."""

import json
import os
import string
from collections import Counter
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.small_media import SMALL_MEDIA

from vt_env.actions.parse import ActionReader, parse_action, render_action
from vt_env.envs.numeric_env import LongVideoQANumericEnv
from vt_env.envs.numeric_features import NumericConfig
from vt_env.envs.text_env import LongVideoQATextEnv
from vt_env.envs.tool_env import LongVideoQAEnv
from vt_env.episode.trajectory import Trajectory, record_episode
from vt_env.errors import ConfigError
from vt_env.testing import FakeLibrary, fake_tasks
from vt_env.tools.builtin import tools_for
from vt_env.types import Answer, Malformed, ToolCall

pytestmark = pytest.mark.slow

ACTIONS = int(os.environ.get("VT_ENV_FUZZ_ACTIONS", "20000"))
"""Actions of the seeded run."""
ERRORS = {None, "malformed", "tool_error", "over_budget"}
PIECES = (
    "<tool_call>", "</tool_call>", "<answer>", "</answer>", "<action>", "</action>", "<retrieve>", "</retrieve>",
    "<video_zoom>", "</video_zoom>", "<search>", "</search>", "<|im_end|>", '{"name": "', '", "arguments": {', "}}",
    '"start_s": ', '"end_s": ', '"box": [0, 0, 1, 1]', '"query": ', '"top_k": ', '"time_s": ', "frame_zoom",
    "clip_retrieval", "spatial_zoom", "crop_video", "finish", "05:20", "99:99:99", "-1", "1e400", "NaN", "Infinity",
    "9" * 30, "9" * 5000, "null", "true", "[[[", "[" * 3000, "\\ud800", "\ud800", "\x00", "\u202e", "\uff1c", "河内",
    "🦜",
    "choose frames between 1 and 2", "output answer: A", '{"segment": [1, 2]}', "\\boxed{A}", "A", "47", ", ", "\n",
)  # fmt: skip
SEEDS = (
    render_action(ToolCall("frame_zoom", {"start_s": 320.0, "end_s": 340.0}, "a thought")),
    render_action(ToolCall("clip_retrieval", {"query": "red square", "top_k": 3})),
    render_action(ToolCall("spatial_zoom", {"time_s": 322.0, "box": [0.1, 0.2, 0.5, 0.9]})),
    render_action(ToolCall("subtitle_summary", {"query": "delta"})),
    render_action(Answer("47", "since it is")),
    "<action>choose frames between 320 and 340</action>",
    "<retrieve>320,340</retrieve>",
    '<video_zoom>{"segment": [320, 340], "fps": 2}</video_zoom>',
    '<tool_call>{"name": "crop_video", "arguments": {"video_path": "v", "start_time": 1, "end_time": 2}}</tool_call>',
)
TEXTS = st.one_of(
    st.text(max_size=60), st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join)
)


def make(kind: type[Any], perception: str) -> Any:
    return kind(fake_tasks(), perception=perception, library=FakeLibrary(), media=SMALL_MEDIA)


def mutated(rng: np.random.Generator) -> str:
    """Draw a text: a well-formed action with pieces cut out, doubled and put in, or pieces alone."""
    text = SEEDS[rng.integers(len(SEEDS))] if rng.random() < 0.8 else ""
    for _ in range(rng.integers(0, 3)):
        start, end = sorted(int(at) for at in rng.integers(0, len(text) + 1, size=2))
        piece = PIECES[rng.integers(len(PIECES))] if rng.random() < 0.6 else chr(int(rng.integers(0x20, 0x2FFF)))
        choice = rng.integers(4)
        text = (
            text[:start] + text[end:],
            text[:start] + piece + text[start:],
            text[:end] + text[start:end] + text[end:],
            text[:start] + piece + text[end:],
        )[choice]
    return text


@pytest.mark.parametrize("perception", ["frames", "captions"])
def test_random_and_mutated_texts_lead_to_typed_outcomes(perception: str):
    rng = np.random.default_rng(0)
    env = make(LongVideoQATextEnv, perception)
    env.reset(seed=0)
    seen: dict[str | None, int] = {}
    for number in range(ACTIONS // 2):
        observation, reward, terminated, truncated, info = env.step(mutated(rng))
        assert info["error"] in ERRORS and isinstance(reward, float) and isinstance(observation["text"], str)
        seen[info["error"]] = seen.get(info["error"], 0) + 1
        if terminated or truncated:
            if number % 50 == 0:
                record = record_episode(env.episode)
                assert Trajectory.from_json(record.to_json()) == record
            env.reset()
    assert set(seen) == ERRORS and seen[None] > ACTIONS // 20


@given(TEXTS)
def test_parsing_any_text_gives_an_action_that_can_be_written_and_recorded(text: str):
    for action in (parse_action(text), ActionReader.for_tools(tools_for("frames")).read(text).action):
        assert isinstance(action, ToolCall | Answer | Malformed)
        if not isinstance(action, Malformed):
            render_action(action).encode()
        else:
            assert action.text == text and action.reason


@given(st.lists(TEXTS, max_size=10), st.sampled_from(["frames", "captions"]))
def test_any_texts_can_be_played_as_one_episode(texts: list[str], perception: str):
    env = make(LongVideoQATextEnv, perception)
    env.reset(seed=0)
    for text in texts:
        observation, _, terminated, truncated, info = env.step(text)
        assert info["error"] in ERRORS and env.observation_space.contains(observation)
        if terminated or truncated:
            break
    assert len(env.messages()) % 2 == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=5), parts, max_size=3),
)


@given(st.sampled_from(["frame_zoom", "clip_retrieval", "spatial_zoom", "crop_video", "finish"]), JSON)
def test_any_json_as_arguments_is_read_or_malformed(name: str, arguments: object):
    text = f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"
    env = make(LongVideoQATextEnv, "frames")
    env.reset(seed=0)
    assert env.step(text)[4]["error"] in ERRORS


VALUES: tuple[Any, ...] = (
    0, -1, 3, 10**30, 0.5, -0.5, 1.5, float("nan"), float("inf"), None, True, "", "47", "\ud800", b"x", (), [], {},
    object(), np.float64(0.2), np.float32("nan"), np.int64(-7), np.array(0.3), np.array([0.1, 0.2, 0.6, 0.9]),
    np.array([]), np.array(["a"]), np.array([0.9, 0.9, 0.1, 0.1]), (0.1, 0.2, 0.3), {"start_fraction": 0.1},
)  # fmt: skip
"""What a broken policy might put where a value belongs."""


def mutated_element(rng: np.random.Generator, element: tuple[Any, Any]) -> Any:
    """Draw an element of the typed space as it is, with a part replaced, left out or put in, or something else."""
    if rng.random() < 0.3:
        return element
    tool_idx, value = element
    chosen = VALUES[rng.integers(len(VALUES))]
    if not isinstance(value, dict) or rng.random() < 0.2:
        return ((chosen, value), (tool_idx, chosen), (tool_idx,), (tool_idx, value, chosen), chosen)[rng.integers(5)]
    names = list(value)
    name = names[rng.integers(len(names))]
    if rng.random() < 0.1:
        return tool_idx, {key: it for key, it in value.items() if key != name}
    return tool_idx, {**value, name if rng.random() < 0.9 else "extra": chosen}


@pytest.mark.parametrize("perception", ["frames", "captions"])
def test_mutated_elements_are_refused_as_such_or_lead_to_typed_outcomes(perception: str):
    rng = np.random.default_rng(0)
    env = make(LongVideoQAEnv, perception)
    env.action_space.seed(0)
    env.reset(seed=0)
    seen: Counter[str | None] = Counter()
    for _ in range(ACTIONS // 8):
        turns = len(env.episode.turns)
        try:
            observation, reward, terminated, truncated, info = env.step(mutated_element(rng, env.action_space.sample()))
        except gym.error.InvalidAction as refused:
            assert str(refused).startswith("action ") and "need (index, value)" in str(refused)
            assert len(str(refused)) < 300 and len(env.episode.turns) == turns
            seen["refused"] += 1
            continue
        assert info["error"] in ERRORS and isinstance(reward, float) and env.observation_space.contains(observation)
        seen[info["error"]] += 1
        if terminated or truncated:
            env.reset()
    assert {"refused", None, "tool_error"} <= set(seen) and min(seen["refused"], seen[None]) > ACTIONS // 80


@pytest.mark.parametrize("form", ["discrete", "multi_discrete"])
def test_anything_as_a_numeric_action_is_refused_as_such_or_leads_to_a_typed_outcome(form: Any):
    env = LongVideoQANumericEnv(fake_tasks(), library=FakeLibrary(), numeric=NumericConfig(actions=form))
    for action in (*VALUES, np.array([1, 2]), np.array([1, 2, 3]), np.array([[1, 2]]), (1, 2), [1, 2], 2, np.int32(2)):
        env.reset(seed=0)
        try:
            assert env.step(action)[4]["error"] in ERRORS
        except gym.error.InvalidAction as refused:
            assert "whole number" in str(refused) and env.episode is not None and env.episode.turns == []


@pytest.mark.parametrize(
    "action",
    [(99, {}), (-1, 0), (0, {}), (6, -1), (6, "B"), (6, None), (3, {"start_fraction": "x", "end_fraction": 1.0}), (0,),
     5, None, [], {}, (float("nan"), 0)],
)  # fmt: skip
def test_an_action_outside_the_space_is_refused_with_what_is_allowed(action: Any):
    env = make(LongVideoQAEnv, "frames")
    env.reset(seed=0)
    with pytest.raises(gym.error.InvalidAction, match=r"need \(index, value\) with an index from 0 to 6"):
        env.step(action)
    assert env.episode.turns == []


@pytest.mark.parametrize("action", [-1, 14, 1.0, "answer_0", None, (1, 2), True + 20])
def test_a_number_outside_the_numeric_space_is_refused_with_what_is_allowed(action: Any):
    env = make(LongVideoQANumericEnv, "frames")
    env.reset(seed=0)
    with pytest.raises(gym.error.InvalidAction, match="need a whole number from 0 to 13"):
        env.step(action)


def test_an_unknown_task_id_suggests_the_nearest():
    env = make(LongVideoQATextEnv, "frames")
    with pytest.raises(ConfigError, match="did you mean 'fake/1'"):
        env.reset(options={"task_id": "fake1"})
    for wrong in (5, None, ("a",), string.printable):
        with pytest.raises(ConfigError, match="not among the 3 tasks"):
            env.reset(options={"task_id": wrong})
