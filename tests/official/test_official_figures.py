"""Official scripts and ours on the same files of replies, figure by figure.

Annotations are those that lie in the checkout. Where it holds none, generated rows of the official number.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support.adversarial_replies import adversarial_replies
from support.benchmark_files import (
    egoschema_row,
    longvideobench_row,
    lvbench_question,
    lvbench_video,
    mlvu_test_row,
    v2_row,
    video_mme_row,
    write_json,
    write_jsonl,
)
from support.official_checkouts import Checkouts, checkouts_or_skip
from support.official_figures import board_of, compare, official_of, parts_of, replies_of, replies_to

from vt_env.benchmarks.readers.parse_fields import letter_at
from vt_env.benchmarks.readers.registry import read_annotations
from vt_env.benchmarks.scoring.export import submission
from vt_env.benchmarks.scoring.official_rules import RULES
from vt_env.benchmarks.scoring.scoreboard import score
from vt_env.benchmarks.scoring.verdicts import guess

_CHECKOUTS = checkouts_or_skip("questions", "figures equal")
pytestmark = [pytest.mark.official, pytest.mark.slow]
_PRINTED = re.compile(r"^(.+?)\s*: +(-?[\d.]+)%$")


@pytest.fixture(scope="module")
def checkouts() -> Iterator[Checkouts]:
    yield _CHECKOUTS
    _CHECKOUTS.write_table("figures.md")


def video_mme_sections(text: str) -> dict[tuple[str, str, str], float]:
    """Parse what Video-MME's script prints: scope, kind of category, category."""
    found: dict[tuple[str, str, str], float] = {}
    scope = kind = ""
    for line in text.splitlines():
        if line.startswith("Evaluation on"):
            scope = line.rpartition(" ")[2]
        elif printed := _PRINTED.match(line):
            found[scope, kind, printed[1]] = float(printed[2])
        elif line.strip("-= "):
            kind = {"Domains": "domain", "Sub Categories": "sub_category", "Task Categories": "task_type"}.get(
                line.removeprefix("Video ").strip(), "domain" if line == "Video Categories" else "overall"
            )
    return found


@pytest.mark.parametrize(
    ("checkout", "file", "rule", "names"),
    [
        (
            *("Video-MME", "evaluation/eval_your_results.py", "video_mme@2024"),
            {"duration": "duration_category", "domain": "video_category", "sub_category": "video_subcategory"},
        ),
        ("parse_answer", "eval_your_results.py", "video_mme@parse_answer", {}),
    ],
)
def test_video_mme(checkouts: Checkouts, tmp_path: Path, checkout: str, file: str, rule: str, names: dict[str, str]):
    template = json.loads(Path(checkouts.file("Video-MME", "evaluation/output_test_template.json")).read_text())
    columns = {"duration": "duration_category", "domain": "video_category", "sub_category": "video_subcategory"}
    rows: list[dict[str, Any]] = []
    for video in template:
        whole = {key: video[name] for key, name in columns.items()} | {"videoID": f"v{video['video_id']}"}
        for it in video["questions"]:
            row = {key: it[key] for key in ("question_id", "task_type", "question", "answer")}
            rows.append(video_mme_row(**whole, **row, options=it["choices"]))
    annotations = read_annotations(write_json(tmp_path / "rows" / "a.json", rows))
    texts = replies_to(annotations.rows, seed=1)
    queue = iter(texts)
    for video in template:
        for key, name in columns.items():
            video[names.get(key, key)] = video[name]
        for it in video["questions"]:
            it["response"] = next(queue)
    flags = [f"--return_{kind}_accuracy" for kind in ("categories", "sub_categories", "task_types")]
    argv = [
        "--results_file",
        str(write_json(tmp_path / "r.json", template)),
        "--video_duration_type",
        "short,medium,long",
    ]
    printed = checkouts.run(tmp_path, "script", file=checkouts.file(checkout, file), argv=[*argv, *flags])
    official = video_mme_sections(printed)
    ours: dict[Any, float | None] = {}
    for scope in ("short", "medium", "long", "dataset"):
        chosen = [n for n, row in enumerate(annotations.rows) if scope in ("dataset", row.labels["duration"][0])]
        part = replace(annotations, rows=tuple(annotations.rows[n] for n in chosen))
        scored = official_of(board_of(part, [texts[n] for n in chosen], rule=rule))
        ours[scope, "overall", "Overall"] = scored.value
        labels = ("domain", "sub_category", "task_type")
        ours |= {(scope, label, name): it for label in labels for name, it in parts_of(scored, label).items()}
    ours = dict.fromkeys(official, 0.0) | ours
    assert len(official) == 4 * (1 + 6 + 30 + 12)
    compare(checkouts, (f"Video-MME, {rule}", checkout, file), len(texts), official, ours, digits=1)


