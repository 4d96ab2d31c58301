"""Cost of a step: `python -m experiments.bench.environment --out experiments/bench/results/environment.json`.

Three generated videos of 112 pixels, written and stored in two minutes: 10 minutes and 10 hours at 1 frame a second, to
compare with each other, and 1 hour at 25 frames a second, since memory grows with the number of frames.

| number | meaning |
|---|---|
| `cartpole_steps` | caption-space step on the hour, in steps of `CartPole-v1`, by environment and tool; target 25 |
| `frame_step` | frame step on a warm store, and reading its frames without the step, in milliseconds |
| | `beyond_reading`: the difference, in caption-space steps; target about 1 |
| `long_to_short` | reset, and steps by tool, on 10 hours as a multiple of 10 minutes; target 0.8 to 1.2 |
| `memory_mb` | resident memory that 63 more environments on the hour add to one; target 300 |

Times are CPU times, medians over `rounds` rounds. Each round measures every call in turn, so that neither other work
nor a change of clock rate favours one of them. Every call has another query, so that no cached result is measured.
"""

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium as gym
import numpy as np
import tyro

from experiments.runs.provenance import machine, package_version
from experiments.runs.run_dir import write_json
from vt_env.actions.parse import render_action
from vt_env.config import BudgetConfig, MediaConfig
from vt_env.media.library import VideoLibrary
from vt_env.tasks.task_set import TaskSet
from vt_env.types import ToolCall
from vt_env.world.script import WorldConfig
from vt_env.world.tasks import world_tasks

TYPED, TEXT, NUMERIC = (f"vt_env/LongVideoQA{kind}-v0" for kind in ("", "Text", "Numeric"))
RATES_HZ = {"short": 1, "hour": 25, "long": 1}
"""Kind of video to frames a second."""
ENDLESS = BudgetConfig(max_calls=10**6, max_frames=10**7, frames_per_zoom=2)
"""Budget that a benchmark does not exhaust."""
LOOK_S = 20.0

Timings = Mapping[str, float]
"""Name to CPU seconds of one call."""


@dataclass(frozen=True)
class EnvironmentBench:
    """Measure steps, resets and memory."""

    out: Path | None = None
    """JSON file to write."""
    folder: Path | None = None
    """Folder of videos and stores, kept for the next run; by default a temporary one."""
    rounds: int = 30
    """Rounds; medians are taken over them."""
    calls: int = 20
    """Calls of each kind in a round."""
    envs: int = 64
    """Environments of the memory measurement."""
    minutes: tuple[int, int, int] = (10, 60, 600)
    """Durations of the three videos in minutes."""


def main(run: EnvironmentBench) -> None:
    """Measure, print the numbers and write them to `out`."""
    with TemporaryDirectory() as name:
        folder = run.folder or Path(name)
        worlds = {kind: _world(kind, run, folder) for kind in RATES_HZ}
        library = VideoLibrary(MediaConfig(), folder / "media")
        timings = measure(_calls(worlds, library), run.rounds, run.calls)
        memory_mb = {kind: _memory_mb(folder, run, kind) for kind in ("one library", "a library each")}
    record: dict[str, Any] = {
        "versions": {name: package_version(name) for name in ("gymnasium", "numpy", "faiss-cpu", "av")},
        "machine": machine(),
        "minutes": run.minutes,
        "rounds": run.rounds,
        "calls": run.calls,
        "step_us": {name: round(1e6 * seconds, 1) for name, seconds in timings.items()},
        **compare(timings),
        "memory_mb": memory_mb,
    }
    print(*(f"{name}: {value}" for name, value in record.items()), sep="\n")
    if run.out is not None:
        write_json(run.out, record)


def compare(timings: Timings) -> dict[str, Any]:
    """Return the ratios of the table in the module's docstring."""
    hour = {name.removeprefix("hour "): it for name, it in timings.items() if name.startswith("hour ")}
    short = {name.removeprefix("short "): it for name, it in timings.items() if name.startswith("short ")}
    long = {name.removeprefix("long "): it for name, it in timings.items() if name.startswith("long ")}
    captions = {name: it for name, it in hour.items() if not name.startswith("frames ") and "reset" not in name}
    step, reading = hour["frames zoom"], hour["frames reading"]
    return {
        "cartpole_steps": {name: round(it / timings["CartPole-v1"], 1) for name, it in captions.items()},
        "frame_step": {
            "step_ms": round(1e3 * step, 3),
            "reading_ms": round(1e3 * reading, 3),
            "beyond_reading": round((step - reading) / hour["typed zoom"], 2),
        },
        "long_to_short": {name: round(it / short[name], 2) for name, it in long.items()},
    }


def measure(calls: Mapping[str, Callable[[], object]], rounds: int, per_round: int) -> Timings:
    """Time each call in turn, `per_round` times a round; return the median over rounds, in CPU seconds of one call."""
    times_s: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = time.process_time()
            for _ in range(per_round):
                call()
            # The first round only warms caches.
            if number:
                times_s[name].append((time.process_time() - start) / per_round)
    return {name: median(values) for name, values in times_s.items()}


def _world(kind: str, run: EnvironmentBench, folder: Path) -> TaskSet:
    duration_s = 60 * run.minutes[list(RATES_HZ).index(kind)]
    config = WorldConfig(
        duration_min_s=duration_s, duration_max_s=duration_s, size_px=112, frame_rate_hz=RATES_HZ[kind], videos=1
    )
    return world_tasks("test", config=config, root=folder)


