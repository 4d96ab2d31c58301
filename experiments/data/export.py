"""Tasks as files for other trainers and harnesses: `vt-env export verl`, `ms-swift` or `lmms-eval`.

    vt-env export verl --tasks talks --split train --out verl-data
    vt-env export verl --tasks talks --split test --out verl-data

writes `train.parquet`, `test.parquet` and `agent_loops.json`, which names the loop of each split with its rules.

    vt-env export ms-swift --tasks talks --split train --out swift-data

writes `train.jsonl`, whose rows name their tasks and rules.

    vt-env export lmms-eval --tasks lvbench --out lmms-tasks

writes the folder of an agentic task. Trajectories are exported by `vt-env synth --export`.
"""

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments.settings.profile import is_world
from experiments.settings.prompts import EpisodeConfig, choose_prompts
from vt_env.config import resolve_budget
from vt_env.errors import ConfigError, DataError
from vt_env.integrations.lmms_eval import METRICS, TASK
from vt_env.integrations.row_checks import check_rows
from vt_env.integrations.shared_source import session_source
from vt_env.integrations.verl.rows import loop_entry, verl_rows
from vt_env.jsonl import replace_file, write_lines
from vt_env.prompts import resolve_prompts
from vt_env.task_sources import load_tasks
from vt_env.tasks.task_set import TaskSet

LOOPS_FILE = "agent_loops.json"
FORMS = ("verl", "ms-swift", "lmms-eval")


@dataclass(frozen=True)
class ExportRun(EpisodeConfig):
    """Write tasks for another trainer or harness."""

    form: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="verl|ms-swift|lmms-eval")] = ()
    """The trainer, `verl` or `ms-swift`, or the harness, `lmms-eval`."""
    out: Path = Path("exported")
    """Folder of the files; other splits in it stay."""
    tasks: str = "world"
    """Name, folder or JSONL file of tasks."""
    split: str | None = None
    """Split of the tasks; by default `train` for a trainer, whose rows are for updates, and `test` for a harness."""
    limit: int | None = None
    """Number of tasks, the first of the split; by default all."""
    budget: str | None = None
    """Budget of an episode: a preset, optionally with changes (`default,max_calls=16`), or changes alone of the
    profile's."""
    rewards: str = "default"
    """Reward preset."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form not in [(it,) for it in FORMS]:
            got = " ".join(self.form) or "no trainer"
            raise ConfigError(
                f"export {got}: allowed are verl, ms-swift and lmms-eval; trajectories for trl, ms-swift, "
                "llama-factory and datasets are written by vt-env synth --export"
            )
        if self.asr or self.screen_text:
            raise ConfigError("--asr and --screen-text: transcribe with vt-env index first; the loop reads the results")

    @property
    def plays_world(self) -> bool:
        """Whether the tasks are of the generated world."""
        return is_world(self.tasks)


def main(run: ExportRun) -> None:
    """Write the files of a split.

    Raises:
        ConfigError: The tasks are not to be trained on, or pyarrow is not installed.
        DataError: The tasks, or the loops of a folder that is there, cannot be read.
    """
    split = run.split or ("test" if run.form == ("lmms-eval",) else "train")
    tasks = load_tasks(run.tasks, split)
    kept = tasks if run.limit is None else tasks.head(run.limit)
    source = {**_source(run), "split": split}
    # What a training would stumble over hours later.
    session_source(source)
    write = {"verl": _write_verl, "ms-swift": _write_ms_swift, "lmms-eval": _write_lmms_eval}[run.form[0]]
    write(run.out, split, kept, source)


def _write_verl(folder: Path, split: str, tasks: TaskSet, source: Mapping[str, Any]) -> None:
    rows = verl_rows(tasks, split, is_training=split == "train")
    loops, entry = folder / LOOPS_FILE, loop_entry(split, source)
    others = [it for it in _read_loops(loops) if it["name"] != entry["name"]]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}.parquet"
    _write_parquet(path, rows)
    with replace_file(loops) as part:
        part.write_text(json.dumps([*others, entry], indent=2) + "\n", encoding="utf-8")
    print(f"{path}: {len(rows)} rows; {loops}: {', '.join(it['name'] for it in (*others, entry))}")


def _write_ms_swift(folder: Path, split: str, tasks: TaskSet, source: Mapping[str, Any]) -> None:
    check_rows(tasks, is_training=split == "train")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{split}.jsonl"
    # The scheduler makes the prompt from the episode; the question is for readers of the rows.
    rows = [
        {
            "messages": [{"role": "user", "content": it.item.question}],
            "task_id": it.item.task_id,
            "env_config": source,
        }
        for it in tasks
    ]
    write_lines(path, map(json.dumps, rows))
    print(f"{path}: {len(rows)} rows")


def _write_lmms_eval(folder: Path, split: str, tasks: TaskSet, source: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = folder / f"{TASK}.jsonl"
    write_lines(rows, (json.dumps({"task_id": it.item.task_id, "question": it.item.question}) for it in tasks))
    rounds = resolve_budget(source["budget"]).max_calls + 1
    texts = {
        f"{TASK}.yaml": _LMMS_TASK.format(
            task=TASK, rows=rows.resolve(), split=split, rounds=rounds, metrics=_metrics()
        ),
        f"{TASK}_functions.py": _LMMS_FUNCTIONS.format(task=TASK),
        f"{TASK}.json": json.dumps(source, indent=2) + "\n",
    }
    for name, text in texts.items():
        with replace_file(folder / name) as part:
            part.write_text(text, encoding="utf-8")
    print(f"{folder}: {len(tasks)} questions; python -m lmms_eval --include_path {folder} --tasks {TASK} --model ...")


_LMMS_TASK = """\
# Written by vt-env export lmms-eval.
task: {task}
dataset_path: json
dataset_kwargs:
  data_files:
    {split}: {rows}
