"""One command from a folder of videos with questions to shards, with models behind real sockets."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agents.backends.bad_server import REJECTED
from agents.backends.fake_server import Body, FakeChatServer, Wire, completion, native_call
from experiments.cli import run
from synth.dataset import PICTURES_FILE, read_dataset

VIDEO = Path(__file__).parents[1] / "fixtures" / "nasa_13013.mp4"
ROWS = (
    {"task_id": "room", "question": "Where is this?", "options": ["a clean room", "a beach"], "answer": 0},
    {"task_id": "sea", "question": "Is there water?", "options": ["yes, a sea", "none"], "answer": 0},
    {"task_id": "bad", "question": "Which?", "options": ["one", "two"], "answer": "three"},
)
LOOK = native_call("caption_zoom", {"start_s": "00:02", "end_s": "00:08"}, "I look at the middle.")
SAYS = {"caption": "people in white suits", "support": "Yes."}


class Models:
    """Teacher and captioner in one server: it teaches who offers tools."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def __call__(self, body: Body) -> Wire:
        if "tools" in body:
            self.asked["teacher"] += 1
            is_first = not any(it["role"] == "assistant" for it in body["messages"])
            return LOOK if is_first else completion("People in white suits work there.\n<answer>A</answer>", tokens=20)
        text = body["messages"][0]["content"][-1]["text"]
        role = "support" if "support it" in text else "caption"
        self.asked[role] += 1
        return completion(SAYS[role], tokens=5)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    videos = tmp_path / "videos"
    videos.mkdir()
    shutil.copy(VIDEO, videos / "webb.mp4")
    lines = (json.dumps({"video": "webb.mp4", "split": "train", **row}) for row in ROWS)
    (videos / "tasks.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return videos


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture
def server(models: Models) -> Iterator[FakeChatServer]:
    with FakeChatServer(models) as server:
        yield server


def synth(folder: Path | str, url: str, out: Path | str, *more: str) -> int:
    arguments = ["--tasks", str(folder), "--samples", "2", "--out", str(out), "--support", "--profile", "world"]
    arguments += ["--teacher", "server", "--teacher.server.base-url", url]
    arguments += ["--captions", "server", "--captions.server.base-url", url]
    return run(["synth", *arguments, *more])


def test_a_folder_of_videos_and_questions_becomes_shards_with_a_card(
    folder: Path, server: FakeChatServer, models: Models, capsys: pytest.CaptureFixture[str]
):
    out = folder.parent / "run"
    prices = ["--teacher.server.usd-per-million-completion-tokens", "1000"]
    assert synth(folder, server.base_url, out, "--export", "ms-swift", "llama-factory", *prices) == 0
    kept = list(read_dataset(out / "dataset"))
    assert [(it.task_id, it.sample, it.correct, it.perception) for it in kept] == [
        ("room", 0, True, "frames"),
        ("sea", 0, True, "frames"),
    ]
    card = json.loads((out / "dataset" / "data_card.json").read_text())
    assert card["left_out"] == {"gold is no option": 1}
    assert card["rejected"] == {"filters": {"near_duplicate": 2}, "replay": {}}
    assert card["support"] == {"yes": 2}
    assert card["usage"]["teacher"]["tries"] == models.asked["teacher"] == 8
    assert card["usage"]["teacher"]["cost_usd"] == pytest.approx((4 + 4 * 20) * 1e-3)
    # Looks at the same frames are one caption a question; the same thought about the same frames is judged once.
    assert models.asked["caption"] == 2 and models.asked["support"] == 1
    assert card["captions"] == {"made": 3, "cached": 3}
    assert len((out / "dataset" / PICTURES_FILE).read_text().splitlines()) == 2
    assert {it.name for it in (out / "exports").iterdir()} == {"ms-swift", "llama-factory"}
    printed = capsys.readouterr().out
    assert "1 gold is no option, first line 3" in printed and "| same with frames | 2 | 2 |" in printed


def test_a_run_in_which_nothing_could_be_played_fails_and_says_why(folder: Path, capsys: pytest.CaptureFixture[str]):
    with FakeChatServer(lambda body: REJECTED["no tools"]) as server:
        assert synth(folder, server.base_url, folder.parent / "run") == 2
    told = capsys.readouterr().err
    assert "none of 4 attempts could be played, 4 of them: " in told and "No endpoints found" in told
    assert not (folder.parent / "run" / "dataset").exists()


def test_the_same_command_again_asks_nobody(folder: Path, server: FakeChatServer, models: Models):
    out = folder.parent / "run"
    synth(folder, server.base_url, out)
    asked = models.asked.total()
    shutil.rmtree(out / "dataset")
    (out / "journal.jsonl").unlink()
    assert synth(folder, server.base_url, out) == 0
    assert models.asked.total() == asked
    assert (out / "dataset" / PICTURES_FILE).exists()
    another = folder.parent / "another"
    synth(folder, server.base_url, another, "--seed", "1")
    assert models.asked["caption"] == 2, "captions are shared by runs"


def test_a_run_goes_on_with_a_server_elsewhere_but_not_with_another_model(
    folder: Path, models: Models, capsys: pytest.CaptureFixture[str]
):
    out = folder.parent / "run"
    with FakeChatServer(models) as server:
        synth(folder, server.base_url, out)
    asked = models.asked.total()
    with FakeChatServer(models) as server:
        more = ["--teacher.server.concurrency", "3", "--export", "trl"]
        assert synth(folder, server.base_url, out, *more) == 0
    assert models.asked.total() == asked and (out / "exports" / "trl" / "train.jsonl").exists()
    capsys.readouterr()
    with FakeChatServer(models, model="another") as server:
        assert synth(folder, server.base_url, out) == 2
    assert "holds replies of 'fake', now 'another'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["--teacher.server.model", "fale"],
            "serves fake: give one of them as server.model, got 'fale'; did you mean 'fake'?",
        ),
        (["--teacher.server.base-url", "http://127.0.0.1:9/v1"], "cannot be reached"),
        (["--turn-limit", "99"], "turn_limit=99: need 1 to 8"),
        (["--captions.source", "task"], "support needs a captioner"),
        (["--captions.source", "vllm"], "give --captions.model"),
        (["--captions.source", "screen", "--no-support"], "add --screen-text"),
        (["--captions.loss", "0.5"], "only captions of tasks lose words"),
        (["--teacher.sampling.extra-body", "[]"], "a JSON object"),
    ],
)
def test_what_cannot_work_is_one_line(
    folder: Path, server: FakeChatServer, capsys: pytest.CaptureFixture[str], more: list[str], message: str
):
    assert synth(folder, server.base_url, folder.parent / "run", *more) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_run_goes_on_and_pays_again_for_no_reply_that_had_come(folder: Path, models: Models):
    out, concurrency = folder.parent / "run", 2
    slow = ["--teacher.server.concurrency", str(concurrency), "--no-support"]
    with FakeChatServer(lambda body: replace(models(body), delay_s=0.2)) as server:
        code = (
            f"from test_synth_command import synth; synth({str(folder)!r}, {server.base_url!r}, {str(out)!r}, *{slow})"
        )
        paths = [str(Path(__file__).parents[it]) for it in range(3)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL)
        while models.asked["teacher"] < 4:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        came = len((out / "teacher_replies.jsonl").read_bytes().split(b"\n")) - 1
        before = models.asked["teacher"]
        assert synth(folder, server.base_url, out, *slow) == 0
        assert models.asked["teacher"] - before == 8 - came
        assert before - came <= concurrency
    assert len(list(read_dataset(out / "dataset"))) == 2


def test_another_answer_key_changes_no_byte_that_any_model_is_sent(
    folder: Path, server: FakeChatServer, monkeypatch: pytest.MonkeyPatch
):
    sent: list[list[str]] = []
    for key, evidence in ((0, [[0.0, 3.0]]), (1, [[9.0, 12.0]])):
        rows = [{**row, "video": "webb.mp4", "split": "train", "answer": key, "evidence": evidence} for row in ROWS]
        (folder / "tasks.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        monkeypatch.setenv("VT_ENV_CACHE", str(folder.parent / f"cache-{key}"))
        server.requests.clear()
        assert synth(folder, server.base_url, folder.parent / f"run-{key}", "--no-support") == 0
        sent.append(sorted(map(json.dumps, server.requests)))
    first, second = (read_dataset(folder.parent / f"run-{key}" / "dataset") for key in (0, 1))
    assert {it.task_id for it in first} and not list(second)
    assert sent[0] == sent[1] and len(sent[0]) == 3 * 2 * 2 + 3
