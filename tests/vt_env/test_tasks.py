"""Tasks from a user's own file: three fields are enough, and every mistake names its line and its remedy."""

import codecs
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.data.video_paths import find_videos
from vt_env.errors import ConfigError, DataError
from vt_env.gold import Gold
from vt_env.task_sources import load_tasks
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.testing import FakeLibrary, fake_task, fake_tasks
from vt_env.types import Box, Interval, VideoRef

ROW: dict[str, Any] = {
    "video": "talks/keynote.mp4",
    "question": "Which city is on the third slide?",
    "options": ["Oslo", "Lima", "Hanoi", "Quito"],
}


def write(folder: Path, *rows: dict[str, Any] | str) -> Path:
    (folder / "talks").mkdir(parents=True, exist_ok=True)
    for name in ("keynote.mp4", "other.mp4", "keynote.srt", "keynote.jsonl"):
        (folder / "talks" / name).touch()
    path = folder / "tasks.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def test_three_fields_are_enough(tmp_path: Path):
    (task,) = load_tasks(write(tmp_path, ROW))
    assert task.item.options == ("Oslo", "Lima", "Hanoi", "Quito")
    assert (task.gold, task.item.split, task.item.family) == (None, "test", "")
    assert task.item.video.path == str(tmp_path / "talks" / "keynote.mp4")
    assert (task.item.video.subtitles_path, task.item.video.captions_path) == (None, None)


def test_all_fields_are_read(tmp_path: Path):
    more = {
        "answer": 2,
        "evidence": [[731.0, 748.5], [5, 6]],
        "evidence_boxes": [[0, 0, 0.5, 1], [0.25, 0.5, 0.75, 1]],
        "subtitles": "talks/keynote.srt",
        "captions": "talks/keynote.jsonl",
        "task_id": "keynote-3",
        "family": "reading",
        "split": "val",
    }
    (task,) = load_tasks(write(tmp_path, {**ROW, **more}))
    assert task.gold == Gold(2, (Interval(731.0, 748.5), Interval(5, 6)), (Box(0, 0, 0.5, 1), Box(0.25, 0.5, 0.75, 1)))
    assert (task.item.task_id, task.item.family, task.item.split) == ("keynote-3", "reading", "val")
    assert task.item.video.subtitles_path == str(tmp_path / "talks" / "keynote.srt")
    assert task.item.video.captions_path == str(tmp_path / "talks" / "keynote.jsonl")


@pytest.mark.parametrize(("answer", "answer_idx"), [(0, 0), (3, 3), ("Hanoi", 2), ("hanoi.", 2), ("D", 3)])
def test_an_answer_is_a_position_or_the_text_of_an_option(tmp_path: Path, answer: object, answer_idx: int):
    (task,) = load_tasks(write(tmp_path, {**ROW, "answer": answer}))
    assert task.gold == Gold(answer_idx)


def test_a_folder_stands_for_its_tasks_file_and_empty_lines_are_skipped(tmp_path: Path):
    write(tmp_path, ROW, "", {**ROW, "question": "Which one is next?"}, "")
    assert len(load_tasks(tmp_path)) == len(load_tasks(str(tmp_path))) == 2


def test_a_split_keeps_its_tasks_and_an_empty_one_names_the_others(tmp_path: Path):
    path = write(tmp_path, {**ROW, "split": "train"}, {**ROW, "question": "b?"})
    assert [task.item.split for task in load_tasks(path)] == ["train", "test"]
    assert [task.item.split for task in load_tasks(path, "train")] == ["train"]
    with pytest.raises(ConfigError, match=r"split='val'.*allowed are \['test', 'train'\]"):
        load_tasks(path, "val")


def test_the_same_rows_have_the_same_ids_and_handles_wherever_they_lie(tmp_path: Path):
    first, second = (load_tasks(write(tmp_path / name, ROW))[0].item for name in ("here", "there"))
    assert (first.task_id, first.video.handle) == (second.task_id, second.video.handle)
    assert len(first.video.handle) == 16 and "keynote" not in first.video.handle


def test_handles_name_videos_and_not_spellings_of_paths(tmp_path: Path):
    rows = [ROW, {**ROW, "video": "./talks/../talks/keynote.mp4", "task_id": "b"}, {**ROW, "video": "talks/other.mp4"}]
    handles = [task.item.video.handle for task in load_tasks(write(tmp_path, *rows))]
    assert handles[0] == handles[1] != handles[2]