test_split: {split}
output_type: generate_until_agentic
doc_to_visual: !function {task}_functions.doc_to_visual
doc_to_text: !function {task}_functions.doc_to_text
doc_to_target: !function {task}_functions.doc_to_target
process_results: !function {task}_functions.process_results
generation_kwargs:
  max_new_tokens: 1024
  temperature: 0
  do_sample: false
  max_agentic_steps: {rounds}
metric_list:
{metrics}
metadata:
  - version: 1
"""
_LMMS_FUNCTIONS = """\
# Written by vt-env export lmms-eval.
from pathlib import Path

from vt_env.integrations.lmms_eval import AgenticTask

task = AgenticTask(Path(__file__).with_name("{task}.json"))
doc_to_visual, doc_to_text = task.doc_to_visual, task.doc_to_text
doc_to_target, process_results = task.doc_to_target, task.process_results
"""


def _metrics() -> str:
    return "\n".join(f"  - metric: {it}\n    aggregation: mean\n    higher_is_better: true" for it in METRICS)


def _source(run: ExportRun) -> dict[str, Any]:
    """Return the arguments of `SessionSource`, every part of the profile among them; files by absolute paths."""
    chosen = run.chosen
    prompts = choose_prompts(run.prompts, None, other=resolve_prompts(chosen.prompts))
    return {
        "tasks": _absolute(run.tasks),
        "profile": chosen.name,
        "budget": chosen.budget,
        "rewards": run.rewards,
        "tools": run.offered,
        "prompts": _absolute(run.prompts) if run.prompts else prompts.name,
        "encoder": chosen.encoder,
        "media": asdict(chosen.media),
    }


def _absolute(name_or_path: str) -> str:
    return str(Path(name_or_path).resolve()) if Path(name_or_path).exists() else name_or_path


def _write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError as reason:
        raise ConfigError("writing Parquet needs pyarrow: add the extra parquet") from reason
    with replace_file(path) as part:
        parquet.write_table(arrow.Table.from_pylist(list(rows)), part)


def _read_loops(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        loops = json.loads(path.read_text(encoding="utf-8"))
        return [it for it in loops if it["name"]]
    except (ValueError, TypeError, KeyError) as reason:
        raise DataError(f"{path}: no list of agent loops: {reason}; remove the file") from reason
