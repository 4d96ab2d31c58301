"""`--protocol` chooses prompt set, tools and dialect of an evaluation, is recorded, and is replayed."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.peer_transcripts import PEER_TRANSCRIPTS, PeerTranscript

from agents.backends.fake_server import FakeChatServer, completion
from experiments.cli import run as command
from experiments.runs.journal import read_journal
from experiments.runs.read_run import CONFIG, PROVENANCE, read_json
from vt_env.prompts import SETS
from vt_env.tools.agent_protocols import PROTOCOLS

pytest.importorskip("httpx")

BY_NAME = {it.protocol: it for it in PEER_TRANSCRIPTS}


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    video = Path(__file__).parents[1] / "fixtures/nasa_13013.mp4"
    (tmp_path / "nasa.jsonl").write_text('{"start_s": 1.0, "end_s": 25.0, "text": "A rocket stands on the pad."}\n')
    row = {"video": str(video), "question": "Where?", "options": ["Houston", "Greenbelt"], "answer": 1, "task_id": "t"}
    (tmp_path / "tasks.jsonl").write_text(json.dumps({**row, "captions": "nasa.jsonl"}) + "\n")
    return tmp_path / "tasks.jsonl"


def evaluate(
    tasks: Path, replies: list[str], *flags: str, agent: str = "full", out: str = "run"
) -> tuple[int, list[Any]]:
    left: Iterator[str] = iter(replies)
    with FakeChatServer(lambda body: completion(next(left))) as server:
        model = ["--model.backend", "openai", "--model.server.base-url", server.base_url]
        folder = ["--out", str(tasks.parent / out), "--tasks", str(tasks), "--batch", "1"]
        code = command(["eval", "--agent", agent, *folder, *model, *flags])
        return code, server.requests


def short(transcript: PeerTranscript) -> list[str]:
    """Return the replies for a video of ten seconds."""
    texts = [text.replace("320", "3").replace("330", "9").replace("05:20", "00:03") for text in transcript.replies]
    texts = [text.replace('"end_time": 60', '"end_time": 8') for text in texts]
    return [text.replace('"start_time": 90, "end_time": 100.5', '"start_time": 1, "end_time": 2.5') for text in texts]


@pytest.mark.parametrize("name", ["longvt", "videozoomer", "longvideo-r1"])
def test_a_served_checkpoint_plays_its_protocol_and_the_run_says_so(tasks: Path, name: str, capsys) -> None:
    transcript, prompts = BY_NAME[name], SETS[name]
    agent = "caption-only" if transcript.perception == "captions" else "full"
    code, requests = evaluate(tasks, short(transcript), "--protocol", name, agent=agent)
    assert code == 0
    folder = tasks.parent / "run"
    (episode,) = read_journal(folder)
    assert [it.call.name for it in episode.turns[:-1]] == [it for it, _ in transcript.calls]
    assert episode.answer in ("B", "B. 47") and episode.prompts == prompts.id and not episode.errors
    first, *_, last = requests
    assert [it["function"]["name"] for it in first.get("tools", ())] == list(transcript.shown)
    assert first["messages"][0]["content"] == prompts.system_text()
    assert {it["role"] for it in last["messages"]} == (
        {"system", "user", "assistant", "tool"} if transcript.shown else {"system", "user", "assistant"}
    )
    config, (origin,) = read_json(folder / CONFIG), read_json(folder / PROVENANCE)["origins"].values()
    assert config["protocol"] == origin["protocol"] == name and origin["prompts"] == prompts.id
    assert config["tools"] == list(PROTOCOLS[name].tools)
    assert command(["replay", str(folder)]) == 0
    assert "all equal, byte for byte" in capsys.readouterr().out


def test_a_run_is_resumed_with_and_without_the_flag_and_not_with_another(tasks: Path, capsys) -> None:
    replies = short(BY_NAME["longvt"])
    assert evaluate(tasks, replies, "--protocol", "longvt")[0] == 0
    assert evaluate(tasks, [], "--protocol", "longvt")[0] == 0
    assert evaluate(tasks, [])[0] == 0
    assert evaluate(tasks, [], "--protocol", "eva")[0] == 2
    assert "another" in capsys.readouterr().err


def test_flags_given_beside_it_take_the_place_of_its_own(tasks: Path) -> None:
    _, requests = evaluate(tasks, ["<answer>B</answer>"], "--protocol", "longvt", "--prompts", "default")
    assert "crop_video" not in json.dumps(requests[0]) and "frame_zoom" in json.dumps(requests[0])
    _, requests = evaluate(tasks, ["<answer>B</answer>"], "--protocol", "longvt", "--tools", "paper", out="other")
    assert "subtitle_zoom" in json.dumps(requests[0]) and "crop_video" in json.dumps(requests[0])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--protocol", "longvtt"), "protocol='longvtt': allowed are longvt, paravt, eva, .*did you mean 'longvt'"),
        (("--protocol", "longvideo-r1"), "its tools return captions, got perception='frames'.*--agent caption-only"),
        (("--protocol", "eva", "--agent", "caption-only"), "its tools return frames, got .*--agent full"),
        (
            ("--protocol", "videozoomer", "--model.server.calls", "native"),
            "calls='native': prompts 'videozoomer' ask for calls as text; use calls='text'",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(tasks: Path, flags: tuple[str, ...], message: str, capsys) -> None:
    assert evaluate(tasks, [], *flags)[0] == 2
    said = capsys.readouterr().err
    assert (
        re.search(message, said)
        and len([line for line in said.splitlines() if "protocol" in line or "calls" in line]) == 1
    )


def test_one_episode_is_played_by_a_protocol(tasks: Path, tmp_path: Path) -> None:
    left = iter(short(BY_NAME["video-mtr"]))
    with FakeChatServer(lambda body: completion(next(left))) as server:
        model = ["--model.backend", "openai", "--model.server.base-url", server.base_url]
        folder = ["--out", str(tmp_path / "play"), "--protocol", "video-mtr"]
        assert command(["play", str(tasks), "--agent", "full", *model, *folder]) == 0
    said = (tmp_path / "play" / "transcript.txt").read_text()
    assert "frame_zoom" in said and "frame_idx: " in said