def _calls(worlds: Mapping[str, TaskSet], library: VideoLibrary) -> dict[str, Callable[[], object]]:
    """Return name to call, for all timed calls."""
    calls: dict[str, Callable[[], object]] = {"CartPole-v1": _cartpole()}
    for kind, tasks in worlds.items():
        duration_s = library_video(library, tasks).duration_s
        captions = _env(TYPED, tasks, library, "captions")
        frames = _env(TYPED, tasks, library, "frames")
        text = _env(TEXT, tasks, library, "captions")
        numeric = _env(NUMERIC, tasks, library, "captions")
        made = _tool_calls(duration_s, "caption_zoom")
        calls |= {f"{kind} typed {name}": _stepper(captions, made[name], plain=False) for name in made}
        calls |= {f"{kind} text {name}": _stepper(text, made[name], plain=True) for name in made}
        calls[f"{kind} numeric zoom"] = _numeric(numeric)
        zooms = _tool_calls(duration_s, "frame_zoom")["zoom"]
        calls[f"{kind} frames zoom"] = _stepper(frames, zooms, plain=False)
        calls[f"{kind} frames reading"] = _reader(library, tasks)
        calls[f"{kind} reset"] = lambda env=captions: env.reset()
    return calls


def library_video(library: VideoLibrary, tasks: TaskSet) -> Any:
    """Open the video of the tasks; write and store it first."""
    tasks[0].prepare(tasks[0].item.video)
    return library.open(tasks[0].item.video)


def _env(env_id: str, tasks: TaskSet, library: VideoLibrary, perception: str) -> gym.Env[Any, Any]:
    env = gym.make(env_id, tasks=tasks, library=library, perception=perception, budget=ENDLESS, prompts="tiny")
    env.reset(seed=0)
    return env


def _cartpole() -> Callable[[], object]:
    env = gym.make("CartPole-v1")
    env.reset(seed=0)
    turn = count()

    def step() -> None:
        # Alternating left and right keeps the pole up for a while, so that few resets are timed.
        if env.step(next(turn) % 2)[2]:
            env.reset()

    return step


def _tool_calls(duration_s: float, zoom: str) -> dict[str, Iterator[ToolCall]]:
    """Return endless calls of each tool; every call has another interval or query."""
    rng = np.random.default_rng(0)
    starts_s = iter(lambda: float(rng.uniform(0, duration_s - LOOK_S)), None)
    queries = (f"the code of delta, said by number {number} in red" for number in count())

    def look(tool: str) -> Iterator[ToolCall]:
        return (ToolCall(tool, {"start_s": start_s, "end_s": start_s + LOOK_S}) for start_s in starts_s)

    def ask(tool: str) -> Iterator[ToolCall]:
        return (ToolCall(tool, {"query": query}) for query in queries)

    tools = ("clip_retrieval", "subtitle_retrieval", "subtitle_summary")
    return {"zoom": look(zoom), "subtitle_zoom": look("subtitle_zoom"), **{tool: ask(tool) for tool in tools}}


def _stepper(env: gym.Env[Any, Any], made: Iterator[ToolCall], *, plain: bool) -> Callable[[], object]:
    actions = [render_action(next(made)) if plain else next(made) for _ in range(1000)]
    turn = count()
    return lambda: env.step(actions[next(turn) % len(actions)])


def _numeric(env: gym.Env[Any, Any]) -> Callable[[], object]:
    names = env.unwrapped.action_names  # type: ignore[attr-defined]
    env.step(names.index("search_subtitles"))
    look = names.index("look_at_0")
    return lambda: env.step(look)


def _reader(library: VideoLibrary, tasks: TaskSet) -> Callable[[], object]:
    """Return a call that reads the frames of the frame steps, in the same order."""
    video = library_video(library, tasks)
    made = _tool_calls(video.duration_s, "frame_zoom")["zoom"]
    moments: list[list[float]] = []
    for call in (next(made) for _ in range(1000)):
        start_s = float(call.arguments["start_s"])  # type: ignore[arg-type]
        moments.append([start_s + LOOK_S / 4, start_s + 3 * LOOK_S / 4])
    turn = count()
    return lambda: video.frames_at(moments[next(turn) % len(moments)])


def _memory_mb(folder: Path, run: EnvironmentBench, kind: str) -> dict[str, float]:
    """Measure in a new process, where no other environment has been opened."""
    code = (
        "import sys; from pathlib import Path; from experiments.bench.environment import print_memory\n"
        "print_memory(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])"
    )
    arguments = [str(folder), str(run.minutes[1]), str(run.envs), kind]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    one_mb, all_mb = map(float, done.stdout.split())
    return {"one": one_mb, "added": round(all_mb - one_mb, 1)}


def print_memory(folder: Path, minutes: int, envs: int, kind: str) -> None:
    """Play in one environment, then in `envs`; print the resident memory in MB after the first and the last."""
    run = EnvironmentBench(minutes=(minutes, minutes, minutes))
    tasks, shared = _world("hour", run, folder), VideoLibrary(MediaConfig(), folder / "media")
    made: list[gym.Env[Any, Any]] = []
    for number in range(envs):
        library = shared if kind == "one library" else VideoLibrary(MediaConfig(), folder / "media")
        made.append(_env(TYPED, tasks, library, "frames"))
        calls = _tool_calls(60.0 * minutes, "frame_zoom")
        for name in calls:
            for _ in range(5):
                made[-1].step(next(calls[name]))
        if number in (0, envs - 1):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            print(round(pages * os.sysconf("SC_PAGESIZE") / 1e6, 1))


if __name__ == "__main__":
    main(tyro.cli(EnvironmentBench))