def test_video_mme_v2(checkouts: Checkouts, tmp_path: Path):
    random = Random(2)
    structures = ("[1, 2, 3, 4]", "[1, [2, 3], 4]", "[[1, 2], 3, 4]")
    raw = [
        v2_row(
            number,
            group_type=random.choice(("relevance", "logic")),
            group_structure=random.choice(structures),
            level=random.choice("123"),
            second_head=f"head {random.randrange(8)}",
            third_head=f"kind {random.randrange(30)}",
            answer=random.choice("ABCDEFGH"),
        )
        for number in range(1, 3201)
    ]
    annotations = read_annotations(write_json(tmp_path / "rows" / "a.json", raw))
    # The script keeps replies in a table that carriage returns and NUL break, so that it ends in an IndexError.
    texts = [
        text.replace("\r", "\n").replace("\x00", "").strip()
        for text in replies_to(annotations.rows, seed=2, right=0.6, surrogates=False)
    ]
    rows = [{**row, "index": idx, "prediction": text} for idx, (row, text) in enumerate(zip(raw, texts, strict=True))]
    file = "evaluation/test_video_mme_v2.py"
    script = checkouts.file("Video-MME-v2", file)
    found = checkouts.run(tmp_path, "mme_v2", file=script, rows=rows, output=str(tmp_path / "r.tsv"))
    final = found["final_rating"]
    accuracy = re.search(r"Simple accuracy \(valid only\): ([\d.]+)%", found["printed"])
    assert accuracy is not None
    official = {
        "total": final["total"],
        **{("group_type", kind): final[f"{kind}_score"] for kind in ("relevance", "logic")},
        **{("level", level): final[f"level_{level}"] for level in "123"},
        **{
            (label, name): it
            for label in ("second_head", "third_head")
            for name, it in found[f"{label}_rating"].items()
        },
    }
    scored = official_of(board_of(annotations, texts))
    labels = ("group_type", "level", "second_head", "third_head")
    ours = {"total": scored.value, **{(it, part): x for it in labels for part, x in parts_of(scored, it).items()}}
    compare(checkouts, ("Video-MME-v2", "Video-MME-v2", file), len(texts), official, ours)
    assert scored.others["Avg Acc"].value == pytest.approx(float(accuracy[1]), abs=0.005)


def test_lvbench(checkouts: Checkouts, tmp_path: Path):
    random = Random(3)
    kinds = ("key information retrieval", "event understanding", "summarization", "entity recognition", "reasoning")
    videos = [
        lvbench_video(
            f"video{video:06d}",
            [
                lvbench_question(
                    uid, answer=random.choice("ABCD"), question_type=random.sample(kinds, random.randint(1, 3))
                )
                for uid in range(video, 1549, 103)
            ],
        )
        for video in range(103)
    ]
    path = write_jsonl(tmp_path / "rows" / "video_info.meta.jsonl", videos)
    annotations = read_annotations(path)
    texts = replies_to(annotations.rows, seed=3, letters="ABCD")
    util, metric = "lvbench/utils/answer_util.py", "lvbench/metrics/compute_accuracy.py"
    polish, script = checkouts.file("LVBench", util), checkouts.file("LVBench", metric)
    letters = checkouts.run(tmp_path, "call", file=polish, function="polish_answer", calls=[[it] for it in texts])
    answers = write_json(
        tmp_path / "answers.json", {row.question_id: it for row, it in zip(annotations.rows, letters, strict=True)}
    )
    found = checkouts.run(tmp_path, "lvbench", file=script, answers=str(answers), annotations=str(path))
    scored = official_of(board_of(annotations, texts))
    ours = {**parts_of(scored, "ability"), "acc": scored.value}
    official = {name: 100 * value for name, value in found.items()}
    compare(checkouts, ("LVBench", "LVBench", metric), len(texts), official, ours)


