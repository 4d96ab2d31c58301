"""Random annotation files, tasks, journals, trajectories: rows and records, or one line of ours."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from support import benchmark_files as files
from support.fuzzing import EDITS, Law, as_json, edited, edited_bytes, edited_json, fuzz
from support.small_media import SMALL_MEDIA

from experiments.analysis.accuracy import policy_row
from experiments.runs.journal import read_journal
from experiments.runs.read_run import CONFIG, JOURNAL, METRICS, read_json, read_metrics
from vt_env.benchmarks.audit import audit
from vt_env.benchmarks.readers.registry import read_annotations
from vt_env.benchmarks.scoring.import_replies import read_replies
from vt_env.benchmarks.scoring.replies import reply_of
from vt_env.benchmarks.scoring.scoreboard import score
from vt_env.envs.text_env import LongVideoQATextEnv
from vt_env.episode.trajectory import Trajectory, record_episode
from vt_env.jsonl import append_line, drop_torn_line
from vt_env.tasks.read_rows import load_file, scan_tasks
from vt_env.testing import FakeLibrary, fake_tasks

pytestmark = [pytest.mark.slow, pytest.mark.fuzz, pytest.mark.filterwarnings("ignore")]

Edits = list[tuple[int, int, int, int]]

ANNOTATIONS: tuple[tuple[Any, ...], ...] = (
    tuple(files.video_mme_row(n) for n in (1, 2)),
    tuple(files.v2_row(n) for n in (1, 2, 3, 4)),
    (files.lvbench_video(),),
    tuple(files.mlvu_row(n) for n in (1, 2)),
    (files.mlvu_open_row(),),
    tuple(files.mlvu_test_row(n) for n in (0, 1)),
    tuple(files.longvideobench_row(n) for n in (0, 1)),
    tuple(files.cgbench_row(n) for n in (1, 2)),
    tuple(files.egoschema_row(n) for n in (0, 1)),
    tuple(files.nextqa_row(n) for n in (0, 1)),
    tuple(files.nextqa_row(n, grounded=False) for n in (0, 1)),
)
TASK = {
    "video": "talk.mp4", "question": "which?", "options": ["Oslo", "Lima"], "answer": 1, "evidence": [[1.0, 2.5]],
    "evidence_boxes": [[0.1, 0.2, 0.4, 0.3]], "task_id": "a", "family": "reading", "split": "test", "world": False,
}  # fmt: skip


def written_as(rows: Any, suffix: str) -> str:
    if suffix == "jsonl" and isinstance(rows, list):
        return "".join(f"{as_json(row)}\n" for row in rows)
    if suffix == "csv" and isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
        table = io.StringIO()
        writer = csv.writer(table)
        writer.writerows([list(rows[0]), *(list(row.values()) for row in rows)])
        return table.getvalue()
    return as_json(rows)


def test_any_annotation_file_is_read_row_by_row_or_refused(law: Law, tmp_path: Path) -> None:
    @fuzz(1000, st.sampled_from(ANNOTATIONS), st.sampled_from(["json", "jsonl", "csv"]), EDITS, EDITS)
    def check(rows: tuple[Any, ...], suffix: str, edits: Edits, cuts: Edits) -> None:
        folder = tmp_path / "benchmark"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        text = edited(written_as(edited_json(list(rows), edits), suffix), cuts if len(cuts) < 2 else [])
        path = folder / f"rows.{suffix}"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        annotations = law.read(lambda: read_annotations(folder))
        law.read(lambda: audit(folder).text())
        if annotations is not None and annotations.rows:
            replies = tmp_path / "replies.jsonl"
            sample = {"task_id": annotations.rows[0].task_id, "reply": "A", "doc_id": 0, "resps": [["B"]]}
            replies.write_text(edited(as_json(sample), cuts) + "\n", encoding="utf-8", errors="surrogatepass")
            found = law.read(lambda: read_replies(replies, annotations))
            law.read(lambda: score(annotations, found or {}))

    check()


def test_any_task_file_is_read_line_by_line_or_refused(law: Law, tmp_path: Path) -> None:
    (tmp_path / "talk.mp4").write_bytes(b"not opened")
    path = tmp_path / "tasks.jsonl"

    @fuzz(1000, EDITS, EDITS)
    def check(edits: Edits, flips: Edits) -> None:
        lines = f"{as_json(edited_json(TASK, edits))}\n{as_json(TASK)}\n".encode("utf-8", "surrogatepass")
        path.write_bytes(edited_bytes(lines, flips if len(flips) < 3 else []))
        law.read(lambda: scan_tasks(path))
        tasks = law.read(lambda: load_file(path))
        for task in tasks or ():
            assert task.item.question and len(task.item.options) >= 2

    check()


@pytest.fixture(scope="module")
def records() -> list[str]:
    """Records of played episodes."""
    found: list[str] = []
    for perception in ("frames", "captions"):
        env = LongVideoQATextEnv(fake_tasks(), perception=perception, library=FakeLibrary(), media=SMALL_MEDIA)
        env.reset(seed=0)
        call = '{"name": "%s", "arguments": {"start_s": 1, "end_s": 9}}'
        for text in (call % "frame_zoom", call % "nothing", "nonsense", "<answer>47</answer>"):
            *_, terminated, truncated, _ = env.step(f"<tool_call>{text}</tool_call>" if "{" in text else text)
            if terminated or truncated:
                break
        found.append(record_episode(env.episode, policy="p", seed=0).to_json())
    return found


def test_any_record_is_a_trajectory_that_can_be_summed_up_or_is_refused(law: Law, records: list[str]) -> None:
    parsed = [json.loads(it) for it in records]

    @fuzz(1500, st.sampled_from(range(len(parsed))), EDITS, EDITS)
    def check(number: int, edits: Edits, cuts: Edits) -> None:
        line = edited(as_json(edited_json(parsed[number], edits)), cuts if len(cuts) < 2 else [])
        found = law.read(lambda: Trajectory.from_json(line))
        if found is not None:
            assert Trajectory.from_json(found.to_json()) == found
            law.read(lambda: policy_row("p", [found]))
            law.read(lambda: reply_of(found))
            law.read(lambda: (found.tokens, found.by_reply, found.frames, found.latency_s, found.cost_usd))

    check()


def test_any_journal_is_read_or_refused_and_what_is_appended_is_a_line_of_its_own(
    law: Law, records: list[str], tmp_path: Path
) -> None:
    lines = {JOURNAL: records, METRICS: ['{"event": "opened", "elapsed_s": 0.1}', '{"loss": NaN, "elapsed_s": 2}']}

    @fuzz(1500, st.sampled_from([JOURNAL, METRICS, CONFIG]), EDITS)
    def check(name: str, edits: Edits) -> None:
        path = tmp_path / name
        sound = "\n".join([*lines.get(name, ['{"run": "eval", "seed": 0}']), ""])
        path.write_bytes(edited_bytes(edited(sound, edits[:2]).encode("utf-8", "surrogatepass"), edits[2:]))
        if name == CONFIG:
            law.read(lambda: read_json(path))
            return
        read = {JOURNAL: read_journal, METRICS: read_metrics}[name]
        before = law.read(lambda: read(tmp_path))
        drop_torn_line(path)
        kept = law.read(lambda: read(tmp_path))
        # A diverged loss is read, and as NaN is no JSON it counts as torn where the end of its line is lost, too.
        assert before is None or kept == before or name == METRICS
        append_line(path, lines[name][0])
        after = law.read(lambda: read(tmp_path))
        assert before is None or (after is not None and len(after) == len(kept or []) + 1)

    check()
