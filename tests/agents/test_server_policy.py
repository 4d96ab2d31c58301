"""A served model plays like one in this process, and what goes wrong with a server costs no episode."""

import json
import math
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from agents.backends.bad_server import (
    BREAKDOWNS,
    FULL_CONTEXT,
    ODD_FIELDS,
    REJECTED,
    checks_call_ids,
    error_in_200,
    misbehaving,
    moderates,
    object_arguments,
    with_fields,
)
from agents.backends.fake_server import Body, FakeChatServer, Wire, completion, native_call
from experiments.analysis.accuracy import policy_row
from experiments.cli import run as command
from experiments.evaluate.eval import EvalRun, evaluate, play
from experiments.report.tables import status_table
from experiments.runs.journal import read_journal
from experiments.runs.read_run import JOURNAL
from experiments.settings.models import ModelConfig, PolicyServerConfig
from experiments.settings.policies import SeededAttempt, Setting, build_policy
from vt_env.config import default_budget
from vt_env.episode.reply_record import ReplyEnd
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError
from vt_env.testing import FakeLibrary, fake_task
from vt_env.types import StopReason

pytest.importorskip("httpx")

LOOK = '<tool_call>{"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": "05:40"}}</tool_call>'


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.backends.chat_client._FIRST_WAIT_S", 0.01)


def looks_then_answers(body: Body) -> Wire:
    """Look once, then answer; whatever was asked."""
    return completion(LOOK if len(body["messages"]) == 2 else "red yes\n<answer>B</answer>", tokens=5)


def with_logprobs(text: str, tokens: list[tuple[str, float]]) -> Wire:
    wire = completion(text, tokens=len(tokens))
    body = json.loads(wire.body)
    body["choices"][0]["logprobs"] = {"content": [{"token": token, "logprob": value} for token, value in tokens]}
    return replace(wire, body=json.dumps(body).encode())


def model_at(server: FakeChatServer, **flags) -> ModelConfig:
    return ModelConfig(backend="openai", server=PolicyServerConfig(base_url=server.base_url, max_retries=1, **flags))


def played_at(server: FakeChatServer, agent: str = "full", count: int = 1, **flags) -> list[Trajectory]:
    run = EvalRun(agent=agent, model=model_at(server, **flags), batch=4)
    policy = build_policy(agent, run.model, Setting(default_budget()), run.gate, run.batch)
    try:
        attempts = [SeededAttempt(fake_task(task_id=f"task-{n}"), seed=n) for n in range(count)]
        return sorted(play(policy, attempts, FakeLibrary(), run), key=lambda it: it.task_id)
    finally:
        policy.close()


def test_an_episode_is_played_through_a_server_and_counted():
    with FakeChatServer(looks_then_answers) as server:
        (episode,) = played_at(server)
    assert (episode.correct, episode.calls, len(episode.frames)) == (True, 1, 2)
    assert (episode.tokens.read, episode.tokens.replies, episode.tokens.images) == (100, 10, None)
    assert episode.latency_s > 0 and episode.ended is ReplyEnd.STOP
    first, second = server.requests
    assert first["tool_choice"] == "none" and len(first["tools"]) == 6, "the model writes its calls itself"
    assert [it["role"] for it in second["messages"]] == ["system", "user", "assistant", "tool"]
    assert [block["type"] for block in second["messages"][3]["content"]] == ["image_url", "image_url", "text"]
    assert second["messages"][:2] == first["messages"] and first["seed"] != second["seed"] < 2**31


