"""Files of lines are read to their whole last line, and replaced whole or not at all; records come back equal."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vt_env.errors import DataError
from vt_env.jsonl import (
    append_line,
    decode_json,
    decode_record,
    drop_torn_line,
    encode_record,
    read_jsonl,
    replace_file,
    write_lines,
)
from vt_env.types import Interval

WHOLE = b'{"n": 1}\n{"n": 2}\n'
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@dataclass(frozen=True, slots=True)
class Note:
    """A record as others are."""

    text: str
    intervals: tuple[Interval, ...] = ()
    score: float | None = None


NOTES = st.builds(
    Note,
    st.text(st.characters(exclude_categories=())),
    st.lists(st.builds(lambda start_s, s: Interval(start_s, start_s + s), st.floats(0, 9), st.floats(1, 9))).map(tuple),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
)


@pytest.mark.parametrize("tail", [b'{"n"', b'{"n": 3', b"\xe2", b'{"n": NaN}'])
def test_a_torn_last_line_is_left_out_only_where_that_is_asked_for(tmp_path: Path, tail: bytes):
    path = tmp_path / "some.jsonl"
    path.write_bytes(WHOLE + tail)
    assert list(read_jsonl(path, skip_torn=True)) == [{"n": 1}, {"n": 2}]
    with pytest.raises(DataError, match=r"some\.jsonl:3: .*; write it again"):
        list(read_jsonl(path, remedy="write it again"))


def test_a_last_line_without_a_line_end_that_is_json_is_a_line(tmp_path: Path):
    path = tmp_path / "some.jsonl"
    path.write_bytes(WHOLE + b'{"n": 3}')
    drop_torn_line(path)
    append_line(path, '{"n": 4}')
    assert [row["n"] for row in read_jsonl(path, skip_torn=True)] == [1, 2, 3, 4]


def test_damage_in_the_middle_and_in_a_whole_last_line_is_never_torn(tmp_path: Path):
    path = tmp_path / "some.jsonl"
    for text, number in ((b'{"n"\n{"n": 2}\n', 1), (b'{"n": 1}\n[2]', 2)):
        path.write_bytes(text)
        with pytest.raises(DataError, match=f":{number}: "):
            list(read_jsonl(path, skip_torn=True))


def test_lines_are_numbered_as_an_editor_does_and_only_a_line_feed_ends_one(tmp_path: Path):
    path = tmp_path / "some.jsonl"
    path.write_text('{"n": "a\u2028b\x85c"}\r\n\n  \n{"n"}\n', encoding="utf-8", newline="")
    with pytest.raises(DataError, match=":4: "):
        list(read_jsonl(path))
    assert next(read_jsonl(path)) == {"n": "a\u2028b\x85c"}


def test_a_torn_line_is_cut_off_and_what_is_appended_begins_a_line(tmp_path: Path):
    path = tmp_path / "some.jsonl"
    drop_torn_line(path)
    assert not path.exists()
    for tail, left in ((b'{"n', WHOLE), (b"", WHOLE), (b'{"n": 3}', WHOLE + b'{"n": 3}')):
        path.write_bytes(WHOLE + tail)
        drop_torn_line(path)
        assert path.read_bytes() == left
    append_line(path, "{}")
    append_line(path, "{}")
    assert path.read_bytes() == WHOLE + b'{"n": 3}\n{}\n{}\n'


def test_a_file_is_replaced_whole_and_what_fails_leaves_the_old_one(tmp_path: Path):
    path = tmp_path / "folder" / "some.txt"
    write_lines(path, ["old"])
    with pytest.raises(ZeroDivisionError):
        write_lines(path, (str(1 // number) for number in (1, 0)))
    assert path.read_text() == "old\n" and [it.name for it in path.parent.iterdir()] == ["some.txt"]


def test_a_folder_takes_the_place_of_the_one_that_was_there(tmp_path: Path):
    for name in ("first", "second"):
        with replace_file(tmp_path / "data") as part:
            part.mkdir()
            (part / name).touch()
    assert [it.name for it in (tmp_path / "data").iterdir()] == ["second"]


def test_a_file_never_takes_the_place_of_a_folder_nor_a_folder_that_of_a_file(tmp_path: Path):
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("mine")
    folder.mkdir()
    with pytest.raises(OSError, match="directory") as refusal:
        write_lines(folder, ["new"])
    assert refusal.value.filename == str(folder)
    with pytest.raises(OSError, match="directory") as refusal, replace_file(file) as part:
        part.mkdir()
    assert refusal.value.filename == str(file)
    assert file.read_text() == "mine" and sorted(tmp_path.iterdir()) == [file, folder]


def test_what_a_killed_writer_left_is_in_nobody_s_way(tmp_path: Path):
    path = tmp_path / "some.txt"
    write_lines(path, ["old"])
    killed = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom vt_env.jsonl import replace_file\n"
        "with replace_file(Path(sys.argv[1])) as part:\n"
        "    part.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", killed, str(path)], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old\n" and len(list(tmp_path.iterdir())) == 2
    write_lines(path, ["new"])
    assert path.read_text() == "new\n" and len(list(tmp_path.iterdir())) == 1


@given(VALUES)
def test_json_is_decoded_as_the_standard_library_does(value: object):
    assert decode_json(json.dumps(value)) == value


@given(NOTES)
def test_a_record_is_one_ascii_line_and_comes_back_equal_half_characters_included(note: Note):
    line = encode_record(note)
    assert line.isascii() and "\n" not in line and decode_record(line, Note) == note


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_neither_written_nor_read(value: float):
    with pytest.raises(ValueError, match="JSON compliant"):
        encode_record(Note("", score=value))
    with pytest.raises(ValueError, match="need a finite number"):
        decode_record(json.dumps({"text": "", "score": value}), Note)
    with pytest.raises(ValueError, match="finite"):
        decode_json("1e999")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "missing required field `text`"),
        ({"text": 3}, r"Expected `str`, got `int` - at `\$.text`"),
        ({"text": "", "mood": 1}, "unknown field 'mood'"),
        ({"text": "", "intervals": [{"start_s": 0, "end_s": 1, "mood": 1}]}, "unknown field 'mood'"),
        ({"text": "", "intervals": [{"start_s": 2, "end_s": 1}]}, "need 0 <= start_s < end_s"),
        ([], "need a JSON object"),
    ],
)
def test_what_is_no_such_record_is_refused_in_one_line(row: object, message: str):
    with pytest.raises(ValueError, match=message) as error:
        decode_record(json.dumps(row), Note)
    assert "\n" not in str(error.value)
