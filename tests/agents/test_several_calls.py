"""A reply with several calls is the same turns wherever it is played: environments, agents, TRL, replay, sessions."""

import json
from collections.abc import Sequence

import numpy as np
import pytest

from agents.backends.chat_wire import ChatReply, NativeCall, ReplyStatus
from agents.language.tool_calling_chat import ChatSampling, ChatTurns
from agents.rollout import run_episode
from vt_env.actions.parse import render_action, render_actions
from vt_env.config import BudgetConfig, EnvConfig, MediaConfig, resolve_budget
from vt_env.envs.base import make_episode
from vt_env.envs.text_env import LongVideoQATextEnv
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError
from vt_env.integrations.trl import environment_class
from vt_env.integrations.trl.parallel_tools import CallBatch, SameThread
from vt_env.prompts import DEFAULT
from vt_env.testing import FakeLibrary, FakeVideo, fake_tasks
from vt_env.tools.builtin import tools_for
from vt_env.types import NOT_PLAYED, Answer, Malformed, StopReason, ToolCall

LIBRARY = FakeLibrary((FakeVideo(frame_px=112),))
TASKS = fake_tasks(1)
TASK = TASKS[0]
BUDGET = BudgetConfig(max_calls=5, max_frames=6, frames_per_zoom=2)
SEARCH = ToolCall("clip_retrieval", {"query": "red square", "top_k": 2})
READ = ToolCall("subtitle_retrieval", {"query": "code", "top_k": 1})
LOOK = ToolCall("frame_zoom", {"start_s": 320, "end_s": 330})
CROP = ToolCall("spatial_zoom", {"time_s": 330, "box": [0, 0, 0.5, 1]})
WRONG = ToolCall("frame_zoom", {"start_s": 9000, "end_s": 9001})
GROUPS = ((SEARCH, READ), (LOOK, WRONG, CROP), (LOOK,))
"""Two groups and a call: five calls in all are paid, the last one is the sixth."""
ANSWER = "<answer>47</answer>"


