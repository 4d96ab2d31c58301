"""Writes small copies of public benchmarks: invented rows in the official shapes, with the defects of real ones."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_jsonl(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def write_video(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not decoded here")
    return path


def video_mme_row(number: int = 1, **changes: Any) -> dict[str, Any]:
    video = f"AAAAAAAAAA{(number - 1) // 3}"
    return {
        "video_id": f"{(number - 1) // 3 + 1:03d}",
        "duration": "short",
        "domain": "Knowledge",
        "sub_category": "Astronomy",
        "url": f"https://www.youtube.com/watch?v={video}",
        "videoID": video,
        "question_id": f"{(number - 1) // 3 + 1:03d}-{(number - 1) % 3 + 1}",
        "task_type": "Counting Problem",
        "question": f"How many lamps are lit in part {number}?",
        "options": ["A. One.", "B. Two.", "C. Three.", "D. Four."],
        "answer": "C",
        **changes,
    }


def v2_row(number: int = 1, **changes: Any) -> dict[str, Any]:
    video = (number - 1) // 4 + 1
    letters = "ABCDEFGH"
    return {
        "video_id": f"{video:03d}",
        "url": "https://example.org",
        "group_type": "relevance",
        "group_structure": "[1, 2, 3, 4]",
        "question_id": f"{video:03d}-{(number - 1) % 4 + 1}",
        "question": f"Which tool is used in part {number}?",
        "options": "\n".join(f"{letter}. tool {idx}" for idx, letter in enumerate(letters)),
        "answer": "F",
        "level": "None",
        "second_head": "Action",
        "third_head": "Order",
        **changes,
    }


def lvbench_video(key: str = "BBBBBBBBBBB", questions: Rows | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "key": key,
        "type": "documentary",
        "video_info": {"duration_minutes": 71.5, "fps": 25.0, "resolution": {"width": 1280, "height": 720}},
        "qa": list(questions) if questions is not None else [lvbench_question()],
        **changes,
    }


def lvbench_question(uid: int = 1234, **changes: Any) -> dict[str, Any]:
    return {
        "uid": str(uid),
        "question": "What does the guide lift?\n(A) a map\n(B) a cup\n(C) a rope\n(D) a stone",
        "answer": "B",
        "question_type": ["entity recognition", "key information retrieval"],
        "time_reference": "00:15-00:19",
        **changes,
    }


def mlvu_row(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "video": f"needle_{number}.mp4",
        "duration": 467.9,
        "question": f"What does the boy hold in part {number}?",
        "candidates": ["A cup", "A bat", "A kite", "A book"],
        "answer": "A kite",
        "question_type": "findNeedle",
        **changes,
    }


def mlvu_open_row(**changes: Any) -> dict[str, Any]:
    row = mlvu_row(question_type="subPlot", video="7.mp4", answer="A dog swims at sunset.")
    del row["candidates"]
    return {**row, "scoring_points": ["a dog swims", "the sun sets"], **changes}


def mlvu_test_row(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "video": f"test_AR_{number}.mp4",
        "duration": 500.0,
        "question": f"Which anomaly is in part {number}?",
        "candidates": [f"kind {letter}" for letter in "uvwxyz"],
        "question_type": "anomaly_reco",
        "question_id": f"AR_{number}",
        **changes,
    }


def longvideobench_row(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "video_id": "CCCCCCCCCCC",
        "id": f"CCCCCCCCCCC_{number}",
        "question": f"In the kitchen scene {number}, what is on the shelf?",
        "question_wo_referring_query": "What is on the shelf?",
        "candidates": ["a jar", "a fan", "a bell", "a lamp"],
        "correct_choice": 2,
        "position": [1503, 1560],
        "topic_category": "KH-Knowledge-History",
        "question_category": "S2O",
        "level": "L1-Perception",
        "video_path": "CCCCCCCCCCC.mp4",
        "subtitle_path": "CCCCCCCCCCC_en.json",
        "duration_group": 600,
        "starting_timestamp_for_subtitles": 12.0,
        "duration": 381.2,
        "view_count": 12345,
        **changes,
    }


def cgbench_row(qid: int = 17, **changes: Any) -> dict[str, Any]:
    return {
        "qid": qid,
        "video_uid": "AbC123",
        "question": f"How many bowls are on the bench at {qid}?",
        "answer": "4",
        "choices": ["3", "4", "5", "6", "7"],
        "right_answer": "B",
        "clue_intervals": [[410, 436], [900, 905]],
        "domain": "Life Record",
        "sub_category": "Cooking",
        "duration": 1504,
        **changes,
    }


def egoschema_uid(number: int = 0) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


def egoschema_row(number: int = 0, **changes: Any) -> dict[str, Any]:
    options = {f"option {idx}": f"C does thing {idx}." for idx in range(5)}
    question = f"What is C's main goal in clip {number}?"
    return {"q_uid": egoschema_uid(number), "google_drive_id": "x", "question": question, **options, **changes}


NEXTQA_COLUMNS = ("video_id", "frame_count", "width", "height", "question", "answer", "qid", "type")


def nextqa_row(number: int = 0, gold: int = 2, grounded: bool = True, **changes: Any) -> dict[str, Any]:
    options = [f"thing {idx}" for idx in range(5)]
    answer = options[gold] if grounded else gold
    values = (f"{number // 4}", 900, 640, 480, f"what happens in part {number}", answer, f"{number}", "CW")
    return {
        **dict(zip(NEXTQA_COLUMNS, values, strict=True)),
        **{f"a{idx}": option for idx, option in enumerate(options)},
        **changes,
    }


def write_csv(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
