"""Subtitle parsing, text streams, subtitle search and summaries."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.videos import VideoSpec, write_video

from vt_env.errors import DataError
from vt_env.media.search.encoders import Vectors
from vt_env.media.text.bm25 import WordIndex, words_of
from vt_env.media.text.line_index import build_line_index
from vt_env.media.text.load_subtitles import load_subtitles
from vt_env.media.text.subtitle_formats import parse_cues
from vt_env.media.text.subtitles import SubtitleTrack, load_captions
from vt_env.media.text.summaries import MAX_LINES, ChatSummariser, WrittenSummaries
from vt_env.timed_lines import Caption
from vt_env.types import Interval, SubtitleLine, VideoRef

FIXTURES = Path(__file__).parents[2] / "fixtures"


def line(start_s: float, end_s: float, text: str) -> SubtitleLine:
    return SubtitleLine(Interval(start_s, end_s), text)


def clock(time_ms: int, comma: str = ",") -> str:
    minutes, ms = divmod(time_ms, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{ms // 1000:02d}{comma}{ms % 1000:03d}"


def srt(cues: list[tuple[int, int, str]], newline: str = "\n", comma: str = ",") -> str:
    blocks = [
        f"{number}\n{clock(start, comma)} --> {clock(end, comma)}\n{text}\n"
        for number, (start, end, text) in enumerate(cues, start=1)
    ]
    return "\n".join(blocks).replace("\n", newline)


TEXTS = st.lists(
    st.text(st.characters(categories=("L", "N", "P", "S"), exclude_characters="<>{}&\\"), min_size=1), min_size=1
).map(" ".join)
CUES = st.lists(
    st.tuples(st.integers(0, 100_000_000), st.integers(1, 100_000), TEXTS).map(
        lambda cue: (cue[0], cue[0] + cue[1], cue[2])
    ),
    max_size=8,
)


@given(CUES, st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from([",", "."]), st.booleans())
def test_what_is_written_as_srt_or_vtt_is_read_back(
    cues: list[tuple[int, int, str]], newline: str, mark: str, vtt: bool
) -> None:
    text = ("WEBVTT\n\n" if vtt else "") + srt(cues, newline, mark)
    expected = sorted(((start / 1000, end / 1000) for start, end, _ in cues))
    lines, dropped = parse_cues(text)
    assert dropped == 0
    assert [(it.interval.start_s, it.interval.end_s) for it in lines] == [pytest.approx(times) for times in expected]
    assert sorted(it.text for it in lines) == sorted(said for _, _, said in cues)


@given(st.text())
def test_no_text_makes_the_reader_fail(text: str) -> None:
    parse_cues(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1\n00:00:01,000 --> 00:00:02,500\n<i>Hello</i>\n{\\an8}there", [(1, 2.5, "Hello there")]),
        ("WEBVTT\n\n00:01.000 --> 00:02.000 align:start position:0%\n<v Anna>Hi &amp; bye", [(1, 2, "Hi & bye")]),
        ("WEBVTT\n\nNOTE x\n\nid\n01:00:01.000 --> 01:00:02.000\n<c.red>A</c><00:01.500> b", [(3601, 3602, "A b")]),
        ("00:00:01 --> 00:00:02\nno milliseconds", [(1, 2, "no milliseconds")]),
        ("1\n00:01,0 --> 00:02,0\nfirst\n2\n00:03,0 --> 00:04,0\nsecond", [(1, 2, "first"), (3, 4, "second")]),
        ("1\n00:00:01,000 --> 00:00:02,000\n42\n\n2\n00:00:03,000 --> 00:00:04,000\n7", [(1, 2, "42"), (3, 4, "7")]),
        ("1\n00:00:01,000 --> 00:00:02,000\npress a --> b\n", [(1, 2, "press a --> b")]),
        ("1\n00:00:01,000 --> 00:00:02,000\n3 < 4 and 5 > 4\n", [(1, 2, "3 < 4 and 5 > 4")]),
        ("1\n00:00:05,000 --> 00:00:06,000\nb\n\n2\n00:00:01,000 --> 00:00:02,000\na", [(1, 2, "a"), (5, 6, "b")]),
        ("1\n00:00:01,000 --> 00:00:02,000\n\n\n2\n00:00:03,000 --> 00:00:04,000\nb", [(3, 4, "b")]),
        ("WEBVTT\n\n00:01.0 --> 00:02.0\n \nnew\n\n00:03.0 --> 00:04.0\nold\n \n", [(1, 2, "new"), (3, 4, "old")]),
        ("1\n00:01,0 --> 00:02,0\nvector<int> is used", [(1, 2, "vector<int> is used")]),
        ("1\n00:01,0 --> 00:02,0\nno support for <video> at all", [(1, 2, "no support for <video> at all")]),
        ("1\n00:01,0 --> 00:02,0\n\\nabla f, \\hbar\\Nnext<br/>row", [(1, 2, "\\nabla f, \\hbar next row")]),
        ("1\n00:01,1234 --> 00:02,000000\nfine clocks", [(1.1234, 2, "fine clocks")]),
        ("1\n-00:00:01,000 --> 00:00:02,000\nbefore the start", [(0, 2, "before the start")]),
        ("1\n00:01,0 --> 00:02,0\n&#" + "9" * 5000 + "; &amp; on", [(1, 2, "&#" + "9" * 5000 + "; & on")]),
        ("1\n00:01,0 --> 00:02,0\na\n\t\nb\n \n2\n00:03,0 --> 00:04,0\nc", [(1, 2, "a b"), (3, 4, "c")]),
    ],
)  # fmt: skip
def test_subtitles_in_their_many_habits(text: str, expected: list[tuple[float, float, str]]) -> None:
    lines, dropped = parse_cues(text)
    assert ([(it.interval.start_s, it.interval.end_s, it.text) for it in lines], dropped) == (expected, 0)


@pytest.mark.parametrize(
    "timing",
    [
        "00:02,000 --> 00:01,000",
        "00:02,000 --> 00:02,000",
        "00:02,000 --> soon",
        "-00:03,000 --> -00:02,000",
        "-->",
        "9" * 5000 + ":00:01 --> 00:02",
        "00:01 --> " + "9" * 400 + ":00:02",
    ],
)
def test_lines_with_broken_times_are_left_out_and_counted(timing: str, tmp_path: Path) -> None:
    (tmp_path / "some.srt").write_text(f"1\n{timing}\nbroken\n\n2\n00:00:03,000 --> 00:00:04,000\ngood\n")
    track = load_subtitles(VideoRef("v", "none.mp4", str(tmp_path / "some.srt")))
    assert ([it.text for it in track.lines], track.dropped) == (["good"], 1)


@pytest.mark.parametrize("content", ["", "no cue in here", "1\n00:00:02,000 --> 00:00:01,000\nbackwards\n"])
def test_a_subtitle_file_without_a_readable_line_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "bad.srt").write_text(content)
    with pytest.raises(
        DataError, match=r"bad\.srt: no readable subtitle.*give an SRT, VTT, ASS or LongVideoBench file$"
    ):
        load_subtitles(VideoRef("v", "none.mp4", str(tmp_path / "bad.srt")))


def test_the_json_of_longvideobench_is_read_in_both_its_shapes(tmp_path: Path) -> None:
    rows = [
        {"start": "00:00:01.500", "end": "00:00:02", "line": "first"},
        {"timestamp": [3.0, None], "text": "until the <i>next</i>"},
        {"timestamp": [4.0, 5.0], "text": "third"},
        {"timestamp": [-2.0, 1.0], "text": "begins before the video"},
        {"timestamp": [-2.0, 0.0], "text": "before the video"},
        {"timestamp": [1.0, 2.0], "text": None},
        {"timestamp": [1.0, 2.0]},
        {"timestamp": [6.0, 5.5], "text": "backwards"},
        {"start": None, "end": "soon", "line": "no times"},
        {"timestamp": [7.0, None], "text": "no end"},
    ]
    (tmp_path / "lvb.json").write_text(json.dumps(rows))
    track = load_subtitles(VideoRef("v", "none.mp4", str(tmp_path / "lvb.json")))
    expected = (
        line(0, 1, "begins before the video"),
        line(1.5, 2, "first"),
        line(3, 4, "until the next"),
        line(4, 5, "third"),
    )
    assert (track.lines, track.dropped) == (expected, 4)


SCRIPT = r"""[Script Info]
ScriptType: v4.00+

