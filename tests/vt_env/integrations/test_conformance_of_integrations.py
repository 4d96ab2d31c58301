"""The integrations give what a bare episode gives: the text environment and TRL's environment class."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from vt_env.integrations.trl.environment import environment_class, reward_functions
from vt_env.session import SessionSource
from vt_env.testing import Conversation, Played, Received, integration_conformance


def play_gymnasium(source: SessionSource, conversation: Conversation) -> Played:
    env = gym.make(
        "vt_env/LongVideoQAText-v0",
        tasks=source.tasks,
        budget=source.config.budget,
        tools=[it.name for it in source.tools],
        library=source.library,
    ).unwrapped

    def shown(observation: dict[str, Any]) -> Received:
        return Received(observation["text"], observation["frames"])

    opening, _ = env.reset(options={"task_id": conversation.task_id})
    received, total, stop = list[Received](), 0.0, None
    for text in (text for turn in conversation.turns for text in turn.texts):
        observation, reward, _, _, info = env.step(text)
        received.append(shown(observation))
        total += reward
        stop = info.get("stop_reason", stop)
    return Played(shown(opening), tuple(received), total, stop)


def test_the_text_environment_conforms():
    def adapter(source: SessionSource, conversations: Sequence[Conversation]) -> list[Played]:
        return [play_gymnasium(source, it) for it in conversations]

    # A step after the end is an error of the loop, and Gymnasium lets it raise.
    integration_conformance(adapter, without={"after the end"})


def play_trl(source: SessionSource, conversations: Sequence[Conversation]) -> list[Played]:
    made = environment_class(
        source.tasks, budget=source.config.budget, tools=[it.name for it in source.tools], library=source.library
    )
    environments = [made() for _ in conversations]
    openings = [shown_by_trl(env.reset(it.task_id)) for env, it in zip(environments, conversations, strict=True)]
    received: list[list[Received]] = [[] for _ in conversations]
    completions: list[list[dict[str, Any]]] = [[] for _ in conversations]
    # In turn, as TRL does: one turn of each conversation, then the next of each.
    for number in range(max(len(it.turns) for it in conversations)):
        for idx, conversation in enumerate(conversations):
            for turn in conversation.turns[number : number + 1]:
                if turn.answer is not None:
                    completions[idx].append({"role": "assistant", "content": turn.texts[0]})
                    received[idx].append(Received("The episode is over."))
                for name, arguments in turn.calls:
                    content = getattr(environments[idx], name)(**arguments)
                    call = {"type": "function", "function": {"name": name, "arguments": arguments}}
                    completions[idx].append({"role": "assistant", "content": "", "tool_calls": [call]})
                    completions[idx].append({"role": "tool", "name": name, "content": content})
                    received[idx].append(shown_by_trl(content))
    rewards = reward_functions()[0](completions, environments, lambda name, value: None)
    return [
        Played(opening, tuple(replies), reward, None)
        for opening, replies, reward in zip(openings, received, rewards, strict=True)
    ]


def shown_by_trl(content: str | list[dict[str, Any]]) -> Received:
    if isinstance(content, str):
        return Received(content)
    pictures = tuple(np.array(block["image"]) for block in content if block["type"] == "image")
    assert [block["type"] for block in content] == ["image"] * len(pictures) + ["text"]
    return Received(content[-1]["text"], pictures)


def test_the_environment_of_trl_conforms():
    # TRL answers calls of unknown tools itself, makes no call after an answer, and a reply of several calls counts as
    # no answer there.
    integration_conformance(play_trl, without={"wrong tool", "several calls", "after the end"})