def test_a_video_may_be_a_folder_of_pictures_a_link_or_a_full_path(tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "pictures").mkdir(parents=True)
    (elsewhere / "film.mp4").touch()
    data = tmp_path / "data"
    data.mkdir()
    (data / "linked").symlink_to(elsewhere)
    names = ["linked/pictures", "linked/film.mp4", str(elsewhere / "film.mp4")]
    rows = [{**ROW, "video": name, "task_id": name} for name in names]
    paths = [task.item.video.path for task in load_tasks(write(data, *rows))]
    assert paths == [str(elsewhere / "pictures"), *[str(elsewhere / "film.mp4")] * 2]


def test_characters_that_json_allows_inside_a_text_do_not_end_a_line(tmp_path: Path):
    (task,) = load_tasks(write(tmp_path, json.dumps({**ROW, "question": "a\u2028b?"}, ensure_ascii=False)))
    assert task.item.question == "a\u2028b?"


def test_a_byte_order_mark_is_read_over_by_every_loader(tmp_path: Path):
    path = write(tmp_path, ROW)
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert len(load_tasks(path)) == len(find_videos([path])) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "need one JSON object a line"),
        ({"video": "talks/keynote.mp4", "question": "a?"}, "no 'options'; required are video, question, options"),
        ({**ROW, "anwser": 1}, "unknown field 'anwser'.*did you mean 'answer'"),
        ({**ROW, "question": " "}, "question=' '; need a text"),
        ({**ROW, "question": 5}, "question=5; need a text"),
        ({**ROW, "options": "Oslo"}, "options=Oslo; need a list of 2 to 26 texts"),
        ({**ROW, "options": ["Oslo"]}, "need a list of 2 to 26 texts"),
        ({**ROW, "options": [str(number) for number in range(27)]}, "need a list of 2 to 26 texts"),
        ({**ROW, "options": ["Oslo", 3]}, "need a list of 2 to 26 texts"),
        ({**ROW, "options": ["Oslo", "  "]}, "need a list of 2 to 26 texts"),
        ({**ROW, "options": ["Oslo", "Lima", "Oslo "]}, "option 'Oslo' occurs twice"),
        ({**ROW, "answer": 4}, "answer=4; need 0 to 3 or the text of an option"),
        ({**ROW, "answer": -1}, "need 0 to 3"),
        ({**ROW, "answer": True}, "need 0 to 3"),
        ({**ROW, "answer": 1.0}, "need 0 to 3"),
        ({**ROW, "answer": "Paris"}, "answer='Paris'; need 0 to 3"),
        ({**ROW, "answer": 1, "evidence": [[5, 4]]}, r"need \[\[start_s, end_s\], ...\]"),
        ({**ROW, "answer": 1, "evidence": [[0, 10**400]]}, r"need \[\[start_s, end_s\], ...\]"),
        ({**ROW, "video": "あ" * 100}, "File name too long"),
        ({**ROW, "question": "half a \ud83d"}, "question: not valid Unicode"),
        ({**ROW, "options": ["Oslo", "\ud83d"]}, "options: not valid Unicode"),
        ({**ROW, "task_id": "half a \ud83d"}, "task_id: not valid Unicode"),
        ({**ROW, "family": "\ud83d"}, "family: not valid Unicode"),
        (json.dumps(ROW)[:-1] + ', "question": "b?"}', "field 'question' occurs twice; keep one"),
        ({**ROW, "answer": 1, "evidence": 0}, r"need \[\[start_s, end_s\], ...\]"),
        ({**ROW, "answer": 1, "evidence": [5]}, r"need \[\[start_s, end_s\], ...\]"),
        ({**ROW, "answer": 1, "evidence": "here"}, r"need \[\[start_s, end_s\], ...\]"),
        ({**ROW, "answer": 1, "evidence": [[1, 2]], "evidence_boxes": [[0, 0, 1]]}, "evidence_boxes=.*one for each"),
        ({**ROW, "answer": 1, "evidence": [[1, 2]], "evidence_boxes": [[0, 0, 2, 1]]}, "in fractions of the frame"),
        ({**ROW, "answer": 1, "evidence_boxes": [[0, 0, 1, 1]]}, "one for each interval of evidence"),
        ({**ROW, "video": "talks/gone.mp4"}, "video 'talks/gone.mp4' does not exist; paths are relative to this file"),
        ({**ROW, "subtitles": "gone.srt"}, "subtitles 'gone.srt' does not exist"),
        (
            {**ROW, "video": "../secret.mp4"},
            "video '../secret.mp4' leads out of the folder of this file; link it there",
        ),
        ({**ROW, "subtitles": "talks/../../s.srt"}, "subtitles 'talks/../../s.srt' leads out of the folder"),
        ({**ROW, "subtitles": "talks"}, "subtitles 'talks' does not exist"),
        ({**ROW, "captions": 4}, "captions=4; need a text"),
        ({**ROW, "task_id": 4}, "task_id=4; need a text"),
        (ROW, "task_id '[0-9a-f]{16}' occurs twice"),
    ],
)
def test_a_mistake_names_the_file_the_line_and_the_remedy(tmp_path: Path, row: dict[str, Any] | str, message: str):
    path = write(tmp_path, ROW, "", row)
    with pytest.raises(DataError, match=message) as error:
        load_tasks(path)
    assert str(error.value).startswith(f"{path}:3: ") and "\n" not in str(error.value) and len(str(error.value)) < 400


