"""Questions that cannot be used are counted and reported, whatever they come from; the others are asked."""

import json
import shutil
from pathlib import Path

import pytest

from experiments.cli import run
from synth.benchmark_overlap import find_leakage
from synth.load_questions import check_not_empty, load_questions
from vt_env.errors import ConfigError

FIXTURES = Path(__file__).parents[1] / "fixtures"
VIDEO = FIXTURES / "nasa_13013.mp4"
GOOD = {"video": "talk.mp4", "question": "Where?", "options": ["Oslo", "Lima"], "answer": 1, "split": "train"}


def write_tasks(folder: Path, *rows: object) -> Path:
    shutil.copy(VIDEO, folder / "talk.mp4")
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / "tasks.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


BAD_ROWS = {
    "no usable options": [
        {name: it for name, it in GOOD.items() if name != "options"},
        {**GOOD, "options": []},
        {**GOOD, "options": "Oslo"},
    ],
    "duplicate options": [{**GOOD, "options": ["Oslo", "Oslo", "Lima"]}],
    "gold is no option": [{**GOOD, "answer": 2}, {**GOOD, "answer": "Rome"}],
    "duplicate id": [{**GOOD, "task_id": "one", "question": "Who?"}],
    "missing video": [{**GOOD, "video": "gone.mp4"}],
    "unreadable line": ["{", "[]", {**GOOD, "typo": 1}, {name: it for name, it in GOOD.items() if name != "question"}],
    "no answer key": [{name: it for name, it in GOOD.items() if name != "answer"} | {"question": "Why?"}],
}


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_rows_that_cannot_be_used_are_counted_by_kind_and_the_others_are_read(tmp_path: Path, kind: str):
    rows = [{**GOOD, "task_id": "one"}, *BAD_ROWS[kind], {**GOOD, "task_id": "two", "question": "When?"}]
    loaded = load_questions(str(write_tasks(tmp_path, *rows)), "train", captions_needed=False)
    assert [task.item.task_id for task in loaded.tasks] == ["one", "two"]
    assert loaded.counts == {kind: len(BAD_ROWS[kind])}
    assert f"{len(BAD_ROWS[kind])} {kind}, first " in loaded.report()


def test_questions_about_videos_without_captions_are_left_out_where_captions_are_needed(tmp_path: Path):
    loaded = load_questions(str(write_tasks(tmp_path, GOOD)), "train", captions_needed=True)
    assert not loaded.tasks and loaded.counts == {"no captions": 1}
    with pytest.raises(ConfigError, match="1 no captions"):
        check_not_empty(loaded, "mine")


def test_a_file_without_the_split_is_not_read_as_another_one(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"allowed are \['train'\]"):
        load_questions(str(write_tasks(tmp_path, GOOD)), "test", captions_needed=False)


def test_real_annotations_are_read_and_the_missing_videos_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "run"
    assert run(["synth", "--from", str(FIXTURES / "nextgqa"), "--out", str(out)]) == 2
    message = capsys.readouterr().err
    assert "0 questions can be asked, 3358 cannot" in message
    assert "567 of 567 videos are missing: 4882821564, 2435100235, " in message and "and 564 more" in message
    assert len((out / "missing_videos.txt").read_text().splitlines()) == 567
    assert [path.name for path in out.iterdir()] == ["missing_videos.txt"]


def test_real_annotations_by_name_ask_about_the_videos_that_are_there_and_never_train_on_them_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    shutil.copytree(FIXTURES / "nextgqa", tmp_path / "nextgqa")
    shutil.copy(VIDEO, tmp_path / "nextgqa" / "4882821564.mp4")
    monkeypatch.setenv("VT_ENV_DATA", str(tmp_path))
    loaded = load_questions("nextgqa", "train", captions_needed=False)
    assert {Path(task.item.video.path).name for task in loaded.tasks} == {"4882821564.mp4"}
    assert len(loaded.missing_videos) == 566
    assert len(loaded.tasks) + len(loaded.problems) == 3358
    captioned = ["--captions.source", "server", "--out", str(tmp_path / "run")]
    assert run(["synth", "--from", "nextgqa", *captioned]) == 2
    assert "evaluation split" in capsys.readouterr().err


def test_videos_of_benchmarks_are_found_by_their_names_and_by_their_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "nextgqa"
    shutil.copytree(FIXTURES / "nextgqa", folder)
    shutil.copy(VIDEO, folder / "2435100235.mp4")
    monkeypatch.setenv("VT_ENV_DATA", str(tmp_path))
    named, copied, other = tmp_path / "4882821564.mp4", tmp_path / "mine.mp4", tmp_path / "other.mp4"
    named.write_bytes(b"another video")
    shutil.copy(VIDEO, copied)
    other.write_bytes(b"a third one")
    found = find_leakage([named, copied, other])
    assert found.checked == {"nextgqa": 567} and found.counts == {"nextgqa": 2}
    assert found.shared == {"nextgqa": ["2435100235", "4882821564"]}
    assert "lvbench" in found.not_checked
    assert find_leakage([other]).counts == {}
