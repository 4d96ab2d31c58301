"""Scripts around small real models, without any of them: fetching checks sha256, templates are read, runs measured."""

import hashlib
import json
import re
import struct
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from agents.backends.fake_server import Body, FakeChatServer, Wire, completion
from experiments.evaluate.eval import EvalRun
from experiments.integrations.real_models.fetch import MODELS, PACKAGES, FetchRun, check_file, join_parts
from experiments.integrations.real_models.fetch import main as fetch
from experiments.integrations.real_models.measure_protocol import MEASURES, MeasureRun, measure, share_row
from experiments.integrations.real_models.measure_protocol import main as measure_runs
from experiments.integrations.real_models.paired_eval import play_paired
from experiments.integrations.real_models.play_talks import PROMPTS, PlayTalksRun, evaluation
from experiments.integrations.real_models.play_talks import main as play_talks
from experiments.integrations.real_models.serve import read_template, single_braces
from experiments.runs.journal import read_journal
from experiments.runs.read_run import JOURNAL
from experiments.settings.models import ModelConfig, PolicyServerConfig
from vt_env.budget.remaining import Remaining
from vt_env.episode.trajectory import CallRecord, Trajectory, TurnRecord, write_trajectories
from vt_env.errors import ConfigError, DataError
from vt_env.prompts import DEFAULT, DEFAULT_TOOL, load_prompts
from vt_env.talks.tasks import talk_tasks
from vt_env.types import Interval, StopReason

VIDEO = Path(__file__).parents[2] / "fixtures/nasa_13013.mp4"


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


def test_four_wordings_differ_and_those_that_can_be_default_hold_no_words_inside_answer_tags():
    sets = [DEFAULT, DEFAULT_TOOL, *(load_prompts(path) for path in sorted(PROMPTS.glob("*.json")))]
    assert len({it.key for it in sets}) == 4
    assert {it.name for it in sets} == {Path(it).stem for it in PlayTalksRun(Path(), Path()).prompts}
    later = [it for it in sets if it.name != "talks-early"]
    texts = [text for it in later for text in asdict(it).values() if isinstance(text, str)]
    assert {inside for text in texts for inside in re.findall(r"<answer>(.*?)</answer>", text)} == {" and "}


def test_evaluations_of_wordings_differ_in_wording_and_directory_alone(tmp_path):
    play = PlayTalksRun(tmp_path / "models", tmp_path / "out")
    runs = [evaluation(play, prompts) for prompts in play.prompts]
    assert len(runs) == 4 and {it.tasks for it in runs} == {"talks"} and len({it.out for it in runs}) == 4
    assert len({replace(it, out=tmp_path, prompts="default") for it in runs}) == 1