def test_nothing_known_may_be_written_as_null_and_editors_may_mark_the_file(tmp_path: Path):
    path = write(tmp_path, {**ROW, "answer": 1, "evidence": None, "evidence_boxes": None})
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    (task,) = load_tasks(path)
    assert task.gold == Gold(1, ())


def test_more_options_than_letters_are_refused_by_the_record_itself():
    with pytest.raises(ValueError, match="need 2 to 26, all different"):
        replaced(options=tuple(map(str, range(27))))


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path):
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(b'{"question": "\xff"}')
    with pytest.raises(DataError, match="not UTF-8"):
        load_tasks(path)


@pytest.mark.parametrize("tasks", ["wrld", "wrld/needle"])
def test_an_unknown_name_is_refused_with_the_nearest_one(tasks: str):
    with pytest.raises(ConfigError, match=r"no such file or folder; allowed are 'world'.*did you mean 'world'\?"):
        load_tasks(tasks)


def test_the_world_is_loaded_by_name_and_by_family():
    assert len(load_tasks("world", "test")) > 0
    assert {task.item.family for task in load_tasks("world/needle", "test")} == {"needle"}
    with pytest.raises(ConfigError, match="'nedle'"):
        load_tasks("world/nedle", "test")


def test_a_file_or_folder_that_exists_is_no_family_of_the_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    row = {"video": "talks/keynote.mp4", "question": "Where?", "options": ["here", "there"], "answer": 0}
    for folder in ("world", "world/mine"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, row)
    for tasks in ("world/tasks.jsonl", "world/mine"):
        assert [task.item.question for task in load_tasks(tasks)] == ["Where?"]
    assert len(load_tasks("world/counting")) > 1


def test_views_of_a_task_set_are_task_sets():
    tasks = fake_tasks(5)
    assert [task.item.task_id for task in tasks.head(2)] == ["fake/0", "fake/1"]
    assert len(tasks.head(9)) == 5
    assert [task.item.task_id for task in tasks[3:]] == ["fake/3", "fake/4"]
    kept = tasks.filter(lambda item: item.task_id > "fake/2")
    assert [task.item.task_id for task in kept] == ["fake/3", "fake/4"]
    assert tasks.by_id("fake/3") is tasks[3]


