"""Answering as a tool: a call of `answer` is an answer everywhere, and only where it is offered."""

import json
from dataclasses import asdict, replace

import gymnasium as gym
import pytest

from vt_env.actions.parse import ActionReader
from vt_env.config import EnvConfig
from vt_env.episode.episode import Episode
from vt_env.errors import ConfigError
from vt_env.hashing import fingerprint
from vt_env.integrations.trl import environment_class, reward_functions
from vt_env.prompts import DEFAULT, DEFAULT_TOOL
from vt_env.session import Session
from vt_env.testing import FakeLibrary, FakeVideo, fake_task, fake_tasks
from vt_env.tools.builtin import ANSWER_TOOL, tools_for
from vt_env.tools.tool import Tool
from vt_env.types import Answer, Malformed, StopReason, ToolCall

LIBRARY = FakeLibrary((FakeVideo(frame_px=112),))
OFFERED = tools_for("frames", answers="tool")
READER = ActionReader.for_tools(OFFERED, max_calls=8)
LOOK = {"name": "frame_zoom", "arguments": {"start_s": 1, "end_s": 3}}


def written(*calls) -> str:
    return "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in calls)


def answer(option) -> dict:
    return {"name": "answer", "arguments": {"option": option}}


def test_the_tool_stands_behind_the_others_where_there_are_others():
    assert [tool.name for tool in OFFERED[:-1]] == [tool.name for tool in tools_for("frames")]
    assert OFFERED[-1] is ANSWER_TOOL
    assert tools_for("frames", "none", answers="tool") == ()


def test_a_call_of_it_is_an_answer_with_its_thought_and_the_place_of_its_option():
    reply = READER.read(f"It was red. {written(answer('B'))}")
    assert reply.action == Answer("B", "It was red.")
    assert reply.answer_span is not None and reply.text[slice(*reply.answer_span)] == "B"


def test_other_forms_of_calls_and_the_tag_are_answers_too():
    assert READER.read('```json\n{"name": "answer", "arguments": {"option": "C"}}\n```').action == Answer("C")
    assert READER.read("<answer>C</answer>").action == Answer("C")


def test_where_it_is_not_offered_it_is_a_call_of_a_tool_that_does_not_exist():
    assert isinstance(ActionReader.for_tools(tools_for("frames")).read(written(answer("B"))).action, ToolCall)


@pytest.mark.parametrize("option", ["", " ", None, 2, ["B"]])
def test_a_call_without_an_option_is_malformed_and_never_an_answer(option):
    action = READER.read(written(answer(option))).action
    assert isinstance(action, Malformed) and "answer needs option" in action.reason


def test_a_call_beside_it_is_malformed():
    assert isinstance(READER.read(written(LOOK, answer("B"))).action, Malformed)
    episode = opened()
    outcome = episode.apply(ToolCall("frame_zoom", LOOK["arguments"]), ToolCall("answer", {"option": "B"}))
    assert outcome.error == "malformed" and episode.stop is None


def opened() -> Episode:
    task = fake_task()
    episode = Episode(task.item, task.gold, FakeVideo(frame_px=112), EnvConfig(prompts=DEFAULT_TOOL), OFFERED)
    episode.start()
    return episode


def test_an_episode_takes_the_call_of_a_program_for_the_answer_that_it_holds():
    episode = opened()
    outcome = episode.apply(ToolCall("answer", {"option": "A"}))
    assert outcome.stop is StopReason.ANSWERED and episode.answer == Answer("A")
    assert episode.remaining.calls == episode.config.budget.max_calls


def test_the_text_environment_offers_it_and_ends_with_it():
    env = gym.make("vt_env/LongVideoQAText-v0", tasks=fake_tasks(), split=None, library=LIBRARY, prompts="default-tool")
    env.reset(seed=0)
    assert env.unwrapped.tool_schemas[-1]["function"]["name"] == "answer"
    env.step(written(LOOK))
    assert "call the tool answer" in str(env.unwrapped.messages()[-1]["content"])
    assert "<answer>" not in str(env.unwrapped.messages())
    *_, terminated, _, info = env.step(written(answer("A")))
    assert terminated and info["stop_reason"] == "answered"


def test_a_session_ends_with_it():
    session = Session.open(fake_tasks(), library=LIBRARY, prompts="default-tool")
    session.call("answer", {"option": "A"})
    assert session.is_over and session.result is not None


def test_a_rollout_of_trl_is_paid_for_it_and_records_who_wrote_it():
    recorded = []
    environment = environment_class(fake_tasks(), library=LIBRARY, prompts="default-tool")()
    environment.reset(task_id="fake/0")
    (pay,) = reward_functions(record=lambda step, trajectories: recorded.extend(trajectories))
    gold_idx = environment._tasks.by_id("fake/0").gold.answer_idx
    call = {"type": "function", "function": answer("ABCDEFGH"[gold_idx])}
    content = environment.answer(**call["function"]["arguments"])
    messages = [
        {"role": "assistant", "content": "Seen.", "tool_calls": [call]},
        {"role": "tool", "name": "answer", "content": content},
        {"role": "assistant", "content": "Done."},
    ]
    state = type("State", (), {"global_step": 0})
    assert pay([messages], environments=[environment], log_metric=lambda *_: None, trainer_state=state) == [1.0]
    assert recorded[0].stop is StopReason.ANSWERED
    assert "Seen." in recorded[0].turns[-1].text and "Done." not in recorded[0].turns[-1].text


def test_the_wording_and_the_key_of_the_other_sets_are_what_they_were():
    later = ("answers", "budget_image_tokens", "calls", "times", "tool_schemas")
    texts = {name: text for name, text in asdict(DEFAULT).items() if name not in later}
    assert DEFAULT.answers == "tag" and DEFAULT.key == fingerprint(texts)
    assert "<answer>" not in DEFAULT_TOOL.system + DEFAULT_TOOL.result
    assert "<answer>" in DEFAULT_TOOL.system_without_tools


def test_a_tool_of_ones_own_cannot_take_its_name():
    def speak(episode, text: str) -> str:
        """Say something.

        Args:
            episode: The episode.
            text: What to say.
        """
        return text

    with pytest.raises(ConfigError, match="give yours another"):
        tools_for("frames", replace(Tool.of(speak), name="answer"))
