"""Logs of inspect_ai, read back by its own reader; runs where inspect_ai is installed (`.ci/engines inspect`)."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason="inspect-ai has an environment of its own: .ci/engines inspect")

from inspect_ai.log import read_eval_log
from PIL import Image
from support.finished_runs import episode, write_eval

from experiments.cli import run
from experiments.runs.read_run import JOURNAL
from experiments.view.run_videos import RunVideos
from experiments.view.tags import write_tags
from vt_env.episode.reply_record import ReplyRecord
from vt_env.episode.trajectory import CallRecord, TurnRecord
from vt_env.jsonl import append_line
from vt_env.types import FrameRef, Interval

LOOK = TurnRecord(
    "I look. <tool_call>...</tool_call>",
    CallRecord("frame_zoom", {"start_s": 5.0, "end_s": 9.0}),
    "Frames at 00:06.",
    frames=(FrameRef("video-00", 6.0, None, (8, 6)),),
    viewed=(Interval(5, 9),),
    reply=ReplyRecord(prompt_tokens=100, completion_tokens=20, mean_logprob=-0.5, latency_s=0.25),
)
MALFORMED = TurnRecord("<tool_call>{", None, "Malformed: no JSON.", error="malformed")
ANSWER = TurnRecord("<answer>47</answer> \ud800", None, "The episode is over.")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = write_eval(tmp_path / "eval", "random", [True, False], turns=(LOOK, MALFORMED, ANSWER))
    line = replace(episode(7, 1, True, sample=1, invalid="video gone", reward_terms={"outcome": 1.0}), correct=None)
    append_line(path / JOURNAL, line.to_json())
    write_tags(path, ("task-001", 0), ["misread"])
    return path


def read_back(folder: Path, out: Path, *flags: str) -> Any:
    assert run(["report", str(folder), "--inspect", str(out), *flags]) == 0
    (path,) = out.iterdir()
    return read_eval_log(str(path), resolve_attachments=True)


def test_inspect_ai_reads_conversation_scores_and_totals_back(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (200, 10, 10)).save(file, "PNG")
    monkeypatch.setattr(RunVideos, "picture", lambda self, episode, number: file.getvalue())
    read = read_back(folder, tmp_path / "logs")
    assert (read.status, read.eval.model, len(read.samples)) == ("success", "vt-env/random", 3)
    assert read.results.scores[0].metrics["accuracy"].value == 0.5
    right, wrong, invalid = read.samples
    assert [it.role for it in right.messages] == ["user", "assistant", "tool", "assistant", "user", "assistant", "user"]
    look, result = right.messages[1:3]
    assert (look.tool_calls[0].function, look.tool_calls[0].arguments) == ("frame_zoom", {"start_s": 5.0, "end_s": 9.0})
    assert result.tool_call_id == look.tool_calls[0].id
    picture, text = result.content
    assert picture.image.startswith("data:image/png;base64,") and text.text == "Frames at 00:06."
    assert look.metadata["mean_logprob"] == -0.5 and right.model_usage[right.output.model].output_tokens == 20
    assert [it.scores["correct"].value for it in (right, wrong)] == ["C", "I"]
    assert (wrong.metadata["tags"], wrong.epoch, invalid.epoch) == (["misread"], 1, 2)
    assert invalid.error.message == "video gone" and "correct" not in invalid.scores
    assert invalid.scores["outcome"].value == 1.0


def test_pictures_whose_video_is_gone_are_named_and_episodes_beyond_the_limit_left_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (only,) = read_back(folder, tmp_path / "logs", "--inspect-limit", "1").samples
    assert only.messages[2].content[0].text == "[frame at 6 s: picture not there]"
    assert "1 of 3 episodes" in capsys.readouterr().out