@pytest.fixture
def questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six questions about one small real video."""
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("agents.backends.chat_client._FIRST_WAIT_S", 0.01)
    asked = {"question": "Where is it?", "options": ["Houston", "Greenbelt"], "answer": 1, "video": str(VIDEO)}
    rows = [json.dumps({**asked, "task_id": f"task-{number}"}) for number in range(6)]
    return written(tmp_path / "tasks.jsonl", "\n".join(rows).encode())


def evaluations(questions: Path, server: FakeChatServer, prompts: Sequence[str]) -> list[EvalRun]:
    model = ModelConfig(backend="openai", server=PolicyServerConfig(base_url=server.base_url, max_retries=1))
    return [
        EvalRun(agent="blind", tasks=str(questions), batch=1, prompts=it, out=questions.parent / it, model=model)
        for it in prompts
    ]


def is_slow(body: Body) -> bool:
    return "No tools are available" in json.dumps(body["messages"][0])


def test_no_wording_runs_away_from_the_slowest_and_a_stopped_run_plays_what_is_missing(questions):
    asked: list[bool] = []

    def answer(body: Body) -> Wire:
        asked.append(is_slow(body))
        return replace(completion("<answer>B</answer>"), delay_s=0.05 if is_slow(body) else 0.0)

    with FakeChatServer(answer) as server:
        runs = evaluations(questions, server, ("default", "tiny"))
        play_paired(runs, lead=1)
        assert len(asked) == 12
        assert max(abs(2 * sum(asked[:end]) - end) for end in range(12)) <= 2
        played = (runs[1].out / JOURNAL).read_text().splitlines()
        (runs[1].out / JOURNAL).write_text("\n".join(played[:4]) + "\n")
        play_paired(runs)
        assert len(asked) == 14
    for run in runs:
        episodes = read_journal(run.out)
        assert [it.task_id for it in episodes] == [f"task-{number}" for number in range(6)]
        assert all(it.correct for it in episodes) and len({it.provenance for it in episodes}) == 1


def test_a_server_that_fails_one_wording_ends_all_of_them(questions):
    with FakeChatServer(lambda body: Wire(503) if is_slow(body) else completion("<answer>B</answer>")) as server:
        runs = evaluations(questions, server, ("default", "tiny"))
        server._server.RequestHandlerClass.do_GET = lambda handler: handler._send(  # pyright: ignore
            Wire(body=b'{"data": [{"id": "fake"}]}') if not server.requests else Wire(503)
        )
        with pytest.raises(ConfigError, match="does not answer any more"):
            play_paired(runs)
    assert len(read_journal(runs[1].out)) < 6


def test_playing_without_the_model_says_how_to_get_it(tmp_path):
    with pytest.raises(ConfigError, match=r"no such file; run experiments\.integrations\.real_models\.fetch --out"):
        play_talks(PlayTalksRun(tmp_path))


def episode(number: int, turns: tuple[TurnRecord, ...], answer: str | None = None) -> Trajectory:
    task = talk_tasks("test")[number]
    correct = bool(task.gold) and answer == "ABCD"[task.gold.answer_idx]
    stop = StopReason.OUT_OF_CALLS if answer is None else StopReason.ANSWERED
    left, handle = Remaining(0, 0), task.item.video.handle
    return Trajectory(
        task.item.task_id, handle, "", task.item.options, "", "captions", turns, left, stop, answer, correct
    )


def right_letter(number: int) -> str:
    gold = talk_tasks("test")[number].gold
    assert gold is not None
    return "ABCD"[gold.answer_idx]


UNREAD, ANSWER = TurnRecord("x", None, "", error="malformed"), TurnRecord("x", None, "")
FAILED = TurnRecord("x", CallRecord("subtitle_zoom", {}), "", error="tool_error")


def look_at(span: Interval) -> TurnRecord:
    return TurnRecord("x", CallRecord("subtitle_zoom", {}), "", viewed=(Interval(span.start_s, span.end_s),))


def test_a_protocol_is_counted_from_its_episodes():
    first = talk_tasks("test")[0]
    assert first.gold is not None
    evidence = {first.item.task_id: first.gold.evidence}
    looked = measure(episode(0, (look_at(first.gold.evidence[0]), FAILED, ANSWER), right_letter(0)), evidence)
    assert (looked.replies, looked.read, looked.calls, looked.failed) == (3, 3, 2, 1)
    assert looked.looked and looked.names_option and looked.is_right and looked.saw_evidence
    copied = measure(episode(1, (UNREAD, ANSWER), "the option"), evidence)
    assert (copied.read, copied.looked, copied.is_answered, copied.names_option) == (1, False, True, False)
    silent = measure(episode(2, (UNREAD, FAILED)), evidence)
    assert (silent.calls, silent.looked, silent.is_answered, silent.saw_evidence) == (1, False, False, False)
    row = dict(zip(("name", "n", "calls", "tokens", *MEASURES), share_row("w", [looked, copied, silent]), strict=True))
    assert row["n"] == "3" and row["replies read"].startswith("0.71 (") and row["replies read"].endswith("of 7")
    assert row["calls failed"] == "0.67 of 3" and row["placeholder"] == row["no answer"] == "0.33"
    assert row["looked, answered"].startswith("0.33 (") and row["right given evidence"] == "1.00 (1.00 to 1.00) of 1"


def test_wordings_are_compared_with_the_first_on_the_tasks_that_all_have_played(tmp_path, capsys):
    evidence = talk_tasks("test")[0].gold
    assert evidence is not None
    look = look_at(evidence.evidence[0])
    for name, turns, numbers in (("a", (ANSWER,), (0, 1, 2)), ("b", (look, ANSWER), (0, 1))):
        (tmp_path / name).mkdir()
        write_trajectories(tmp_path / name / JOURNAL, [episode(it, turns, right_letter(it)) for it in numbers])
    measure_runs(MeasureRun((tmp_path / "a", tmp_path / "b")))
    lines = [[cell.strip() for cell in it.split("|")] for it in capsys.readouterr().out.splitlines()]
    assert [it[2] for it in lines if it[1:2] == ["a"]] == ["2"]
    minus = dict(zip(lines[-3], lines[-1], strict=True))
    assert minus["minus a"] == "b" and minus["looked"] == "+1.00 (1.00 to 1.00)" and minus["right"].startswith("+0.00")


def test_a_run_without_episodes_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no episode in it yet"):
        measure_runs(MeasureRun((tmp_path,)))


def test_runs_without_a_common_task_are_not_compared(tmp_path):
    for name, number in (("a", 0), ("b", 1)):
        (tmp_path / name).mkdir()
        write_trajectories(tmp_path / name / JOURNAL, [episode(number, (ANSWER,), "A")])
    with pytest.raises(ConfigError, match="no task was played by all of them"):
        measure_runs(MeasureRun((tmp_path / "a", tmp_path / "b")))