def test_shuffling_keeps_all_tasks_and_depends_on_the_generator_alone():
    first, again, other = (fake_tasks(9).shuffle(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert sorted(task.item.task_id for task in other) == [task.item.task_id for task in fake_tasks(9)]


def test_an_unknown_id_is_refused_with_the_nearest_one():
    with pytest.raises(ConfigError, match="did you mean 'fake/2'"):
        fake_tasks().by_id("fake/22")


def test_two_tasks_of_one_id_are_refused():
    with pytest.raises(ConfigError, match="'fake/0' occurs twice"):
        TaskSet((fake_task(), fake_task()))


def test_a_task_set_does_not_print_its_answers():
    assert repr(fake_tasks()) == "TaskSet(3 tasks)"


def test_a_split_is_a_view_and_an_unknown_one_names_the_nearest():
    tasks = TaskSet((fake_task(task_id="a"), replaced(task_id="b", split="train", family="reading")))
    assert [task.item.task_id for task in tasks.split("train")] == ["b"]
    assert (tasks.splits, tasks.families) == (["test", "train"], ["needle", "reading"])
    with pytest.raises(ConfigError, match=r"split='trian'.*did you mean 'train'"):
        tasks.split("trian")


def replaced(gold: Gold | None = None, **changes: Any) -> Task:
    return Task(replace(fake_task().item, **changes), gold)


def test_a_sound_set_has_no_findings():
    tasks = TaskSet((fake_task(), replaced(task_id="fake/1", question="and beside the blue circle?")))
    assert tasks.validate() == tasks.validate(FakeLibrary()) == []


@pytest.mark.parametrize(
    ("task", "finding"),
    [
        (replaced(Gold(4)), "fake/0: answer_idx=4; need 0 to 3"),
        (replaced(Gold(-1)), "fake/0: answer_idx=-1; need 0 to 3"),
        (replaced(options=("Oslo", "oslo.", "Lima")), "fake/0: option "),
        (replaced(options=("Oslo!", "?")), "fake/0: option '?' is not read as itself"),
        (replaced(Gold(0, (Interval(1, 2),), (Box(0, 0, 1, 1),) * 2)), "fake/0: 2 boxes for 1 evidence intervals"),
        (replaced(Gold(0, (Interval(1, 2), Interval(500, 602)))), "fake/0: evidence 08:20-10:02 ends after the video"),
        (replaced(Gold(0, (Interval(590, 600.4),))), ""),
    ],
)
def test_validation_names_what_is_wrong_with_a_task(task: Task, finding: str):
    found = TaskSet((task,)).validate(FakeLibrary())
    assert [it for it in found if it.startswith(finding)] == found
    assert bool(found) == bool(finding)


def test_validation_finds_a_question_that_is_asked_twice_whatever_the_order_of_its_options():
    again = replaced(
        task_id="again", options=("88", "31", "47", "12"), question="What number is  beside the red square?"
    )
    other = replaced(task_id="other", options=("88", "31", "47", "13"))
    assert TaskSet((fake_task(), other)).validate() == []
    assert TaskSet((fake_task(), again)).validate() == ["fake/0 and again: the same question about the same video"]


def test_validation_opens_each_video_once_after_it_was_prepared():
    prepared: list[VideoRef] = []
    tasks = [Task(replace(fake_task().item, task_id=str(i), question=str(i)), None, prepared.append) for i in range(3)]
    assert TaskSet(tuple(tasks)).validate(FakeLibrary()) == []
    assert len(prepared) == 1


def test_a_function_of_the_split_is_a_source_of_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    asked: list[str | None] = []

    def talks(split: str | None):
        asked.append(split)
        yield {**ROW, "answer": "Lima"}
        yield {**ROW, "question": "And in the other one?", "video": "talks/other.mp4", "split": "val"}
        yield fake_task()

    loaded = load_tasks(talks, "train")
    assert asked == ["train"] and [(it.item.split, it.gold) for it in loaded] == [("train", Gold(1))]
    assert loaded[0].item.video.path == str(tmp_path / "talks/keynote.mp4")
    assert [it.item.split for it in load_tasks(talks)] == ["test", "val", "test"]
    with pytest.raises(ConfigError, match=r"split='dev': <lambda> has no task of it; allowed are \['test', 'val'\]"):
        load_tasks(lambda split: list(talks(None))[1:], "dev")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "?"}, "row 2: no 'video'"),
        ({**ROW, "options": ["a"]}, "row 2: options="),
        (5, "row 2: 'int' object"),
    ],
)
def test_a_mistake_of_a_source_names_it_and_its_row(tmp_path: Path, monkeypatch, row: Any, message: str):
    write(tmp_path)
    monkeypatch.chdir(tmp_path)

    def talks(split: str | None):
        return [ROW, row]

    with pytest.raises(DataError, match=f"tasks=talks, {message}"):
        load_tasks(talks)
