"""ms-swift's own loop of rollouts plays episodes with a scripted engine; runs where it is (`.ci/engines swift`)."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

pytest.importorskip("swift", reason="ms-swift has an environment of its own: .ci/engines swift")

from swift.infer_engine.protocol import (
    ChatCompletionResponse,
    ChatCompletionResponseChoice,
    ChatMessage,
    RequestConfig,
    RolloutInferRequest,
    RolloutOutput,
    UsageInfo,
)
from swift.rollout import multi_turns
from transformers import AutoTokenizer

from vt_env.episode.serialisers import decode_picture
from vt_env.errors import ConfigError, DataError
from vt_env.integrations import ms_swift
from vt_env.integrations.ms_swift import NAME, LongVideoScheduler
from vt_env.prompts import OVER
from vt_env.session import SessionSource
from vt_env.testing import Conversation, FakeLibrary, FakeVideo, Played, Received, integration_conformance, tiny_vlm

TINY = tiny_vlm()
OPENING, CLOSING = "<tool_response>\n", "\n</tool_response>"


class ScriptedEngine:
    """Answers as `swift.infer_engine.GRPOVllmEngine` does, from a script a task."""

    template, tokenizer = None, AutoTokenizer.from_pretrained(TINY.folder)

    def __init__(self, scripts: dict[str, Sequence[str]]) -> None:
        self._scripts = scripts
        self.open = self.peak = 0
        """Requests that are being answered, and the most of them at once."""
        self._are_all_open = asyncio.Event()

    async def infer_async(self, request: RolloutInferRequest, config: RequestConfig, **more: Any) -> Any:
        self.open += 1
        self.peak = max(self.peak, self.open)
        if self.open == len(self._scripts):
            self._are_all_open.set()
        await asyncio.wait_for(self._are_all_open.wait(), timeout=30)
        script = self._scripts[request.data_dict["task_id"]]
        turn = sum(it["role"] == "assistant" for it in request.messages)
        text = script[turn] if turn < len(script) else "I do not know."
        self.open -= 1
        ids = self.tokenizer.encode(text)
        choice = ChatCompletionResponseChoice(0, ChatMessage("assistant", text), "stop", token_ids=ids)
        return ChatCompletionResponse("m", [choice], UsageInfo(1, 2, 3))


def scheduler(scripts: dict[str, Sequence[str]], **options: Any) -> LongVideoScheduler:
    made = multi_turns[NAME](ScriptedEngine(scripts), **{"max_turns": None, **options})
    assert isinstance(made, LongVideoScheduler)
    return made


def request(task_id: str, **row: Any) -> RolloutInferRequest:
    return RolloutInferRequest(messages=[], data_dict={"task_id": task_id, "env_config": {}, **row})


async def play(made: LongVideoScheduler, requests: Sequence[RolloutInferRequest]) -> list[RolloutOutput]:
    return await asyncio.gather(*(made.run(it, RequestConfig()) for it in requests))


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[SessionSource], None]:
    """Sets the tasks in memory that rows name."""
    return lambda source: monkeypatch.setattr(ms_swift, "session_source", lambda config: source)


def shown(output: RolloutOutput, kept: int) -> list[Received]:
    """Return what each of the user's turns showed."""
    left = [decode_picture(it) for it in output.rollout_infos["images"]]
    received: list[Received] = []
    for message in output.messages:
        if message["role"] == "user":
            count = message["content"].count("<image>")
            pictures, left = left[:count], left[count:]
            text = message["content"].removeprefix(OPENING).removesuffix(CLOSING).replace("<image>", "")
            received.append(Received(text, tuple(pictures), repr((message, output.rollout_infos["images"])).encode()))
    assert not left
    return received[:kept]


def test_swift_conforms(use: Callable[[SessionSource], None]):
    def adapter(source: SessionSource, conversations: Sequence[Conversation]) -> list[Played]:
        use(source)
        scripts = {it.task_id: [text for turn in it.turns for text in turn.texts] for it in conversations}
        made = scheduler(scripts)
        outputs = asyncio.run(play(made, [request(it) for it in scripts]))
        assert made.infer_engine.peak == len(scripts)
        played = []
        for script, output in zip(scripts.values(), outputs, strict=True):
            opening, *results = shown(output, 1 + len(script))
            results += [Received(OVER)] * (len(script) - len(results))
            played.append(Played(opening, tuple(results), output.rollout_infos["total_reward"], None))
        return played

    # The loop ends with the episode: nothing is shown to the model behind its last call.
    integration_conformance(adapter, without={"over calls", "after the end"})


def test_replies_beyond_max_turns_end_the_episode_without_an_answer(use: Callable[[SessionSource], None]):
    use(TINY.source)
    made = scheduler({"fake/0": [TINY.replies["fake/0"][0]] * 9}, max_turns=2)
    (output,) = asyncio.run(play(made, [request("fake/0")]))
    infos = output.rollout_infos
    assert (infos["num_turns"], infos["total_reward"], infos["answered"]) == (2, 0.0, 0.0)
    assert not made._sessions


def test_several_calls_of_a_reply_share_a_turn_as_in_qwens_template(use: Callable[[SessionSource], None]):
    use(TINY.source)
    look = TINY.replies["fake/0"][0]
    (output,) = asyncio.run(play(scheduler({"fake/0": [f"{look}\n{look}", "<answer>B</answer>"]}), [request("fake/0")]))
    content = output.messages[-2]["content"]
    assert content.startswith(f"{OPENING}<image><image>Frames")
    assert f"{CLOSING}\n{OPENING}<image><image>Frames" in content


def test_a_row_without_a_task_and_a_video_that_cannot_be_read_are_loud(use: Callable[[SessionSource], None]):
    use(TINY.source)
    with pytest.raises(ConfigError, match="no task_id"):
        asyncio.run(play(scheduler({}), [RolloutInferRequest(messages=[], data_dict={})]))
    use(
        SessionSource(
            TINY.source.tasks, tools=["frame_zoom"], library=FakeLibrary((FakeVideo(broken_from_s=0),)), prompts="tiny"
        )
    )
    with pytest.raises(DataError, match="nothing can be decoded"):
        asyncio.run(play(scheduler({"fake/0": TINY.replies["fake/0"]}), [request("fake/0")]))