def test_longvideobench(checkouts: Checkouts, tmp_path: Path):
    random = Random(4)
    raw = [
        longvideobench_row(
            number,
            candidates=[f"thing {idx}" for idx in range(random.choice((4, 5)))],
            correct_choice=random.randrange(4),
            duration_group=random.choice((15, 60, 600, 3600)),
            question_category=random.choice(("S2O", "T3E", "TOS", "SSS")),
        )
        for number in range(1337)
    ]
    annotations = read_annotations(write_json(tmp_path / "rows" / "lvb_val.json", raw))
    texts = replies_to(annotations.rows, seed=4, letters="ABCDE")
    docs = [{**it, **{f"option{n}": [*it["candidates"], "N/A"][n] for n in range(5)}} for it in raw]
    rule = RULES["longvideobench@official"]
    # The task draws at random; it is given what is drawn here.
    drawn = [letter_at(guess(row, 0)) for row, it in zip(annotations.rows, texts, strict=True) if not rule.extract(it)]
    file = "lmms_eval/tasks/longvideobench/utils.py"
    script = checkouts.file("lmms-eval", file)
    found = checkouts.run(tmp_path, "longvideobench", file=script, docs=docs, replies=texts, drawn=drawn)
    scored = official_of(board_of(annotations, texts))
    official = {name: 100 * it["acc"] for name, it in found["logged"].items()}
    ours = {
        **parts_of(scored, "duration_group"),
        **parts_of(scored, "question_category"),
        "Overall": scored.value,
    }
    assert scored.guessed == len(drawn) > 50
    compare(checkouts, ("LongVideoBench", "lmms-eval", file), len(texts), official, ours, digits=3)


def test_mlvu_dev(checkouts: Checkouts, tmp_path: Path):
    file = "evaluation/multiple_choice_evaluation/choice_bench.py"
    script, folder = checkouts.file("MLVU", file), checkouts.file("MLVU", "data")
    annotations = read_annotations(folder, "mlvu_dev")
    rows = tuple(row for row in annotations.rows if not row.is_open)
    annotations = replace(annotations, rows=rows)
    texts = replies_to(rows, seed=5, letters="ABCD")
    # The order in which the script takes the files.
    tasks = ("count", "ego", "needle", "order", "plotQA", "anomaly_reco", "topic_reasoning")
    order = [n for task in tasks for n, row in enumerate(rows) if row.labels["task"] == (task,)]
    found = checkouts.run(tmp_path, "mlvu_dev", file=script, data=folder, replies=[texts[n] for n in order])
    scored = official_of(board_of(annotations, texts))
    ours = {**parts_of(scored, "task"), "Avg": scored.value}
    compare(checkouts, ("MLVU dev", "MLVU", file), len(texts), found, ours)


def test_mlvu_test_submits_the_letters_that_are_scored_here(checkouts: Checkouts, tmp_path: Path):
    raw = [mlvu_test_row(number) for number in range(12_000)]
    texts, file = adversarial_replies(len(raw), seed=6, letters="ABCDEF"), "evaluation_test/test_bench.py"
    script, questions = checkouts.file("MLVU", file), write_json(tmp_path / "test_question.json", raw)
    found = checkouts.run(tmp_path, "mlvu_test", file=script, questions=str(questions), replies=texts)
    letters = ["".join(RULES["mlvu_test@test_bench"].extract(text)) for text in texts]
    # Its server compares the whole text with a letter, so that a longer one is wrong as an unread one is here.
    official = [it["option"] if len(it["option"]) == 1 else "" for it in found]
    differing = [it for it in zip(texts, official, letters, strict=True) if it[1] != it[2]]
    same = f"{len(texts) - len(differing):,} of {len(texts):,} options"
    checkouts.record("MLVU test", "MLVU", file, f"{len(texts):,}", same)
    assert not differing, differing[:5]


def test_egoschema_s_submission_is_what_its_script_sends(checkouts: Checkouts, tmp_path: Path):
    uids = list(json.loads(Path(checkouts.file("EgoSchema", "uid_to_ego4d.json")).read_text()))
    gold = json.loads(Path(checkouts.file("EgoSchema", "subset_answers.json")).read_text())
    random, file = Random(11), "validate.py"
    script = checkouts.file("EgoSchema", file)
    write_json(tmp_path / "rows" / "questions.json", [egoschema_row(n, q_uid=uid) for n, uid in enumerate(uids)])
    write_json(tmp_path / "rows" / "subset_answers.json", gold)
    annotations = read_annotations(tmp_path / "rows", "egoschema")
    picks = [random.randrange(5) for _ in annotations.rows]
    texts = [letter_at(it) for it in picks]
    replies = replies_of(annotations.rows, texts)
    written = write_json(tmp_path / "submission.json", submission(annotations, replies))
    sent = checkouts.run(tmp_path, "posted", file=script, argv=["--f", str(written)])
    assert sent == {row.question_id: pick for row, pick in zip(annotations.rows, picks, strict=True)}
    in_subset = {row.task_id: replies[row.task_id] for row in annotations.rows if row.question_id in gold}
    right = sum(sent[uid] == it for uid, it in gold.items())
    board = score(annotations, in_subset)
    compare(
        checkouts,
        ("EgoSchema, subset", "EgoSchema", file),
        len(uids),
        {"accuracy": 100 * right / len(gold)},
        {"accuracy": board.strict.value},
    )
