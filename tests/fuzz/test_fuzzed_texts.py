"""Random actions and subtitle files: an action or a cue, or one line of ours."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import strategies as st
from support.fuzzing import EDITS, Law, edited, edited_bytes, fuzz

from vt_env.actions.parse import ActionReader, parse_action, render_action
from vt_env.actions.read_answer import read_answer
from vt_env.benchmarks.scoring.official_rules import RULES
from vt_env.media.text.load_subtitles import load_subtitles
from vt_env.tools.builtin import tools_for
from vt_env.types import Answer, Malformed, ToolCall, VideoRef

pytestmark = [pytest.mark.slow, pytest.mark.fuzz]

CALL = '{"name": "frame_zoom", "arguments": {"start_s": 320.0, "end_s": "05:40"}}'
REPLIES = (
    render_action(ToolCall("frame_zoom", {"start_s": 320.0, "end_s": 340.0}, "a thought")),
    render_action(ToolCall("spatial_zoom", {"time_s": 322.0, "box": [0.1, 0.2, 0.5, 0.9]})),
    render_action(Answer("47", "since it is")),
    f"<think>look</think><tool_call>{CALL}</tool_call><tool_call>{CALL}</tool_call>",
    f"```json\n[{CALL}, {CALL}]\n```",
    f"[TOOL_CALLS][{CALL}]",
    f"<|python_tag|>{CALL}<|eom_id|>",
    "<function=clip_retrieval>\n<parameter=query>\nred square\n</parameter>\n</function>",
    "[frame_zoom(start_s=320, end_s=340), clip_retrieval(query='x', top_k=2)]",
    "<tool_call>frame_zoom\n<arg_key>start_s</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
    "<action>choose frames between 320 and 340</action>",
    '<video_zoom>{"segment": [320, 340], "fps": 2}</video_zoom>',
    'The best answer is (B) because **Answer: $\\boxed{B}$**\n```json\n{"result": "B"}\n```',
)
OPTIONS = ("12", "47", "a cup")
SRT = "1\n00:00:00,500 --> 00:00:02,000\nthe <i>code</i>\n\n"
SRT += "2\n00:00:02.000 --> 00:00:03,000 X1:1\n{\\an8}is 47 &amp; more\n"
VTT = (
    "WEBVTT\n\nNOTE a\n\n00:00.500 --> 00:02.000 align:start\n<v Anna>the <c.yellow>code</c>\n \n<00:01.000><b>is</b>\n"
)
ASS = (
    "[Script Info]\nScriptType: v4.00+\n\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, "
    "Effect, Text\nDialogue: 0,0:00:00.50,0:00:02.00,Default,,0,0,0,,{\\pos(1,2)}the code\\Nis {\\p1}m 0 0{\\p0} 47\n"
)
ROWS = '[{"timestamp": [0.5, 2.0], "text": "the code"}, {"start": "00:00:02.000", "end": "00:00:03.000", "line": "is"}]'
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "cp1251", "gb18030", "cp932", "latin-1")


def test_any_reply_is_an_action_and_is_scored(law: Law) -> None:
    readers = [ActionReader.for_tools(tools_for(kind)) for kind in ("frames", "captions")]
    readers.append(replace(readers[0], strict=True))

    @fuzz(2500, st.sampled_from(REPLIES), EDITS)
    def check(reply: str, edits: list[tuple[int, int, int, int]]) -> None:
        text = edited(reply, edits)
        actions = [
            law.read(lambda: parse_action(text)),
            *(law.read(lambda it=it: it.read(text).action) for it in readers),
        ]
        for action in actions:
            assert isinstance(action, ToolCall | Answer | Malformed)
            if not isinstance(action, Malformed):
                assert law.read(lambda action=action: render_action(action))
        law.read(lambda: read_answer(text, OPTIONS))
        for rule in RULES.values():
            law.read(lambda rule=rule: rule.extract(text))
        law.seen["refused"] += isinstance(actions[0], Malformed)

    check()


def test_any_subtitle_file_is_read_or_refused(law: Law, tmp_path: Path) -> None:
    path = tmp_path / "lines.srt"
    video = VideoRef("v", str(tmp_path / "v.mp4"), str(path))

    @fuzz(1500, st.sampled_from((SRT, VTT, ASS, ROWS)), st.sampled_from(ENCODINGS), EDITS, EDITS)
    def check(text: str, encoding: str, edits: list, flips: list) -> None:
        path.write_bytes(edited_bytes(edited(text, edits).encode(encoding, "replace"), flips))
        track = law.read(lambda: load_subtitles(video))
        if track is not None:
            starts = [line.interval.start_s for line in track.lines]
            assert starts == sorted(starts) and all("\n" not in line.text for line in track.lines)

    check()
