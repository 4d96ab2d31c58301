"""Commands that are played by workers: what must be equal to a run in one process."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.killed_commands import WORLD, Place, dataset_of
from support.videos import VideoSpec, write_video

from experiments.analysis.accuracy import PolicyRow
from experiments.cli import run
from experiments.evaluate.eval import EvalRun, evaluate
from experiments.runs.journal import read_journal

AGENT = '''
import os, signal
from pathlib import Path

class Deadly:
    """Ends its process at one task: always, or once where a folder is named."""

    def reset(self, task, observation):
        folder = os.environ.get("DEADLY_ONCE")
        if task.question.endswith("(3)") and not (folder and list(Path(folder).glob("died"))):
            if folder:
                (Path(folder) / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def act(self, observation):
        return "<answer>A</answer>"
'''


@dataclass(frozen=True)
class Folder:
    """Twelve tasks about two small videos, and an agent that ends its process."""

    path: Path

    def evaluate(self, out: Path, agent: str = "random", **changes: Any) -> PolicyRow:
        """Evaluate an agent; `Deadly` is that of the folder."""
        named = f"{self.path / 'agent.py'}:Deadly" if agent == "Deadly" else agent
        return evaluate(EvalRun(agent=named, tasks=str(self.path), out=out, encoder="none", **changes))


def write_folder(path: Path) -> Folder:
    """Write the videos, tasks and agent."""
    path.mkdir()
    for name in ("one", "two"):
        write_video(path / f"{name}.mp4", VideoSpec(subtitles=((0.5, 2.0, f"the code of {name} is 47"),)))
    asked = {"question": "what is the code?", "options": ["12", "47", "31"], "answer": 1, "evidence": [[0.5, 2.0]]}
    asked = [{**asked, "question": f"what is the code? ({n})", "task_id": f"task-{n:02d}"} for n in range(12)]
    rows = [{**row, "video": f"{('one', 'two')[n % 2]}.mp4"} for n, row in enumerate(asked)]
    (path / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (path / "agent.py").write_text(AGENT)
    return Folder(path)


def check_same_evaluation(out: Path, expected: Path) -> None:
    """Compare journals as sorted lines, without times of a clock; the key of the provenance is compared."""
    journals = [sorted(it.without_times().to_json() for it in read_journal(path)) for path in (out, expected)]
    assert journals[0] == journals[1]


def check_same_synthesis(out: Path, expected: Path) -> None:
    """Compare journals as above, and all files of the data sets to the byte."""
    assert dataset_of(Place(out, out, out)) == dataset_of(Place(expected, expected, expected))


def write_world(path: Path) -> None:
    """Write a tiny world to synthesise from."""
    assert run(["world", *map(str, WORLD), "--out", str(path)]) == 0


def synthesise(world: Path, out: Path, *flags: str) -> int:
    """Synthesise with the scripted teacher."""
    arguments: Sequence[str] = ["--tasks", str(world), "--split", "train", "--samples", "2", "--out", str(out)]
    code = run(["synth", *arguments, *flags])
    return code if isinstance(code, int) else 0
