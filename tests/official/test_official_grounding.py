"""Official scripts that score spans, options by index and types of questions, and ours, figure by figure.

Annotations are those that lie in the checkouts.
"""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support.benchmark_files import write_json
from support.official_checkouts import Checkouts, checkouts_or_skip
from support.official_figures import board_of, compare, official_of, parts_of, replies_of, replies_to

from vt_env.benchmarks.readers.parse_fields import letter_at
from vt_env.benchmarks.readers.registry import read_annotations
from vt_env.benchmarks.readers.rows import Span
from vt_env.benchmarks.scoring.cgbench_clues import with_clues
from vt_env.benchmarks.scoring.scoreboard import Scoreboard

_CHECKOUTS = checkouts_or_skip("questions", "figures equal")
pytestmark = [pytest.mark.official, pytest.mark.slow]


@pytest.fixture(scope="module")
def checkouts() -> Iterator[Checkouts]:
    yield _CHECKOUTS
    _CHECKOUTS.write_table("grounding.md")


_LONG = "long_acc_gpt-4o_2024-08-06_50_True_True_True"
_CLUE = "clue_acc_gpt-4o_2024-08-06_32_True_True_True"
_MIOU = "miou_gpt-4o_2024-08-06_50_True_True_True"
_AT_IOU = ("acc@iou_gpt-4o_2024-08-06", "rec@iou_gpt-4o_2024-08-06")


def test_cgbench(checkouts: Checkouts, tmp_path: Path):
    random = Random(7)
    utils, stat = checkouts.file("CG-Bench", "run/utils.py"), checkouts.file("CG-Bench", "run/stat_with_key.py")
    annotations = read_annotations(checkouts.file("CG-Bench", "cgbench_mini.json"))
    rows = annotations.rows
    texts, clue_texts = replies_to(rows, seed=7), replies_to(rows, seed=8)
    spans = [_near(random, row.evidence) for row in rows]
    results: list[dict[str, Any]] = [{} for _ in rows]
    as_json = [f"```json\n{json.dumps({'result': it})}\n```" for it in spans]
    for key, mode, replies in ((_LONG, "long_acc", texts), (_CLUE, "clue_acc", clue_texts), (_MIOU, "miou", as_json)):
        args = {"namespace": {"task_mode": mode}}
        calls = [[args, dict(row.raw), reply] for row, reply in zip(rows, replies, strict=True)]
        for held, it in zip(
            results, checkouts.run(tmp_path, "call", file=utils, function="post_process", calls=calls), strict=True
        ):
            held |= {} if it is None else {key: {"version": 1, "result": it}}
    for row, held in zip(rows, results, strict=True):
        write_json(tmp_path / "cg_annotations" / f"{row.question_id}.json", {**row.raw, "results": held})
    keys = ", ".join(map(repr, (_LONG, _CLUE, _MIOU, *_AT_IOU)))
    printed = checkouts.run(tmp_path, "edited_script", file=stat, replaced=f'"{_CLUE}",', by=f"{keys},")
    shares = re.findall(r"Result Key: (\S+)\n.*?Accuracy: ([\d.e-]+)", printed)
    board = board_of(annotations, texts, spans)
    board = with_clues(
        board, annotations, replies_of(rows, texts), {it.task_id: it for it in replies_of(rows, clue_texts).values()}
    )
    spoken = next(it for it in board.grounded if it.rule == "cgbench@intervals").numbers
    ours = {
        _LONG: official_of(board).value,
        _CLUE: official_of(board).others["clue-acc"].value,
        _MIOU: spoken["mIoU"].value,
        _AT_IOU[0]: spoken["acc@IoU"].value,
        _AT_IOU[1]: spoken["rec@IoU"].value,
    }
    official = {key: 100 * float(value) for key, value in shares}
    assert len(official) == 5
    compare(checkouts, ("CG-Bench mini", "CG-Bench", "run/stat_with_key.py"), len(rows), official, ours)


def _near(random: Random, gold: Sequence[Span]) -> tuple[Span, ...]:
    """Draw one to four spans around gold ones: shifted, reversed, empty, overlapping."""
    drawn: list[Span] = []
    for _ in range(random.randint(1, 4)):
        start, end = random.choice(gold)
        moved = (start + random.randint(-9, 9), end + round(random.uniform(-9, 9), 1))
        drawn.append(random.choice((moved, moved, moved, moved[::-1], (start, start))))
    return tuple(drawn)


