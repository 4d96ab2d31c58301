"""verifiers plays episodes with a scripted server; runs where verifiers is (`.ci/engines verifiers`)."""

import asyncio
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest

pytest.importorskip("verifiers", reason="verifiers has an environment of its own: .ci/engines verifiers")

import httpx
import verifiers.v1 as vf
import vt_env_verifiers
from verifiers.v1.dialects.chat import message_to_wire
from verifiers.v1.runtimes import ProgramResult
from verifiers.v1.utils.loaders import load_environment

from agents.backends.fake_server import FakeChatServer, Wire, completion
from vt_env.episode.serialisers import decode_picture
from vt_env.prompts import OVER
from vt_env.session import SessionSource
from vt_env.testing import Conversation, Played, Received, integration_conformance

LOOK = '<tool_call>\n{"name": "frame_zoom", "arguments": {"start_s": "00:01", "end_s": 3}}\n</tool_call>'


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    with av.open(str(tmp_path / "a.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for number in range(50):
            picture = np.full((180, 320, 3), number * 5, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        file.mux(stream.encode())
    rows = [
        {
            "video": "a.mp4",
            "question": f"How bright? {it}",
            "options": ["dark", "grey"],
            "answer": 1,
            "task_id": f"t{it}",
        }
        for it in range(2)
    ]
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps({**row, "split": "train"}) + "\n" for row in rows))
    return path


def complete(text: str) -> Wire:
    """Send a reply with the fields that verifiers checks."""
    body = json.loads(completion(text).body)
    return Wire(body=json.dumps({"id": "1", "created": 0, "model": "fake", **body}).encode())


def streamed(text: str) -> Wire:
    """Send a reply as server-sent events, which is how verifiers asks for it."""
    start = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "fake"}
    parts = [
        {**start, "choices": [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}]},
        {**start, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**start, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}},
    ]
    lines = [f"data: {json.dumps(it)}\n\n" for it in parts]
    return Wire(body="".join([*lines, "data: [DONE]\n\n"]).encode(), headers={"Content-Type": "text/event-stream"})


def test_vf_eval_plays_episodes_with_pictures_and_records_their_rewards(tasks: Path, tmp_path: Path):
    asked: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> Wire:
        asked.append(body)
        turn = sum(it["role"] == "assistant" for it in body["messages"])
        right = "How bright? 0" in json.dumps(body["messages"])
        return streamed((LOOK, "Grey, I think.", f"<answer>{'B' if right else 'A'}</answer>")[min(turn, 2)])

    with FakeChatServer(answer) as server:
        command = [
            Path(sys.executable).parent / "vf-eval",
            "vt_env_verifiers",
            *("--no-push", "--no-rich", "-n", "2", "-r", "2", "--model", "fake"),
            *("--env.taskset.tasks", tasks, "--env.player.harness.id", "null"),
            *("--env.player.runtime.type", "subprocess", "--client.base-url", server.base_url),
            *("--output-dir", tmp_path / "out"),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "VT_ENV_CACHE": str(tmp_path)}
        )
    assert done.returncode == 0, done.stdout + done.stderr

    (path,) = (tmp_path / "out").rglob("traces.jsonl")
    traces = [json.loads(line)["traces"][0] for line in path.read_text().splitlines()]
    assert [it["errors"] for it in traces] == [[]] * 4
    rewards = sorted((it["task"]["data"]["name"], it["rewards"]["vt_env"]["score"]) for it in traces)
    assert rewards == [("t0", 1.0), ("t0", 1.0), ("t1", 0.0), ("t1", 0.0)]
    last = max(asked, key=lambda it: len(it["messages"]))["messages"]
    assert [it["role"] for it in last] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert [it["type"] for it in last[3]["content"]] == ["text", "image_url", "image_url", "text"]
    assert "could not be read" in json.dumps(last[5])
    assert '"answer"' not in json.dumps(last[0])


