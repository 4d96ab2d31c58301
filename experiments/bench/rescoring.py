"""Speed of rescoring finished runs: `python -m experiments.bench.rescoring`.

A synthetic journal of 100,000 episodes of three turns about a synthetic Video-MME of 10,000 videos is scored as by
`vt-env rescore` (official and strict, all divisions, intervals by 10,000 draws of videos) and summarised as by
`vt-env report`. One process on one core; wall and CPU seconds are reported, with those of reading the lines as JSON as
the lower bound. Writes `results/rescoring.json`.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from experiments.analysis.accuracy import summarise
from experiments.analysis.episode_facts import read_facts
from experiments.report.rescore import RescoreRun
from experiments.report.rescore import main as rescore
from experiments.runs.read_run import CONFIG, JOURNAL
from experiments.runs.run_dir import write_json
from vt_env.budget.remaining import Remaining
from vt_env.episode.trajectory import CallRecord, FrameRef, ReplyRecord, Trajectory, TurnRecord, write_trajectories
from vt_env.types import Interval, StopReason

OUT = Path(__file__).parent / "results" / "rescoring.json"
OPTIONS = ("One lamp.", "Two lamps.", "Three lamps.", "Four lamps.")
TASK_TYPES = 12
LETTERS = "ABCD"


@dataclass(frozen=True)
class RescoringBench:
    """Time rescoring and summarising of a synthetic journal."""

    records: int = 100_000
    """Episodes in the journal."""
    per_video: int = 10
    """Questions per video."""
    seed: int = 0
    """Seed of the synthetic journal."""


def main(run: RescoringBench) -> None:
    """Measure, print the seconds and write them."""
    # Otherwise the libraries behind numpy use every core.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder, run)
        lines = (folder / JOURNAL).stat().st_size
        seconds = {
            "reading the lines as JSON": _timed(lambda: _read_lines(folder)),
            "vt-env rescore": _timed(lambda: _rescore(folder, run)),
            "row of vt-env report": _timed(lambda: summarise("invented", read_facts(folder), run.seed)),
        }
    result = {
        "records": run.records,
        "videos": run.records // run.per_video,
        "journal_mb": round(lines / 1e6),
        "cores": 1,
        "python": sys.version.split()[0],
        "seconds": seconds,
    }
    write_json(OUT, result)
    print(json.dumps(result, indent=1))


def _timed(work: Callable[[], object]) -> dict[str, float]:
    start_s, cpu_start_s = time.perf_counter(), time.process_time()
    work()
    wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_start_s
    return {"wall": round(wall_s, 2), "cpu": round(cpu_s, 2)}


def _read_lines(folder: Path) -> None:
    with (folder / JOURNAL).open("rb") as file:
        for line in file:
            json.loads(line)


def _rescore(folder: Path, run: RescoringBench) -> None:
    with redirect_stdout(StringIO()):
        rescore(RescoreRun(folder, folder / "annotations.json", seed=run.seed, out=folder / "scores.json"))


def _write(folder: Path, run: RescoringBench) -> None:
    rng = np.random.default_rng(run.seed)
    gold = rng.integers(len(OPTIONS), size=run.records)
    rows = [_annotation(number, int(gold[number]), run) for number in range(run.records)]
    (folder / "annotations.json").write_text(json.dumps(rows), encoding="utf-8")
    write_json(folder / CONFIG, {"run": "eval", "agent": "invented", "tasks": str(folder), "split": "test"})
    write_trajectories(folder / JOURNAL, _episodes(gold, run, rng))


def _annotation(number: int, gold: int, run: RescoringBench) -> dict[str, Any]:
    video = f"video{number // run.per_video:05d}"
    return {
        "video_id": video,
        "videoID": video,
        "question_id": str(number),
        "duration": ("short", "medium", "long")[number // run.per_video % 3],
        "domain": f"domain {number % 6}",
        "sub_category": f"part {number % 30}",
        "task_type": f"type {number % TASK_TYPES}",
        "question": f"How many lamps are lit in part {number}?",
        "options": [f"{letter}. {option}" for letter, option in zip(LETTERS, OPTIONS, strict=True)],
        "answer": LETTERS[gold],
    }


def _episodes(gold: Any, run: RescoringBench, rng: np.random.Generator) -> Iterator[Trajectory]:
    answers = np.where(rng.random(run.records) < 0.6, gold, rng.integers(len(OPTIONS), size=run.records))
    starts = rng.integers(1000, size=(run.records, 2))
    for number in range(run.records):
        video = f"video{number // run.per_video:05d}"
        question = f"How many lamps are lit in part {number}?"
        lettered = "".join(f"{letter}. {option}\n" for letter, option in zip(LETTERS, OPTIONS, strict=True))
        letter = LETTERS[int(answers[number])]
        text = "nobody knows" if number % 50 == 0 else f"({letter})"
        looks = tuple(_look(video, float(start_s)) for start_s in starts[number])
        final = TurnRecord(f"Seen at 03:10-03:20. <answer>{text}</answer>", None, "The episode is over.")
        yield Trajectory(
            task_id=f"video_mme/{number}",
            video_handle=video,
            question=question,
            options=OPTIONS,
            prompt_text=f"Question: {question}\n{lettered}Video 20:00 long. Left: 8 calls, 16 frames.",
            perception="frames",
            turns=(*looks, final),
            remaining=Remaining(6, 8),
            stop=StopReason.ANSWERED,
            answer=text,
            correct=bool(number % 50 != 0 and answers[number] == gold[number]),
            policy="invented",
            family=("short", "medium", "long")[number // run.per_video % 3],
        )


def _look(video: str, start_s: float) -> TurnRecord:
    frames = tuple(FrameRef(video, start_s + 2.5 * number, None, (112, 112)) for number in range(4))
    reply = ReplyRecord(prompt_tokens=900, image_tokens=64, completion_tokens=40, latency_s=0.5)
    text = '<tool_call>\n{"name": "frame_zoom", "arguments": {"start_s": "03:10", "end_s": "03:20"}}\n</tool_call>'
    return TurnRecord(
        text,
        CallRecord("frame_zoom", {"start_s": start_s, "end_s": start_s + 10}),
        "Frames at 03:11 03:14 03:16 03:19.\nLeft: 6 calls, 8 frames.",
        frames,
        (Interval(start_s, start_s + 10),),
        reply=reply,
    )


if __name__ == "__main__":
    main(tyro.cli(RescoringBench))