class Says:
    """An agent that writes given texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = list(texts)

    def reset(self, *shown: object) -> None:
        """Begin."""

    def act(self, observation: object) -> str:
        """Write the next text."""
        return self._texts.pop(0)


def new_episode(budget: BudgetConfig = BUDGET):
    return make_episode(TASK, LIBRARY, EnvConfig("frames", budget))


def by_agent(texts: Sequence[str]) -> Trajectory:
    return run_episode(Says(texts), new_episode())


def test_results_come_together_and_the_last_says_what_is_left():
    episode = new_episode()
    episode.start()
    outcome = episode.apply(SEARCH, LOOK, CROP)
    shown = outcome.observation
    first, second, third = shown.results
    assert shown.text == f"{first.text}\n\n{second.text}\n\n{third.text}" and shown.parts == shown.results
    assert "You may call" not in first.text + second.text
    assert third.text.endswith("You may call tools 2 more times and see 3 more frames.") and shown.remaining.calls == 2
    assert shown.frames is not None and len(shown.frames) == len(shown.pictures) == 3
    assert np.array_equal(shown.pictures[2], third.frames.data[0])
    alone = new_episode()
    alone.start()
    assert alone.apply(SEARCH).observation.text.startswith(first.text)


def test_calls_that_the_budget_does_not_reach_are_not_played_and_cost_nothing():
    texts = [render_actions([SEARCH] * 4), render_actions([LOOK, READ, READ]), ANSWER]
    played = by_agent(texts)
    assert [it.error for it in played.turns] == [None] * 5 + [NOT_PLAYED] * 2 + [None]
    assert played.calls == 5 and played.remaining.calls == 0 and played.stop is StopReason.ANSWERED
    last = played.turns[6].observation_text
    assert "no calls are left" in last and "No tool calls are left" in last
    ended = by_agent([render_actions([SEARCH] * 5), render_actions([LOOK, READ])])
    assert ended.stop is StopReason.OUT_OF_CALLS and len(ended.turns) == 6


def test_a_whole_reply_is_malformed_where_calls_may_not_stand_together():
    for text in (
        render_actions([SEARCH] * 9),
        f"{render_action(SEARCH)}{ANSWER}",
        f"{ANSWER}{render_action(SEARCH)}",
        f'{render_action(SEARCH)}<tool_call>{{"name": "frame_z',
    ):
        played = by_agent([text, ANSWER])
        assert [it.error for it in played.turns] == ["malformed", None] and played.calls == 1
    episode = new_episode()
    episode.start()
    assert episode.apply(SEARCH, Answer("47")).error == "malformed" and isinstance(episode.turns[0].action, Malformed)
    with pytest.raises(ValueError, match="no action"):
        episode.apply()


def test_one_call_a_turn_is_the_rule_of_the_tiny_budget_and_a_choice():
    assert resolve_budget("tiny").max_parallel_calls == 1 and resolve_budget("default").max_parallel_calls == 8
    episode = new_episode(BudgetConfig(max_calls=5, max_frames=6, frames_per_zoom=2, max_parallel_calls=1))
    episode.start()
    outcome = episode.apply(*episode.actions(render_actions([SEARCH, READ])))
    assert outcome.error == "malformed" and "write exactly one" in episode.turns[0].action.reason
    with pytest.raises(ConfigError, match="max_parallel_calls=0: need 1 or more"):
        BudgetConfig(max_parallel_calls=0)


def test_more_calls_than_allowed_end_a_rollout_of_trl_without_an_answer():
    for budget, count, stop in (
        ("tiny", 2, "out_of_calls"),
        ("default", 2, "answered"),
        ("default", 9, "out_of_calls"),
    ):
        environment = environment_class(TASKS, library=LIBRARY, budget=budget)()
        environment.reset(task_id=TASK.item.task_id)
        calls = [{"type": "function", "function": {"name": READ.name, "arguments": dict(READ.arguments)}}] * count
        completion: list[dict] = [{"role": "assistant", "content": "", "tool_calls": calls}]
        environment._rollout.before_call = CallBatch([environment], [completion], SameThread()).begin
        completion += [
            {"role": "tool", "name": READ.name, "content": environment.subtitle_retrieval(**READ.arguments)}
            for _ in range(count)
        ]
        completion.append({"role": "assistant", "content": ANSWER})
        assert environment._rollout.finish(completion).episode.stop == stop


def native(*calls: ToolCall, text: str = "") -> ChatReply:
    written = [NativeCall(f"id-{n}", it.name, json.dumps(dict(it.arguments))) for n, it in enumerate(calls)]
    return ChatReply(ReplyStatus.OK, text, tuple(written))


def test_a_teacher_gets_one_tool_message_a_call():
    episode = new_episode()
    turns = ChatTurns(tools_for("frames"), ChatSampling(), 0)
    turns.request(episode.start())
    text = turns.read(native(SEARCH, LOOK, text="Both."))
    assert text == render_actions([ToolCall(SEARCH.name, SEARCH.arguments, "Both."), LOOK])
    observation = episode.apply(*episode.actions(text)).observation
    *_, assistant, first, second, pictures = turns.request(observation).messages
    assert [it["id"] for it in assistant["tool_calls"]] == [it["tool_call_id"] for it in (first, second)]
    assert [first["content"], second["content"]] == [it.text for it in observation.results]
    assert [it["type"] for it in pictures["content"]] == ["image", "image", "text"]


def test_calls_that_may_not_stand_together_are_answered_each_with_the_reason():
    episode = new_episode()
    turns = ChatTurns(tools_for("frames"), ChatSampling(), 0)
    turns.request(episode.start())
    observation = episode.apply(*episode.actions(turns.read(native(*[SEARCH] * 9)))).observation
    results = turns.request(observation).messages[-9:]
    assert {it["content"] for it in results} == {observation.text} and "more than 8 calls" in observation.text


def test_half_a_character_fails_no_record_and_no_message():
    played = by_agent(["I see \ud83d", f"{ANSWER} \ude00"] + ["\ud83d"] * 4)
    assert played.stop is StopReason.OUT_OF_CALLS
    assert Trajectory.from_json(played.to_json()) == played
    env = LongVideoQATextEnv(TASKS, library=LIBRARY, media=MediaConfig())
    env.reset(seed=0)
    env.step("I see \ud83d")
    assert json.dumps(env.messages()[-2], ensure_ascii=False).encode() and "\ufffd" in str(env.messages()[-2])


def test_the_default_prompts_allow_several_calls():
    assert "exactly one" not in DEFAULT.system
