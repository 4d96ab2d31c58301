"""Speed of the viewer over a large journal: `python -m experiments.bench.viewer`.

A synthetic journal of 100,000 episodes of three turns is indexed while the list is asked for, as `vt-env view` does it:
seconds until the first rows, until all are there, and milliseconds of a page of the list under filters, words and
orders, each through the application without a network. Writes `results/viewer.json`.
"""

import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import tyro

from experiments.bench.rescoring import OPTIONS
from experiments.runs.provenance import machine
from experiments.runs.read_run import CONFIG, JOURNAL
from experiments.runs.run_dir import write_json
from experiments.view.selection import Selection
from experiments.view.viewer import Viewer
from vt_env.budget.remaining import Remaining
from vt_env.episode.trajectory import CallRecord, Trajectory, TurnRecord, write_trajectories
from vt_env.types import Interval, StopReason

OUT = Path(__file__).parent / "results" / "viewer.json"
QUERIES = {
    "all": "",
    "one family": "family=family-3",
    "wrong answers with failed actions": "outcome=wrong&failed_min=1",
    "two words": "words=lamp+number+4",
    "a rare word": "words=needle",
    "by reward, the best first": "sort=-reward",
    "page 500 of one policy": "policy=policy-1&page=500&size=50",
}
WORDS = ("lamp", "street", "number", "train", "window", "garden", "minute", "second")


@dataclass(frozen=True)
class ViewerBench:
    """Time the list of a synthetic journal."""

    records: int = 100_000
    """Episodes in the journal."""
    repetitions: int = 9
    """Requests of each kind; the median counts."""
    seed: int = 0
    """Seed of the synthetic journal."""


def main(bench: ViewerBench) -> None:
    """Measure, print and write the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "run"
        folder.mkdir()
        write_json(folder / CONFIG, {"run": "eval", "agent": "synthetic"})
        write_trajectories(folder / JOURNAL, _episodes(bench))
        viewer = Viewer({"run": folder})
        indexing = threading.Thread(target=viewer.index.refresh)
        started = time.perf_counter()
        indexing.start()
        while not viewer.list_episodes(Selection())["rows"]:
            time.sleep(0.005)
        first_s = time.perf_counter() - started
        indexing.join()
        all_s = time.perf_counter() - started
        pages = {title: _median_ms(viewer, query, bench.repetitions) for title, query in QUERIES.items()}
    figures: dict[str, Any] = {
        "records": bench.records,
        "first_rows_s": round(first_s, 3),
        "all_rows_s": round(all_s, 2),
        "page_ms": pages,
        "machine": machine(),
    }
    write_json(OUT, figures)
    print(f"first rows {first_s:.2f} s, all {bench.records} rows {all_s:.1f} s")
    for title, number in pages.items():
        print(f"{title}: {number:.0f} ms")


def _median_ms(viewer: Viewer, query: str, repetitions: int) -> float:
    selection = Selection.read(parse_qsl(query))
    seconds: list[float] = []
    for _ in range(repetitions):
        started = time.perf_counter()
        viewer.list_episodes(selection)
        seconds.append(time.perf_counter() - started)
    return round(1000 * statistics.median(seconds), 1)


def _episodes(bench: ViewerBench) -> Iterator[Trajectory]:
    rng = np.random.default_rng(bench.seed)
    for number in range(bench.records):
        words = " ".join(rng.choice(WORDS, 12))
        rare = " needle" if number % 5000 == 0 else ""
        look = TurnRecord(
            f"I look for the {words}.{rare} <tool_call>{{...}}</tool_call>",
            CallRecord("frame_zoom", {"start_s": 10.0, "end_s": 20.0}),
            "Frames at 00:12 00:17. Left: 7 calls.",
            viewed=(Interval(10, 20),),
            error="malformed" if number % 7 == 0 else None,
        )
        is_right = bool(rng.random() < 0.6)
        yield Trajectory(
            task_id=f"task-{number:06d}",
            video_handle=f"video-{number // 10:05d}",
            question=f"What is beside the {words}, number {number % 97}?",
            options=OPTIONS,
            prompt_text="",
            perception="frames",
            turns=(look, replace(look, error=None), TurnRecord("<answer>A</answer>", None, "The episode is over.")),
            remaining=Remaining(6, 12),
            stop=StopReason.ANSWERED,
            answer="A",
            correct=is_right,
            reward=float(is_right),
            policy=f"policy-{number % 3}",
            family=f"family-{number % 8}",
        )


if __name__ == "__main__":
    main(tyro.cli(ViewerBench))
