"""`vf-eval` plays episodes with a scripted server; runs where verifiers is (`.ci/engines verifiers`)."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

pytest.importorskip("verifiers", reason="verifiers has an environment of its own: .ci/engines verifiers")

from agents.backends.fake_server import FakeChatServer, Wire

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
