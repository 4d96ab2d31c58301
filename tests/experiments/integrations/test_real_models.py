"""Scripts around small real models, without any of them: fetching checks sha256, templates are read, runs measured."""

import hashlib
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.cli import COMMANDS, run
from experiments.integrations.real_models.fetch import MODELS, PACKAGES, FetchRun, check_file, join_parts
from experiments.integrations.real_models.fetch import main as fetch
from experiments.integrations.real_models.measure_protocol import COLUMNS, MeasureRun, measure
from experiments.integrations.real_models.measure_protocol import main as measure_runs
from experiments.integrations.real_models.play_talks import PROMPTS, PlayTalksRun, play_command
from experiments.integrations.real_models.play_talks import main as play_talks
from experiments.integrations.real_models.serve import read_template, single_braces
from vt_env.episode.trajectory import CallRecord, Trajectory, TurnRecord
from vt_env.errors import ConfigError, DataError
from vt_env.prompts import load_prompts
from vt_env.talks.tasks import talk_tasks
from vt_env.types import Interval, Remaining, StopReason


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_parts_are_joined_in_order_and_checked(tmp_path):
    parts = [written(tmp_path / f"part{number:02d}.bin", data) for number, data in enumerate([b"GG", b"UF", b"!"])]
    join_parts(parts, tmp_path / "whole.gguf", sha256(b"GGUF!"))
    assert (tmp_path / "whole.gguf").read_bytes() == b"GGUF!"
    check_file(tmp_path / "whole.gguf", sha256(b"GGUF!"))


def test_a_joined_file_that_differs_is_refused_and_leaves_nothing(tmp_path):
    part = written(tmp_path / "part01.bin", b"something else")
    with pytest.raises(DataError, match=r"sha256 [0-9a-f]{12}\.\.\., need 1d9614638d18\.\.\.; delete it"):
        join_parts([part], tmp_path / "model.gguf", MODELS["qwen2.5-coder-0.5b"])
    with pytest.raises(DataError, match="no parts"):
        join_parts([], tmp_path / "model.gguf", "0")
    assert sorted(it.name for it in tmp_path.iterdir()) == ["part01.bin"]


def test_an_existing_model_is_checked_and_never_fetched_again(tmp_path):
    (tmp_path / "packages/xllamacpp").mkdir(parents=True)
    written(tmp_path / "qwen2.5-coder-0.5b.gguf", b"damaged")
    with pytest.raises(DataError, match="delete it and fetch it again"):
        fetch(FetchRun(tmp_path, ("qwen2.5-coder-0.5b",)))
    with pytest.raises(ConfigError, match=r"models=.qwen.: allowed are qwen2\.5-coder-0\.5b"):
        fetch(FetchRun(tmp_path, ("qwen",)))


@pytest.mark.parametrize(("name", "count"), [("server", 1), ("qwen2.5-coder-0.5b", 6), ("qwen2.5-coder-1.5b", 22)])
def test_every_package_is_pinned_with_its_hash(name: str, count: int):
    lines = (PACKAGES / f"{name}.txt").read_text().splitlines()
    assert len(lines) == count
    for line in lines:
        package, digest = line.split(" --hash=sha256:")
        assert "==" in package and len(digest) == 64


def gguf(template: str) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    pairs = [
        text("general.name") + struct.pack("<I", 8) + text("a model"),
        text("general.tags") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b"),
        text("qwen2.block_count") + struct.pack("<II", 4, 24),
        text("tokenizer.chat_template") + struct.pack("<I", 8) + text(template),
    ]
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(pairs)


def test_the_chat_template_of_a_gguf_file_is_read(tmp_path):
    assert read_template(written(tmp_path / "a.gguf", gguf("{{ it }}"))) == "{{ it }}"
    with pytest.raises(DataError, match="not a GGUF file"):
        read_template(written(tmp_path / "b.gguf", b"PK"))


def test_doubled_braces_around_calls_are_mended_and_jinja_stays():
    line = '{{- "<tool_call>\\n{%s\\"name\\": <function-name>, \\"arguments\\": <args-json-object>}%s\\n" }}'
    assert single_braces(line % ("{", "}")) == line % ("", "") == single_braces(line % ("", ""))


def test_four_wordings_are_whole_sets_of_their_own_and_hold_no_placeholder_as_an_answer():
    sets = [load_prompts(path) for path in sorted(PROMPTS.glob("*.json"))]
    assert len({it.key for it in sets}) == 4
    assert {it.name for it in sets} == {path.stem for path in PROMPTS.glob("*.json")}


def test_the_evaluation_of_a_wording_is_a_command_whose_flags_exist(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(f"{COMMANDS['eval'].module}.main", seen.append)
    play = PlayTalksRun(tmp_path / "models", tmp_path / "out")
    assert len(play.prompts) == 4
    for prompts in play.prompts:
        command = play_command(play, prompts)
        assert run(command[command.index("eval") :]) == 0
    assert {it.tasks for it in seen} == {"talks"} and len({it.out for it in seen}) == 4
    assert len({replace(it, out=tmp_path, prompts="default") for it in seen}) == 1


def test_playing_without_the_model_says_how_to_get_it(tmp_path):
    with pytest.raises(ConfigError, match=r"no such file; run experiments\.integrations\.real_models\.fetch --out"):
        play_talks(PlayTalksRun(tmp_path))


def episode(number: int, turns: tuple[TurnRecord, ...], answer: str | None = None) -> Trajectory:
    task = talk_tasks("test")[number]
    correct = bool(task.gold) and answer == "ABCD"[task.gold.answer_idx]
    stop = StopReason.OUT_OF_CALLS if answer is None else StopReason.ANSWERED
    return Trajectory(
        task.item.task_id, "", "", task.item.options, "", "captions", turns, Remaining(0, 0), stop, answer, correct
    )


def test_a_protocol_is_counted_from_its_episodes():
    tasks = talk_tasks("test")
    assert tasks[0].gold and tasks[1].gold
    span = tasks[0].gold.evidence[0]
    look = TurnRecord("x", CallRecord("subtitle_zoom", {}), "", viewed=(Interval(span.start_s, span.end_s),))
    failed = TurnRecord("x", CallRecord("subtitle_zoom", {}), "", error="tool_error")
    unread, answer = TurnRecord("x", None, "", error="malformed"), TurnRecord("x", None, "")
    counted = measure(
        [
            episode(0, (look, failed, answer), "ABCD"[tasks[0].gold.answer_idx]),
            episode(1, (unread, answer), "the option"),
            episode(2, (unread, failed)),
        ]
    )
    assert (counted.episodes, counted.replies, counted.read, counted.calls, counted.failed) == (3, 7, 5, 3, 2)
    assert (counted.looked, counted.placeholders, counted.unanswered, counted.right) == (1, 1, 1, 1)
    assert (counted.saw_evidence, counted.right_with_evidence) == (1, 1)
    row = counted.row("wording")
    assert len(row) == len(COLUMNS) and row[2] == "0.71" and row[-1] == "1.00 (n = 1)"


def test_a_run_without_episodes_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no episode in it yet"):
        measure_runs(MeasureRun((tmp_path,)))
