"""Overhead of the evaluation runner: `python -m experiments.bench.evaluation_runner`.

Writes `results/evaluation_runner.json`. Two comparisons, each within one run on one machine. Per step: CPU time of
episodes played by the runner of `vt-env eval`, journal included, against a bare loop over the same episodes and agents.
With a server: wall time against a bare client that sends the same requests, those of an episode in sequence, with the
same number of concurrent episodes. The server is a process that answers after a fixed time, or a real one (`--url`).
"""

import json
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from http.server import ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import tyro

from agents.backends.chat_client import OpenAIClient
from agents.backends.chat_wire import ChatReply, ChatRequest
from agents.backends.fake_server import Body, FakeChatServer, Wire, completion
from agents.backends.server_limits import ServerConfig
from agents.baselines.world_script import ScriptedAgent
from agents.rollout import AgentBatch
from experiments.evaluate.eval import EvalRun, journal_episodes, play
from experiments.runs.provenance import machine
from experiments.runs.run_dir import open_run, write_json
from experiments.settings.models import ModelConfig, PolicyServerConfig, ServedModel
from experiments.settings.policies import Layout, Policy, SeededAttempt
from vt_env.config import default_budget
from vt_env.envs.base import make_episode
from vt_env.tasks.task_set import Task
from vt_env.testing import FakeLibrary, FakeVideo, fake_task
from vt_env.tools.builtin import tools_for

LIBRARY = FakeLibrary((FakeVideo(frame_px=112),))
RESULT = Path(__file__).parent / "results" / "evaluation_runner.json"
LOOK = '<tool_call>{{"name": "frame_zoom", "arguments": {{"start_s": {0}, "end_s": {1}}}}}</tool_call>'


@dataclass(frozen=True)
class EvaluationRunnerBench:
    """Measure the runner per step and with a server."""

    episodes: int = 60
    """Episodes of the bare loop and of the runner."""
    repeats: int = 3
    """Repeats; the least time and the median ratio count."""
    served_episodes: int = 32
    """Episodes played through the server."""
    batch: int = 16
    """Concurrent requests."""
    reply_s: float = 1.0
    """Seconds per reply of the fake server."""
    url: str = ""
    """Address of a real server up to `/v1`; by default the fake one."""
    out: Path = RESULT
    """JSON file for the numbers."""


class TwoLookAgent:
    """Agent that looks twice and answers, at almost no cost besides the environment's."""

    def reset(self, task: object, observation: object) -> None:
        """Start an episode."""
        self.turn = 0

    def act(self, observation: object) -> str:
        """Return a look, or the answer in the third turn."""
        self.turn += 1
        return LOOK.format(self.turn * 20, self.turn * 20 + 10) if self.turn < 3 else "<answer>B</answer>"


def main(bench: EvaluationRunnerBench) -> None:
    """Measure, print the numbers and write them to `out`."""
    steps = {name: overhead(bench, name) for name in ("captions", "frames")}
    served = served_ratio(bench)
    found = {"machine": machine(), "bench": {**asdict(bench), "out": None}, "overhead": steps, "served": served}
    write_json(bench.out, json.loads(json.dumps(found, default=str)))
    print(json.dumps(found, indent=2, default=str))


def overhead(bench: EvaluationRunnerBench, perception: str) -> dict[str, float]:
    """Measure the CPU milliseconds that the runner adds to a step."""
    layout = Layout(perception, tools_for(perception), default_budget())
    tasks = [fake_task(task_id=f"task-{number}") for number in range(bench.episodes)]

    def agent(number: int) -> Any:
        return ScriptedAgent(np.random.default_rng(number)) if perception == "captions" else TwoLookAgent()

    policy = Policy("scripted", layout, lambda attempts: AgentBatch(lambda idx: agent(attempts[idx].seed)))
    bare, through = [], []
    for _ in range(bench.repeats):
        start_s = time.process_time()
        steps = sum(_bare(task, layout, agent(number)) for number, task in enumerate(tasks))
        bare.append(time.process_time() - start_s)
        start_s = time.process_time()
        _through_runner(policy, tasks, bench.batch)
        through.append(time.process_time() - start_s)
    bare_ms, runner_ms = (1000 * min(times) / steps for times in (bare, through))
    return {"steps": steps, "bare_ms": bare_ms, "runner_ms": runner_ms, "added_ms": runner_ms - bare_ms}


