"""Values that no annotator writes break their own row, and the message is one line."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.benchmark_files import (
    cgbench_row,
    egoschema_row,
    lvbench_question,
    lvbench_video,
    nextqa_row,
    video_mme_row,
    write_csv,
    write_json,
)

from vt_env.benchmarks.readers.parse_fields import idx_of_letter, position_of, quoted
from vt_env.benchmarks.readers.registry import read_annotations
from vt_env.errors import LOUD, ConfigError, DataError


@pytest.mark.parametrize("inner", [None, 7, "x", [lvbench_question()]])
@pytest.mark.parametrize("name", ["qa", "video_info"])
def test_a_row_within_a_row_that_is_no_object_breaks_its_row_alone(tmp_path: Path, name: str, inner: Any):
    if name == "video_info" and not inner:
        pytest.skip("a video may lack it")
    odd = lvbench_video("odd", **({"questions": [inner]} if name == "qa" else {name: inner}))
    annotations = read_annotations(write_json(tmp_path / "a.json", [lvbench_video(), odd]))
    (defect,) = annotations.broken
    assert (len(annotations.rows), defect.where) == (1, "a.json:2") and "need an object" in defect.detail


def test_a_number_beyond_floats_breaks_its_row_alone(tmp_path: Path):
    rows = [cgbench_row(1), cgbench_row(2, duration=10**400), cgbench_row(3, clue_intervals=[[1, 10**400]])]
    annotations = read_annotations(write_json(tmp_path / "a.json", rows))
    assert [defect.where for defect in annotations.broken] == ["a.json:2", "a.json:3"]


def test_a_number_of_thousands_of_digits_is_no_json(tmp_path: Path):
    text = json.dumps([video_mme_row()]).replace('"C"', "9" * 5000)
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.json: damaged"):
        read_annotations(tmp_path)


def test_digits_beyond_counting_are_no_position(tmp_path: Path):
    assert (position_of("3", 4), position_of("4", 4), position_of("9" * 5000, 4)) == (3, None, None)
    rows = [nextqa_row(n, grounded=False) for n in range(2)]
    rows[0]["answer"] = "9" * 5000
    assert read_annotations(write_csv(tmp_path / "val.csv", rows)).benchmark in ("nextqa", "nextgqa")
    write_json(tmp_path / "ego" / "questions.json", [egoschema_row(n, answer="9" * 5000) for n in (0, 1)])
    assert [row.answer_idx for row in read_annotations(tmp_path / "ego").rows] == [None, None]


def test_a_letter_that_is_two_as_a_capital_is_no_option():
    assert (idx_of_letter("b", 3), idx_of_letter("ß", 3), idx_of_letter("ŉ", 3)) == (1, None, None)


def test_what_nobody_foresaw_breaks_its_row_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(LOUD)

    class Odd(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            raise AttributeError("never seen")

    monkeypatch.setattr(
        "vt_env.benchmarks.readers.raw_files._rows", lambda path, data: [Odd(video_mme_row()), video_mme_row(2)]
    )
    (tmp_path / "a.json").write_text("[]")
    annotations = read_annotations(tmp_path)
    assert len(annotations.rows) == 1
    assert "cannot be read (AttributeError: never seen)" in annotations.broken[0].detail


@pytest.mark.parametrize("kind", [DataError, ConfigError])
def test_a_message_for_people_is_one_line_of_bounded_length(kind: type[DataError]):
    told = str(kind("a.json: got 'x\n y" + "z" * 9000 + "'; need a text"))
    assert "\n" not in told and told.startswith("a.json: got 'x y") and told.endswith("; need a text")
    assert len(told) < 1100
    assert len(quoted("x" * 9000)) < 100 and quoted(10**5000) == "a long number"