[Events]
Format: Layer, Start, End, Style, Text
Dialogue: 0,0:00:01.00,0:00:02.50,Default,{\\an8}Hello, {\\i1}you{\\i0}\Nthere\hagain
Comment: 0,0:00:01.00,0:00:02.50,Default,not shown
Dialogue: 0,0:00:03.00,0:00:04.00,Sign,{\\p1}m 0 0 l 100 0 100 100{\\p0}
Dialogue: 0,0:00:05.00,0:00:06.00,Sign,{\\pos(1,2)\\p2}m 0 0 l 9 9{\\p0}Oslo
Dialogue: 0,0:00:09.00,0:00:08.00,Default,backwards
"""


def test_a_script_of_advanced_substation_is_read_without_its_drawings(tmp_path: Path) -> None:
    (tmp_path / "some.ass").write_text(SCRIPT.replace("\\\\", "\\"))
    track = load_subtitles(VideoRef("v", "none.mp4", str(tmp_path / "some.ass")))
    assert track.lines == (line(1, 2.5, "Hello, you there again"), line(5, 6, "Oslo"))
    assert track.dropped == 1 and "1 lines left out" in track.notes[0]


@pytest.mark.parametrize("content", ["[" * 100_000, "[", "[1, 2]", '[{"timestamp": 3}]', "[]", "[Script Info]"])
def test_json_that_holds_no_subtitle_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(DataError, match="no readable subtitle"):
        load_subtitles(VideoRef("v", "none.mp4", str(tmp_path / "bad.json")))


def test_a_line_without_end_is_cut_and_a_file_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\n" + "word " * 400_000 + "\n")
    (line,) = load_subtitles(VideoRef("a", "a.mp4", str(tmp_path / "a.srt"))).lines
    assert line.text.startswith("word word") and len(line.text) == 10_000
    monkeypatch.setattr("vt_env.media.text.load_subtitles.MAX_BYTES", 1 << 20)
    with pytest.raises(DataError, match=r"a\.srt: larger than 1 MiB, so no subtitle file; check the path"):
        load_subtitles(VideoRef("a", "a.mp4", str(tmp_path / "a.srt")))


def test_a_missing_subtitle_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing\.srt: cannot be read \(No such file or directory\)"):
        load_subtitles(VideoRef("v", "none.mp4", str(tmp_path / "missing.srt")))


def test_the_text_stream_of_a_real_file_is_read() -> None:
    track = load_subtitles(VideoRef("nasa", str(FIXTURES / "nasa_13013.mp4")))
    assert len(track.lines) == 4 and track.dropped == 0
    assert track.lines[2] == line(8.35, 12.47, "at NASA\u2019s Goddard Space Flight Center in Greenbelt, Maryland.")


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "late.mkv"])
def test_a_text_stream_runs_on_the_clock_of_the_video(name: str, tmp_path: Path) -> None:
    spoken = ((0.5, 1.25, "first"), (2.0, 3.0, "second <i>one</i>"))
    write_video(tmp_path / name, VideoSpec(start_s=5.0 if name == "late.mkv" else 0.0, subtitles=spoken))
    track = load_subtitles(VideoRef("v", str(tmp_path / name)))
    assert [it.text for it in track.lines] == ["first", "second one"]
    for it, (start_s, end_s, _) in zip(track.lines, spoken, strict=True):
        assert (it.interval.start_s, it.interval.end_s) == (pytest.approx(start_s), pytest.approx(end_s))


def test_a_video_without_text_has_an_empty_track(tmp_path: Path) -> None:
    write_video(tmp_path / "mute.mp4", VideoSpec(frames=3))
    track = load_subtitles(VideoRef("v", str(tmp_path / "mute.mp4")))
    assert track == SubtitleTrack() and track.search("anything", 3) == [] and track.summary("anything", 3) == []
    assert track.within(Interval(0, 1)) == []


TRACK = SubtitleTrack(
    (
        line(0, 4, "Welcome to the harbour of Oslo."),
        line(4, 8, "The red boat leaves first, the red boat with the flag."),
        line(8, 12, "A boat."),
        line(12, 16, "Then the blue boat leaves the harbour."),
        line(16, 20, "A boat."),
        line(20, 24, "Nobody stays."),
    )
)


def test_an_interval_gives_the_lines_that_share_time_with_it() -> None:
    assert TRACK.within(Interval(4, 8.5)) == list(TRACK.lines[1:3])
    assert TRACK.within(Interval(30, 40)) == []


def test_search_puts_the_rarer_and_the_denser_words_first() -> None:
    found = TRACK.search("red BOAT", 3)
    assert [it for it, _ in found] == [TRACK.lines[1], TRACK.lines[2], TRACK.lines[4]]
    assert found[0][1] > found[1][1] == found[2][1] > 0


def test_search_leaves_out_lines_without_a_word_of_the_query() -> None:
    assert [it for it, _ in TRACK.search("harbour", 10)] == [TRACK.lines[0], TRACK.lines[3]]
    assert TRACK.search("volcano", 10) == [] and TRACK.search("", 10) == [] and TRACK.search("boat", 0) == []


def test_a_summary_keeps_to_the_query_in_time_order_and_says_nothing_twice() -> None:
    assert TRACK.summary("boat in the harbour", 3) == [TRACK.lines[0], TRACK.lines[1], TRACK.lines[3]]
    assert TRACK.summary("a boat", 10) == [TRACK.lines[1], TRACK.lines[2], TRACK.lines[3]]


def test_a_summary_of_something_never_said_is_an_overview() -> None:
    assert TRACK.summary("volcano", 3) == [TRACK.lines[0], TRACK.lines[2], TRACK.lines[5]]
    assert TRACK.summary("volcano", 99) == list(TRACK.lines)


def test_bm25_is_the_published_formula() -> None:
    index = WordIndex(["a b", "a a c", "d"])
    idf = pytest.approx(0.4700036292457356, abs=1e-12)  # log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    scores = index.scores("a")
    assert scores[0] * (1 + 1.2 * (0.25 + 0.75 * 2 / 2)) / 2.2 == idf
    assert scores[1] * (2 + 1.2 * (0.25 + 0.75 * 3 / 2)) / (2 * 2.2) == idf
    assert scores[2] == 0


def test_words_compare_equal_across_case_form_and_script() -> None:
    assert words_of("Straße CAFE\u0301 l'été_2") == ["strasse", "café", "l", "été", "2"]
    assert words_of("NASA东京タワー") == ["nasa", *"东京タワー"]


def test_captions_are_read_in_time_order(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(
        '{"start_s": 5, "end_s": 9.5, "text": "late"}\n\n{"start_s": 0, "end_s": 5, "text": "early"}\n'
    )
    assert list(load_captions(tmp_path / "c.jsonl")) == [
        Caption(Interval(0, 5), "early"),
        Caption(Interval(5, 9.5), "late"),
    ]


@pytest.mark.parametrize(
    "row",
    ["{", "[]", '"text"', "3", '{"start_s": 0, "end_s": 1}', '{"start_s": "x", "end_s": 1, "text": ""}',
     '{"start_s": 2, "end_s": 1, "text": ""}', '{"start_s": null, "end_s": 1, "text": ""}',
     '{"start_s": 0, "end_s": 1, "text": 7}'],
)  # fmt: skip
def test_a_broken_caption_is_refused_with_its_line(row: str, tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"start_s": 0, "end_s": 1, "text": "good"}\n' + row + "\n")
    with pytest.raises(DataError, match=r"c\.jsonl:2: ") as caught:
        load_captions(tmp_path / "c.jsonl")
    assert "\n" not in str(caught.value)


def test_a_captions_file_without_captions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text("\n")
    with pytest.raises(DataError, match=r"c\.jsonl: no captions in it"):
        load_captions(tmp_path / "c.jsonl")


class Topics:
    """A text encoder that knows which words speak of the same thing."""

    key = "topics"

    def encode_texts(self, texts: list[str]) -> Vectors:
        topics = (("boat", "ship", "vessel"), ("harbour", "port"), ("nobody", "empty", "alone"))
        rows = [[any(word in text.casefold() for word in topic) for topic in topics] for text in texts]
        vectors = np.array(rows, dtype=np.float32) + 1e-3
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def hybrid(track: SubtitleTrack, cache: Path) -> SubtitleTrack:
    return replace(track, meanings=build_line_index(track.lines, Topics(), cache))


def test_hybrid_search_finds_lines_by_meaning_that_share_no_word(tmp_path: Path) -> None:
    assert TRACK.search("a vessel alone in port", 3) == TRACK.search("a", 3)
    track = hybrid(TRACK, tmp_path)
    assert track.search("is it empty?", 1)[0][0] == TRACK.lines[5]
    assert track.search("which ship", 2)[0][0].text.count("boat") >= 1
    assert track == TRACK


def test_in_hybrid_search_a_line_that_both_rankings_hold_comes_before_those_of_one(tmp_path: Path) -> None:
    found = hybrid(TRACK, tmp_path).search("blue ship", 6)
    assert found[0][0].text == "Then the blue boat leaves the harbour."
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert found[0][1] == pytest.approx(
        1 / 61 + 1 / 64
    )  # first by words, behind three that are nothing but boats by meaning
    assert hybrid(TRACK, tmp_path).search("blue ship", 0) == []


def test_an_exact_name_stays_first_in_hybrid_search_of_a_long_track(tmp_path: Path) -> None:
    lines = tuple(line(at, at + 1, f"the ship number {at}") for at in range(300))
    assert hybrid(SubtitleTrack(lines), tmp_path).search("ship 217", 1)[0][0] == lines[217]


class Counting:
    """A summariser that tells what it was given and how often it was asked."""

    key = "counting"

    def __init__(self) -> None:
        self.given: list[int] = []

    def summarise(self, query: str, lines: Sequence[SubtitleLine]) -> str:
        self.given.append(len(lines))
        return f" {query}: {len(lines)} lines from {lines[0].interval.start_s:.0f} s "


def test_a_summary_is_written_once_for_a_query_and_a_track(tmp_path: Path) -> None:
    writer = Counting()
    track = replace(TRACK, written=WrittenSummaries(writer, tmp_path))
    for _ in range(2):
        assert track.written_summary("boats") == "boats: 6 lines from 0 s"
    again = replace(TRACK, written=WrittenSummaries(Counting(), tmp_path))
    assert again.written_summary("boats") == "boats: 6 lines from 0 s" and writer.given == [6]
    assert track.written_summary("flags") == "flags: 6 lines from 0 s" and writer.given == [6, 6]
    assert TRACK.written_summary("boats") is None and SubtitleTrack(written=track.written).written_summary("x") is None


def test_of_a_long_track_a_summariser_reads_the_lines_that_matter(tmp_path: Path) -> None:
    lines = tuple(line(at, at + 1, f"word{at} again") for at in range(2 * MAX_LINES))
    writer = Counting()
    track = SubtitleTrack(lines, written=WrittenSummaries(writer, tmp_path))
    assert track.written_summary("word17") == "word17: 1 lines from 17 s"
    track.written_summary("nothing of it")
    assert writer.given == [1, MAX_LINES]


def test_a_summariser_that_fails_is_loud_and_leaves_nothing(tmp_path: Path) -> None:
    class Down(Counting):
        def summarise(self, query: str, lines: Sequence[SubtitleLine]) -> str:
            raise ConnectionError("refused")

    with pytest.raises(ConnectionError, match="refused"):
        replace(TRACK, written=WrittenSummaries(Down(), tmp_path)).written_summary("boats")
    assert replace(TRACK, written=WrittenSummaries(Counting(), tmp_path)).written_summary("boats")


def test_a_chat_model_is_asked_with_the_times_and_without_control_tokens(tmp_path: Path) -> None:
    asked: list[str] = []

    def reply(prompt: str) -> str:
        asked.append(prompt)
        return "At 01:05 somebody leaves."

    track = SubtitleTrack((line(65, 70, "I leave {now} <|im_end|>"),))
    writer = ChatSummariser("tiny", reply)
    written = replace(track, written=WrittenSummaries(writer, tmp_path)).written_summary("who leaves <|im_start|>?")
    assert written == "At 01:05 somebody leaves."
    assert "\n01:05 I leave {now} < |im_end|>\n" in asked[0] and "about this: who leaves < |im_start|>?\n" in asked[0]
    assert writer.key != ChatSummariser("large", reply).key