def served_ratio(bench: EvaluationRunnerBench) -> dict[str, Any]:
    """Measure the ratio of the runner's wall time to a bare client's, with the same requests."""
    with _server(bench) as url:
        config = ModelConfig(backend="openai", max_new_tokens=32, server=PolicyServerConfig(base_url=url))
        ratios, times = [], []
        for _ in range(bench.repeats):
            runner_s, bodies = _served_run(bench, config)
            bare_s = _bare_client(url, bodies, bench.batch)
            ratios.append(runner_s / bare_s)
            times.append((runner_s, bare_s))
        requests = sum(map(len, bodies))
    middle = ratios.index(sorted(ratios)[len(ratios) // 2])
    return {
        "server": bench.url or f"fake, {bench.reply_s:g} s a reply",
        "requests": requests,
        "runner_s": times[middle][0],
        "bare_s": times[middle][1],
        "ratio": ratios[middle],
        "ratios": ratios,
    }


def _bare(task: Task, layout: Layout, agent: Any) -> int:
    """Play one episode in a bare loop; return its number of steps."""
    episode = make_episode(task, LIBRARY, layout.config, layout.tools)
    observation = episode.start()
    agent.reset(episode.policy_item, observation)
    steps = 0
    while episode.stop is None:
        observation = episode.apply(*episode.actions(agent.act(observation))).observation
        steps += 1
    return steps


class _Recording(OpenAIClient):
    """Client that records the bodies of its requests by question."""

    def __init__(self, config: ServerConfig) -> None:
        super().__init__(config)
        self.bodies: dict[str, list[bytes]] = {}

    def submit(self, request: ChatRequest) -> "Future[ChatReply]":
        body = request.body(self.config.model)
        question = body["messages"][1]["content"]
        text = question if isinstance(question, str) else question[-1]["text"]
        self.bodies.setdefault(text.split("\n")[0], []).append(json.dumps(body).encode())
        return super().submit(request)


def _served_run(bench: EvaluationRunnerBench, config: ModelConfig) -> tuple[float, list[list[bytes]]]:
    """Play through the server with the runner; return wall seconds and the request bodies of each episode."""
    model = ServedModel(config, bench.batch)
    layout = Layout("frames", tools_for("frames"), default_budget())
    tasks = [_asked(number) for number in range(bench.served_episodes)]

    def players(attempts: Sequence[SeededAttempt]) -> Any:
        return model.policy(layout.tools, [attempt.seed for attempt in attempts])

    policy = Policy("full", layout, players, "threads", close=model.close)
    _through_runner(policy, tasks, bench.batch)
    seconds = _through_runner(policy, tasks, bench.batch)
    model.client.close()
    model.client = recorder = _Recording(model.client.config)
    _through_runner(policy, tasks, bench.batch)
    model.close()
    return seconds, list(recorder.bodies.values())


def _through_runner(policy: Policy, tasks: Sequence[Task], batch: int) -> float:
    """Play with the runner into a new run directory; return wall seconds."""
    run = EvalRun(agent=policy.name, batch=batch)
    attempts = [SeededAttempt(task, number) for number, task in enumerate(tasks)]
    with tempfile.TemporaryDirectory() as folder, open_run(Path(folder) / "run", "eval", run) as directory:
        start_s = time.perf_counter()
        journal_episodes(play(policy, attempts, LIBRARY, run), directory, run, len(attempts), 0)
        return time.perf_counter() - start_s


def _bare_client(url: str, bodies: Sequence[Sequence[bytes]], width: int) -> float:
    """Send the recorded requests from a bare client; return wall seconds."""
    limits = httpx.Limits(max_connections=width, max_keepalive_connections=width)
    with httpx.Client(limits=limits, timeout=None, trust_env=False) as client, ThreadPoolExecutor(width) as pool:

        def send(episode: Sequence[bytes]) -> None:
            for body in episode:
                client.post(
                    f"{url}/chat/completions", content=body, headers={"Content-Type": "application/json"}
                ).raise_for_status()

        start_s = time.perf_counter()
        list(pool.map(send, bodies))
        return time.perf_counter() - start_s


def _asked(number: int) -> Task:
    task = fake_task(task_id=f"task-{number}")
    return replace(task, item=replace(task.item, question=f"what number is beside square {number}?"))


@contextmanager
def _server(bench: EvaluationRunnerBench) -> Iterator[str]:
    if bench.url:
        yield bench.url
        return
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, bench.reply_s), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Any, reply_s: float) -> None:
    """Serve two looks, then an answer, each after a fixed time."""

    def answer(body: Body) -> Wire:
        turn = (len(body["messages"]) - 2) // 2
        text = LOOK.format(turn * 20, turn * 20 + 10) if turn < 2 else "<answer>B</answer>"
        return replace(completion(text), delay_s=reply_s)

    # All connections arrive together, more than the default queue of five.
    ThreadingHTTPServer.request_queue_size = 128
    with FakeChatServer(answer) as server:
        pipe.send(server.base_url)
        threading.Event().wait()


if __name__ == "__main__":
    main(tyro.cli(EvaluationRunnerBench))