class InProcessChat(vf.Harness[vf.HarnessConfig]):
    """The harness `null` without its program, which takes seconds to start for every reply."""

    APPENDS_SYSTEM_PROMPT = True
    SUPPORTS_RESUME = True
    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(self, ctx, trace, runtime, endpoint, secret, mcp_urls, data) -> ProgramResult:
        system, prompt = self.resolve_prompt(data)
        messages = [{"role": "system", "content": system}, *map(message_to_wire, prompt)]
        async with httpx.AsyncClient(timeout=120) as client:
            asked = {"model": ctx.model, "messages": messages}
            headers = {"Authorization": f"Bearer {secret}"}
            answer = await client.post(f"{endpoint}/chat/completions", json=asked, headers=headers)
        answer.raise_for_status()
        return ProgramResult(exit_code=0, stdout="", stderr="")


def shown(message: dict[str, Any]) -> Received:
    content = message["content"]
    pictures = tuple(decode_picture(it["image_url"]["url"]) for it in content if it["type"] == "image_url")
    text = "".join(it["text"] for it in content if it["type"] == "text")
    wire = json.dumps(message, sort_keys=True).encode()
    return Received(text.removeprefix("<tool_response>\n").removesuffix("\n</tool_response>"), pictures, wire)


async def play(server: FakeChatServer, conversations: Sequence[Conversation]) -> list[vf.Trace]:
    """Run one episode a conversation, all at once; the name of the model tells the server which one it is."""
    player = {"harness": {"id": "in_process_chat"}, "runtime": {"type": "subprocess"}}
    config = vt_env_verifiers.VideoEnvConfig(taskset={"id": "vt_env_verifiers"}, player=player)
    environment = load_environment(config)
    tasks = {it.data.id: it for it in environment.taskset.load()}
    client = vf.EvalClientConfig(base_url=server.base_url)
    async with environment.serving():
        episodes = await asyncio.gather(
            *(
                environment.run_episode(tasks[it.task_id], vf.ModelContext(model=it.task_id, client=client))
                for it in conversations
            )
        )
    assert [[*it.errors, *it.traces[0].errors] for it in episodes] == [[]] * len(episodes)
    return [it.traces[0] for it in episodes]


def test_verifiers_conforms(monkeypatch: pytest.MonkeyPatch):
    module = ModuleType("in_process_chat")
    module.__all__, module.InProcessChat = ["InProcessChat"], InProcessChat
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def adapter(source: SessionSource, conversations: Sequence[Conversation]) -> list[Played]:
        monkeypatch.setattr(vt_env_verifiers, "session_source", lambda config: source)
        scripts = {it.task_id: [text for turn in it.turns for text in turn.texts] for it in conversations}
        sent: dict[str, list[dict[str, Any]]] = {}

        def answer(body: dict[str, Any]) -> Wire:
            sent[body["model"]] = messages = body["messages"]
            turn = sum(it["role"] == "assistant" for it in messages)
            script = scripts[body["model"]]
            # A conversation that does not answer is ended by its budget.
            return complete(script[turn] if turn < len(script) else "I do not know.")

        with FakeChatServer(answer) as server:
            traces = asyncio.run(play(server, conversations))
        played = []
        for (task_id, script), trace in zip(scripts.items(), traces, strict=True):
            opening, *results = [shown(it) for it in sent[task_id] if it["role"] == "user"]
            results += [Received(OVER)] * (len(script) - len(results))
            played.append(Played(opening, tuple(results[: len(script)]), trace.reward, None))
        return played

    # The exchange ends with the episode: nothing is shown to the model behind its last call.
    integration_conformance(adapter, without={"over calls", "after the end"})


def test_prime_rls_configuration_is_what_its_classes_take():
    reason = "prime-rl's classes are in its repository alone: packages/prime-rl-configs"
    configs = pytest.importorskip("prime_rl.configs.rl", reason=reason)
    path = Path(__file__).parents[2] / "experiments/integrations/prime_rl/rl.toml"
    config = configs.RLConfig.model_validate(tomllib.loads(path.read_text()))

    (train,), (test,) = config.orchestrator.train.source, config.orchestrator.eval.source
    assert isinstance(train.env, vt_env_verifiers.VideoEnvConfig)
    assert [it.env.taskset.split for it in (train, test)] == ["train", "test"]
    SessionSource(train.env.taskset.tasks, train.env.taskset.split, **train.env.taskset.rules)