@pytest.mark.parametrize("split", ["val", "test"])
def test_nextgqa(checkouts: Checkouts, tmp_path: Path, split: str):
    random, ground, qa = Random(9), "code/TempGQA/eval_ground.py", "code/TempGQA/eval_next.py"
    table = checkouts.file("NExT-GQA", f"datasets/nextgqa/{split}.csv")
    gold = json.loads(Path(checkouts.file("NExT-GQA", f"datasets/nextgqa/gsub_{split}.json")).read_text())
    folder = tmp_path / "rows"
    for name in (f"{split}.csv", f"gsub_{split}.json"):
        folder.mkdir(exist_ok=True)
        (folder / name).symlink_to(checkouts.file("NExT-GQA", f"datasets/nextgqa/{name}"))
    annotations = read_annotations(folder, "nextgqa")
    rows = annotations.rows
    picks = [random.choice((row.answer_idx or 0, random.randrange(5))) for row in rows]
    spans = [_near(random, row.evidence or ((0.0, 5.0),))[:1] for row in rows]
    answers = _answers(table)
    result = {
        row.question_id: {"answer": answers[row.question_id], "prediction": pick}
        for row, pick in zip(rows, picks, strict=True)
    }
    predicted = {row.question_id: it[0] for row, it in zip(rows, spans, strict=True)}
    board = board_of(annotations, [letter_at(it) for it in picks], spans)
    cited = next(it for it in board.grounded if it.rule == "nextgqa@eval_ground").numbers

    arguments = [gold, predicted, result]
    printed = checkouts.run(
        tmp_path, "printed", file=checkouts.file("NExT-GQA", ground), function="eval_ground", arguments=arguments
    )
    heads = ("Acc@GQA", "mIoP", "IoP@0.3", "IoP@0.5", "mIoU", "IoU@0.3", "IoU@0.5")
    official = dict(zip(heads, map(float, printed.splitlines()[1].split()), strict=True))
    ours = {name: cited[name].value for name in heads}
    compare(checkouts, (f"NExT-GQA {split}", "NExT-GQA", ground), len(rows), official, ours, digits=1)

    arguments = [{"table": table}, gold, result]
    printed = checkouts.run(
        tmp_path, "printed", file=checkouts.file("NExT-GQA", qa), function="eval_ground", arguments=arguments
    )
    compare(checkouts, (f"NExT-GQA {split}", "NExT-GQA", qa), len(rows), *_by_type(printed, board), digits=2)


@pytest.mark.parametrize("split", ["val", "test"])
def test_nextqa(checkouts: Checkouts, tmp_path: Path, split: str):
    random, file = Random(10), "eval_mc.py"
    table = checkouts.file("NExT-QA", f"dataset/nextqa/{split}.csv")
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / f"{split}.csv").symlink_to(table)
    annotations = read_annotations(tmp_path / "rows" / f"{split}.csv")
    picks = [random.choice((row.answer_idx or 0, random.randrange(5))) for row in annotations.rows]
    answers = _answers(table)
    result = {
        row.question_id: {"answer": answers[row.question_id], "prediction": pick}
        for row, pick in zip(annotations.rows, picks, strict=True)
    }
    arguments = [table, str(write_json(tmp_path / "results.json", result))]
    script = checkouts.file("NExT-QA", file)
    printed = checkouts.run(tmp_path, "printed", file=script, function="accuracy_metric", arguments=arguments)
    board = board_of(annotations, [letter_at(it) for it in picks])
    compare(checkouts, (f"NExT-QA {split}", "NExT-QA", file), len(picks), *_by_type(printed, board), digits=2)


def _answers(table: str) -> dict[str, int]:
    """Read the answers of a CSV file, which are indexes or texts, without the reader that is tested."""
    with Path(table).open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    found: dict[str, int] = {}
    for row in rows:
        options = [row[f"a{idx}"] for idx in range(5)]
        answer = row["answer"]
        video = row["video_id"] if "video_id" in row else row["video"]
        found[f"{video}_{row['qid']}"] = int(answer) if answer.isdecimal() else options.index(answer)
    return found


def _by_type(printed: str, board: Scoreboard) -> tuple[dict[str, float], dict[str, float | None]]:
    """Return the figures that the scripts of NExT-(G)QA print by type of question, and ours."""
    *_, heads, values, whole = printed.splitlines()
    official = dict(zip(heads.split(), map(float, values.split()), strict=True))
    official["Acc"] = float(whole.removeprefix("Acc: "))
    return official, {**parts_of(board.strict, "summary"), "Acc": board.strict.value}
