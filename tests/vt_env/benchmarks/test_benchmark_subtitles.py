"""Subtitle formats of benchmarks are converted to lines on the clock of the video."""

from pathlib import Path

import pytest
from support.benchmark_files import longvideobench_row, video_mme_row, write_json, write_jsonl, write_video

from vt_env.benchmarks.readers.convert_subtitles import read_lines
from vt_env.benchmarks.readers.rows import SubtitleForm, SubtitleSource
from vt_env.errors import DataError
from vt_env.media.text.load_subtitles import load_subtitles
from vt_env.task_sources import load_tasks


def test_subtitles_of_words_become_lines_at_pauses_and_ends_of_sentences(tmp_path: Path):
    words = [("We", 1.0, 1.2), ("start.", 1.2, 1.5), ("Now", 1.7, 2.0), ("go", 2.0, 2.2), ("on", 3.0, 3.3)]
    rows = [{"text": text, "start_time": start, "end_time": end} for text, start, end in words]
    path = write_jsonl(tmp_path / "001.jsonl", rows)
    lines = read_lines(path, SubtitleSource(SubtitleForm.WORDS, "001"))
    assert [(line.interval.start_s, line.interval.end_s, line.text) for line in lines] == [
        (1.0, 1.5, "We start."),
        (1.7, 2.2, "Now go"),
        (3.0, 3.3, "on"),
    ]


def test_longvideobench_subtitles_of_both_shapes_are_put_on_the_clock_of_the_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    rows = [
        {"timestamp": [13.0, 14.5], "text": "hello"},
        {"start": "00:00:20.000", "end": "00:00:21.500", "line": "again"},
        {"timestamp": [40.0, None], "text": "until the end"},
        {"timestamp": [2.0, 5.0], "text": "before the cut"},
    ]
    write_json(tmp_path / "lvb_val.json", [longvideobench_row()])
    write_json(tmp_path / "subtitles" / "CCCCCCCCCCC_en.json", rows)
    write_video(tmp_path / "videos" / "CCCCCCCCCCC.mp4")
    (task,) = load_tasks(tmp_path)
    task.prepare(task.item.video)
    lines = load_subtitles(task.item.video).lines
    assert [(line.interval.start_s, line.interval.end_s, line.text) for line in lines] == [
        (1.0, 2.5, "hello"),
        (8.0, 9.5, "again"),
        (28.0, 381.2, "until the end"),
    ]


def test_video_mme_subtitles_lose_their_font_tags(tmp_path: Path):
    write_json(tmp_path / "a.json", [video_mme_row()])
    write_video(tmp_path / "data" / "AAAAAAAAAA0.mp4")
    srt = '1\n00:00:01,000 --> 00:00:02,000\n<font color="white" size=".72c">hello</font>\n'
    (tmp_path / "subtitle").mkdir()
    (tmp_path / "subtitle" / "AAAAAAAAAA0.srt").write_text(srt)
    (task,) = load_tasks(tmp_path)
    assert [line.text for line in load_subtitles(task.item.video).lines] == ["hello"]


def test_damaged_subtitles_are_an_error_of_the_data(tmp_path: Path):
    path = write_json(tmp_path / "a.json", [{"text": "no times"}])
    with pytest.raises(DataError, match="not longvideobench subtitles"):
        read_lines(path, SubtitleSource(SubtitleForm.LONGVIDEOBENCH, "a"))