def test_native_calls_are_written_as_actions_and_their_pictures_follow_as_the_user_s():
    def answer(body: Body) -> Wire:
        if len(body["messages"]) == 2:
            return native_call("frame_zoom", {"start_s": "05:20", "end_s": "05:40"}, "I look.")
        return completion("<answer>B</answer>")

    with FakeChatServer(answer) as server:
        (episode,) = played_at(server, calls="native")
    assert episode.turns[0].call.name == "frame_zoom" and episode.turns[0].text.startswith("I look.\n<tool_call>")
    called, result, pictures = server.requests[1]["messages"][2:]
    assert called["tool_calls"][0]["id"] == result["tool_call_id"] and called["content"] == "I look."
    assert "tool_choice" not in server.requests[0]
    assert json.loads(called["tool_calls"][0]["function"]["arguments"]) == {"start_s": 320.0, "end_s": 340.0}
    assert result["content"] == episode.turns[0].observation_text
    assert (pictures["role"], [block["type"] for block in pictures["content"]]) == ("user", ["image_url"] * 2)


def test_several_native_calls_are_one_reply_and_each_is_answered_by_its_id():
    wanted = (("clip_retrieval", '{"query": "red"}'), ("frame_zoom", '{"start_s": 320, "end_s": 340}'))
    calls = [
        {"id": f"id-{name}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for name, arguments in wanted
    ]

    def answer(body: Body) -> Wire:
        return completion(tool_calls=calls) if len(body["messages"]) == 2 else completion("<answer>B</answer>")

    with FakeChatServer(answer) as server:
        (episode,) = played_at(server, calls="native")
    assert server.requests[0]["parallel_tool_calls"] is True
    assert [len(turns) for turns in episode.by_reply] == [2, 1] and episode.calls == 2 and episode.correct
    called, first, second, pictures = server.requests[1]["messages"][2:]
    ids = [it["id"] for it in called["tool_calls"]]
    assert ids == [first["tool_call_id"], second["tool_call_id"]] and len(set(ids)) == 2
    assert [first["content"], second["content"]] == [turn.observation_text for turn in episode.turns[:2]]
    assert [block["type"] for block in pictures["content"]] == ["text", "image_url", "image_url"]


def test_confidence_comes_from_the_log_probabilities_of_the_answer_s_tokens():
    tokens = [("<answer>", -0.01), ("B", math.log(0.6)), ("</answer>", -0.02), ("<|im_end|>", -3.0)]
    with FakeChatServer(lambda body: with_logprobs("<answer>B</answer>", tokens)) as server:
        (episode,) = played_at(server)
    assert server.requests[0]["logprobs"] is True
    assert episode.confidence == pytest.approx(0.6)
    assert episode.replies[0].mean_logprob == pytest.approx((math.log(0.6) - 3.03) / 4)


@pytest.mark.parametrize(("confidence", "asked"), [(0.9, 1), (0.2, 3)])
def test_a_gated_episode_asks_for_a_direct_answer_without_tools_first(confidence, asked):
    def answer(body: Body) -> Wire:
        if "tools" not in body:
            return with_logprobs("<answer>A</answer>", [("<answer>A</answer>", math.log(confidence))])
        return looks_then_answers(body)

    # The fake video is as long as a long one, so its clips are looked at first.
    with FakeChatServer(answer) as server:
        (episode,) = played_at(server, "gated")
    assert "tools" not in server.requests[0] and episode.gate.confidence == pytest.approx(confidence)
    assert episode.answer == ("A" if asked == 1 else "B") or episode.gate.route == "retrieval"
    assert episode.gate.accepted == (asked == 1)


@pytest.mark.parametrize(
    ("wire", "ended"),
    [
        (completion("I was about to", finish="length"), ReplyEnd.LENGTH),
        (completion("", finish="content_filter"), ReplyEnd.REFUSED),
        (Wire(400, b'{"message": "maximum context length is 64 tokens"}'), ReplyEnd.CONTEXT),
    ],
)
def test_a_reply_that_ends_badly_is_a_turn_that_says_so(wire, ended):
    with FakeChatServer(lambda body: wire) as server:
        (episode,) = played_at(server)
    assert {it.ended for it in episode.replies} == {ended}
    assert (episode.correct, episode.answer, episode.invalid) == (False, None, None)


def test_a_full_context_ends_the_episode_with_a_status_that_is_counted():
    def answer(body: Body) -> Wire:
        return completion(LOOK) if len(body["messages"]) == 2 else FULL_CONTEXT["vllm"]

    with FakeChatServer(answer) as server:
        (episode,) = played_at(server)
    assert (episode.stop, episode.calls, len(episode.turns)) == (StopReason.CONTEXT_FULL, 1, 2)
    assert (episode.errors, episode.correct, episode.invalid) == ((), False, None)
    assert policy_row("full", [episode]).status == {"context": 1}
    assert "context" in "\n".join(status_table([policy_row("full", [episode])]))


def test_thoughts_that_a_server_returns_apart_are_recorded_and_not_sent_again():
    def answer(body: Body) -> Wire:
        if len(body["messages"]) == 2:
            return native_call("frame_zoom", {"start_s": 320, "end_s": 340}, reasoning_content="Is it <answer>A?")
        return completion("<think>It is red.</think>So: <answer>B</answer>", reasoning="Red, then.")

    with FakeChatServer(answer) as server:
        (episode,) = played_at(server, calls="native")
    assert [it.reasoning for it in episode.replies] == ["Is it <answer>A?", "Red, then.\nIt is red."]
    assert [it.text for it in episode.turns][1] == "So:\n<answer>B</answer>"
    assert server.requests[1]["messages"][2]["content"] == ""
    assert Trajectory.from_json(episode.to_json()) == episode


@pytest.mark.parametrize("calls", ["text", "native"])
def test_the_hint_on_a_reply_without_a_call_is_the_user_s_and_what_a_call_led_to_the_tool_s(calls):
    replies = ["I will look for it.", '<tool_call>{"name": "frame_zoom", "arguments": {}}</tool_call>', LOOK]

    def answer(body: Body) -> Wire:
        said = sum(it["role"] == "assistant" for it in body["messages"])
        return completion(replies[said] if said < len(replies) else "<answer>B</answer>")

    with FakeChatServer(answer) as server:
        (episode,) = played_at(server, calls=calls)
    assert [turn.error for turn in episode.turns] == ["malformed", "tool_error", None, None]
    roles = [it["role"] for it in server.requests[-1]["messages"] if it["role"] != "assistant"]
    pictures = ["user"] if calls == "native" else []
    assert roles == ["system", "user", "user", "tool", "tool", *pictures]


@pytest.mark.parametrize("calls", ["text", "native"])
def test_a_thought_that_never_ends_is_malformed_with_a_line_that_says_so(calls):
    cut = completion("", finish="length", reasoning_content="Hmm, <answer>B</answer> or")
    with FakeChatServer(lambda body: cut) as server:
        (episode,) = played_at(server, calls=calls)
    assert {it.ended for it in episode.replies} == {ReplyEnd.LENGTH} and episode.answer is None
    assert episode.replies[0].reasoning == "Hmm, <answer>B</answer> or"
    assert (episode.turns[0].text, episode.turns[0].error) == ("<think>", "malformed")
    assert "the thought does not end" in episode.turns[0].observation_text


def test_after_the_last_call_a_native_server_is_told_to_call_no_more():
    look = native_call("frame_zoom", {"start_s": 320, "end_s": 340})
    with FakeChatServer(lambda body: look) as server:
        played_at(server, calls="native")
    assert [it.get("tool_choice") for it in server.requests] == [None] * 8 + ["none"]


def test_calls_keep_the_ids_that_the_server_gave_and_others_have_nine_letters_and_digits():
    def answer(body: Body) -> Wire:
        asked = len(body["messages"])
        if asked == 2:
            return object_arguments("frame_zoom", {"start_s": 320, "end_s": 340})
        return (
            native_call("subtitle_retrieval", {"query": "red"}, call_id="")
            if asked == 5
            else completion("<answer>B</answer>")
        )

    with FakeChatServer(checks_call_ids(answer)) as server:
        (episode,) = played_at(server, calls="native")
    assert episode.correct
    ids = [call["id"] for it in server.requests[2]["messages"] for call in it.get("tool_calls", ())]
    assert ids == ["aB3dE6gH9", "call00100"]


def test_a_server_that_drops_unparsed_tools_reads_them_in_the_system_message(capsys):
    with FakeChatServer(looks_then_answers, keeps_tools=False) as server:
        (episode,) = played_at(server)
    assert episode.correct and "frame_zoom" in server.requests[0]["messages"][0]["content"]
    assert "tools" not in server.requests[0] and "tool_choice" not in server.requests[0]
    assert "the system message describes them" in capsys.readouterr().out


def test_a_text_only_server_is_refused_once_and_before_anything_is_played():
    with FakeChatServer(lambda body: completion("<answer>B</answer>"), reads_pictures=False) as server:
        with pytest.raises(ConfigError, match=r"answers texts but no pictures .*image input is not supported"):
            played_at(server)
        assert not server.requests
        (episode,) = played_at(server, "blind")
    assert episode.correct


def test_replies_are_as_long_as_a_quarter_of_the_context_that_a_server_names(capsys):
    with FakeChatServer(looks_then_answers, context_tokens=8000) as server:
        played_at(server)
    assert {it["max_tokens"] for it in server.requests} == {2000}
    assert "temperature" not in server.requests[0]
    assert "sampling: replies of up to 2000 tokens; all else is the server's own" in capsys.readouterr().out


def test_a_moderated_question_spoils_its_own_episode_only():
    marked = fake_task(task_id="b")
    marked = replace(marked, item=replace(marked.item, question="mark?"))
    with FakeChatServer(moderates("mark?", looks_then_answers)) as server:
        run = EvalRun(agent="full", model=model_at(server), batch=1)
        policy = build_policy("full", run.model)
        attempts = [SeededAttempt(it, 0) for it in (fake_task(task_id="a"), marked)]
        episodes = {it.task_id: it for it in play(policy, attempts, FakeLibrary(), run)}
        policy.close()
    assert episodes["a"].correct and "requires moderation" in episodes["b"].invalid


def test_a_request_that_the_server_refuses_spoils_its_own_episode_only():
    def answer(body: Body) -> Wire:
        seen = json.dumps(body["messages"][1])
        return Wire(422, b"no such picture") if "mark" in seen else completion("<answer>B</answer>")

    with FakeChatServer(answer) as server:
        run = EvalRun(agent="full", model=model_at(server), batch=2)
        policy = build_policy("full", run.model)
        marked = fake_task(task_id="b")
        marked = replace(marked, item=replace(marked.item, question="mark?"))
        attempts = [SeededAttempt(it, 0) for it in (fake_task(task_id="a"), marked, fake_task(task_id="c"))]
        episodes = {it.task_id: it for it in play(policy, attempts, FakeLibrary(), run)}
        policy.close()
    assert {name: it.correct for name, it in episodes.items()} == {"a": True, "b": None, "c": True}
    assert "rejects the request: 422 no such picture" in episodes["b"].invalid


@pytest.mark.parametrize("calls", ["text", "native"])
def test_no_mixture_of_faults_ends_a_run_or_counts_as_a_reply(calls: str):
    # A rate limit that stays ends the run in one line, to be continued.
    passing = [wire for wire in BREAKDOWNS.values() if wire.status != 429]
    faults = [*passing, *REJECTED.values(), error_in_200("overloaded")]
    odd = [with_fields(completion("<answer>B</answer>"), it) for it in ODD_FIELDS.values()]
    with FakeChatServer(misbehaving(looks_then_answers, [*faults, *odd], seed=1)) as server:
        episodes = played_at(server, count=40, calls=calls)
    assert len(episodes) == 40
    spoilt = [it for it in episodes if it.invalid is not None]
    assert 0 < len(spoilt) < 30 and all("rejects" in it.invalid or "answer" in it.invalid for it in spoilt)
    rest = [it for it in episodes if it.invalid is None]
    assert all(it.correct for it in rest)
    # What broke off is in no turn.
    assert not any(half in turn.text for it in episodes for turn in it.turns for half in ("half of", "hel"))


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve tasks about one small real video."""
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    asked = {"question": "Where is it?", "options": ["Houston", "Greenbelt"], "answer": 1}
    video = Path(__file__).parents[1] / "fixtures/nasa_13013.mp4"
    rows = [{**asked, "video": str(video), "task_id": f"task-{n:02d}"} for n in range(12)]
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "tasks.jsonl"


@pytest.mark.slow
def test_a_server_that_dies_ends_the_run_in_one_line_and_nothing_is_lost_or_played_twice(tasks, tmp_path, capsys):
    answered = []

    def dies(body: Body) -> Wire:
        answered.append(1)
        if len(answered) > 5:
            server._server.shutdown_request = lambda *_: None
            return Wire(503, b"out of memory")
        return completion("<answer>B</answer>")

    def flags(server: FakeChatServer) -> list[str]:
        where = ["--tasks", str(tasks), "--out", str(tmp_path / "run"), "--agent", "full", "--backend", "openai"]
        return [
            "eval",
            *where,
            "--batch",
            "1",
            "--model.server.base-url",
            server.base_url,
            "--model.server.max-retries",
            "1",
        ]

    server = FakeChatServer(dies)
    # Its list of models fails as well: the server is gone, and not the one request at fault.
    server._server.RequestHandlerClass.do_GET = lambda handler: handler._send(
        Wire(body=b'{"data": [{"id": "fake"}]}') if len(answered) < 6 else Wire(503, b"out of memory")
    )
    with server:
        assert command(flags(server)) == 2
    *_, line = [it for it in capsys.readouterr().err.splitlines() if it.startswith("vt-env:")]
    assert "does not answer any more (503 out of memory)" in line and "run the same command again" in line
    before = (tmp_path / "run" / JOURNAL).read_text()
    assert before.count("\n") == 5
    with FakeChatServer(lambda body: completion("<answer>B</answer>")) as healthy:
        assert command(flags(healthy)) == 0
        assert len(healthy.requests) == 7
    journal = (tmp_path / "run" / JOURNAL).read_text()
    assert journal.startswith(before)
    episodes = read_journal(tmp_path / "run")
    assert sorted(it.task_id for it in episodes) == [f"task-{n:02d}" for n in range(12)]
    assert all(it.correct for it in episodes)


def test_a_run_in_which_nothing_could_be_played_fails_and_says_why(tasks, tmp_path, capsys):
    with FakeChatServer(lambda body: REJECTED["no tools"]) as server:
        flags = ["--tasks", str(tasks), "--out", str(tmp_path / "run"), "--agent", "full", "--backend", "openai"]
        assert command(["eval", *flags, "--n", "2", "--model.server.base-url", server.base_url]) == 1
    out = capsys.readouterr().out
    assert "2 invalid episodes are not scored" in out and "No endpoints found that support tool use" in out


def test_requests_of_different_episodes_are_under_way_at_once(tasks, tmp_path):
    four, have_met = threading.Barrier(4), threading.Event()

    def answer(body: Body) -> Wire:
        # None of the first four is answered before all of them have come.
        if not have_met.is_set():
            four.wait(60)
            have_met.set()
        return completion("<answer>B</answer>")

    with FakeChatServer(answer) as server:
        run = EvalRun(agent="full", tasks=str(tasks), out=tmp_path / "run", model=model_at(server), batch=4)
        assert evaluate(run).accuracy == 1.0
        assert server.peak == 4


def test_a_server_that_is_not_there_or_serves_another_model_is_refused_before_anything_is_played():
    with pytest.raises(ConfigError, match="cannot be reached"):
        build_policy("full", ModelConfig(backend="openai", server=PolicyServerConfig("http://127.0.0.1:1/v1")))
    with FakeChatServer(looks_then_answers) as server, pytest.raises(ConfigError, match=r"serves fake: give one"):
        build_policy("full", model_at(server, model="other"))
