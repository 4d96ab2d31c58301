"""Cost of a call through engines beside a bare episode: `python -m experiments.bench.engines --out FILE.json`.

Each call looks at two frames of a camera-like video. What is installed is measured, so the command is run once in each
environment of `.ci/engines` with the same `--out`, which keeps the rows of the others. `encoding` is a call of a
session whose frames are written as content, without a protocol.

| number | meaning |
|---|---|
| `cpu_ms`, `wall_ms` | time of one call, median over rounds, in milliseconds |
| `overhead_ms` | `cpu_ms` less that of the bare episode; target 2 in process, 10 over HTTP, at 16 episodes |
| `ratio` | the same two divided |

Ray's actors are other processes, whose CPU time is not seen: its overhead and ratio are of `wall_ms`. Each round
measures every way in turn, so that neither other work nor a change of clock rate favours one of them.
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import tyro

from experiments.bench.engine_paths import DURATION_S, PATHS, Play, Scene, is_here
from experiments.bench.fixtures.camera_like_video import write_pictures
from experiments.runs.provenance import machine, package_version
from experiments.runs.run_dir import write_json
from vt_env.config import MediaConfig
from vt_env.episode.serialisers import PictureFormat
from vt_env.integrations.shared_source import session_source

ENDLESS = "max_calls=1000000,max_frames=10000000,frames_per_zoom=2"
"""Budget that a benchmark does not exhaust."""
PACKAGES = ("mcp", "openenv", "verl", "ray", "uvicorn")


@dataclass(frozen=True)
class EnginesBench:
    """Measure calls through engines."""

    out: Path | None = None
    """JSON file to write; rows of other environments in it stay."""
    only: tuple[str, ...] = ()
    """Ways to measure beside the bare episode; all that are installed by default."""
    episodes: tuple[int, ...] = (1, 16, 64)
    """Numbers of episodes at once."""
    max_pixels: tuple[int, ...] = (112 * 112,)
    """Budgets of pixels a frame."""
    formats: tuple[PictureFormat, ...] = ("png", "jpeg")
    """Formats of frames on the wire."""
    rounds: int = 7
    """Rounds; medians are taken over them."""
    calls: int = 4
    """Calls of each episode in a round."""


def main(run: EnginesBench) -> None:
    """Measure, print the numbers and write them to `out`."""
    names = [it for it in PATHS if is_here(it) and (not run.only or it in ("episode", *run.only))]
    measured: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        video = Path(folder, "talk.mp4")
        write_pictures(video, DURATION_S)
        row = {"video": video.name, "question": "What is it?", "options": ["a talk", "a film"], "answer": 0}
        tasks = Path(folder, "tasks.jsonl")
        tasks.write_text(json.dumps({**row, "task_id": "talk", "split": "test"}) + "\n", encoding="utf-8")
        for max_pixels in run.max_pixels:
            config = {
                "tasks": str(tasks),
                "budget": ENDLESS,
                "profile": "world",
                "prompts": "tiny",
                "tools": "default",
                "media": asdict(MediaConfig(max_pixels=max_pixels)),
            }
            for picture_format in run.formats:
                for count in run.episodes:
                    scene = Scene(session_source(config), Path(folder), config, count, run.calls, picture_format)
                    times = asyncio.run(_measure(run, names, scene))
                    shown = {"max_pixels": max_pixels, "format": picture_format, "episodes": count}
                    measured += [{**shown, **it} for it in _summary(times)]
                    print(json.dumps(measured[-len(times) :]), flush=True)
    if run.out is not None:
        _write(run, names, measured)


def _write(run: EnginesBench, names: Sequence[str], measured: list[dict[str, Any]]) -> None:
    assert run.out is not None
    record = json.loads(run.out.read_text(encoding="utf-8")) if run.out.is_file() else {"environments": []}
    # An environment is known by what it measures besides the bare episode.
    own = [list(names), list(run.max_pixels)]
    others = [it for it in record["environments"] if [it["ways"], it["max_pixels"]] != own]
    found = {it: package_version(it) for it in PACKAGES}
    entry = {
        "ways": list(names),
        "max_pixels": list(run.max_pixels),
        "versions": {name: it for name, it in found.items() if it is not None},
        "machine": machine(),
        "rounds": run.rounds,
        "calls": run.calls,
        "measured": measured,
    }
    write_json(run.out, {"command": "python -m experiments.bench.engines", "environments": [*others, entry]})


def _summary(times: Mapping[str, Sequence[tuple[float, float]]]) -> list[dict[str, Any]]:
    medians = {name: [1e3 * median(column) for column in zip(*rounds, strict=True)] for name, rounds in times.items()}
    rows: list[dict[str, Any]] = []
    for name, (cpu_ms, wall_ms) in medians.items():
        at = 1 if name == "ray" else 0
        own, base = medians[name][at], medians["episode"][at]
        numbers = {"cpu_ms": cpu_ms, "wall_ms": wall_ms, "overhead_ms": own - base, "ratio": own / base}
        rows.append({"way": name, **{key: round(it, 2) for key, it in numbers.items()}})
    return rows


async def _measure(run: EnginesBench, names: Sequence[str], scene: Scene) -> dict[str, list[tuple[float, float]]]:
    """Return CPU and wall seconds of a call, one pair a round, by way."""
    async with AsyncExitStack() as stack:
        plays: dict[str, Play] = {name: await PATHS[name][1](stack, scene) for name in names}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        for number in range(run.rounds + 1):
            for name, play in plays.items():
                cpu_s, wall_s = time.process_time(), time.perf_counter()
                await play()
                each = run.calls * scene.episodes
                pair = ((time.process_time() - cpu_s) / each, (time.perf_counter() - wall_s) / each)
                # The first round is not counted: it warms connections and caches.
                times[name] += [pair] if number else []
        return times


if __name__ == "__main__":
    main(tyro.cli(EnginesBench))
