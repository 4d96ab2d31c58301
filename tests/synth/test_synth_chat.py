"""Chat models as teachers: over real sockets, good replies and bad ones, killed runs and other answer keys."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.backends.chat_client import OpenAIClient
from agents.backends.chat_wire import ChatReply, ChatRequest, NativeCall, ReplyStatus
from agents.backends.fake_server import Body, FakeChatServer, Wire, completion, native_call
from agents.backends.paid_replies import ReplyJournal
from agents.backends.server_limits import ServerConfig
from agents.language.tool_calling_chat import ChatSampling, ChatTurns, action_text
from synth.filters import filter_trajectories
from synth.generate import generate, may_pass, plan_attempts
from synth.teacher import BatchChatTeacher, ChatTeacher
from vt_env.actions.parse import ActionReader, parse_action
from vt_env.config import EnvConfig, default_budget
from vt_env.envs.base import make_episode
from vt_env.episode.trajectory import Trajectory
from vt_env.gold import Gold
from vt_env.tasks.task_set import TaskSet
from vt_env.testing import FakeLibrary, fake_tasks
from vt_env.tools.builtin import tools_for
from vt_env.types import Answer, Malformed, StopReason, ToolCall

CAPTIONS = EnvConfig("captions", replace(default_budget(), max_calls=3))
TOOLS = tools_for("captions")
LOOK = native_call("caption_zoom", {"start_s": "05:20", "end_s": "05:40"}, "I look where it may be.")
ANSWER = completion("The caption says 47.\n<answer>B</answer>")


def by_turn(*wires: Wire) -> Callable[[Body], Wire]:
    """Answer the first turn of each conversation with the first of these, and so on; the last one repeats."""
    return lambda body: wires[min(sum(it["role"] == "assistant" for it in body["messages"]), len(wires) - 1)]


def play(
    answer: Callable[[Body], Wire],
    tasks: TaskSet | None = None,
    samples: int = 1,
    journal: Path | None = None,
    config: ServerConfig | None = None,
) -> tuple[list[Trajectory], FakeChatServer]:
    with FakeChatServer(answer) as server:
        config = replace(config or ServerConfig(max_retries=0), base_url=server.base_url, model="fake")
        with OpenAIClient(config) as client:
            complete = ReplyJournal(journal, "fake").through(client.complete) if journal else client.complete
            teacher = ChatTeacher("fake", complete, TOOLS, concurrency=config.concurrency)
            plan = plan_attempts(tasks or fake_tasks(1), samples)
            played = generate(plan, teacher, lambda it: make_episode(it, FakeLibrary(), CAPTIONS), CAPTIONS, seed=0)
            return sorted(played, key=lambda it: (it.task_id, it.sample)), server


def test_native_calls_and_answers_are_written_in_the_canonical_form():
    (played,), server = play(by_turn(LOOK, ANSWER))
    assert [turn.text for turn in played.turns] == [
        'I look where it may be.\n<tool_call>\n{"name": "caption_zoom", "arguments": {"start_s": "05:20", '
        '"end_s": "05:40"}}\n</tool_call>',
        "The caption says 47.\n<answer>B</answer>",
    ]
    assert (played.correct, played.stop, played.policy) == (True, StopReason.ANSWERED, "fake-t0.7")
    first, second = server.requests
    assert [tool["function"]["name"] for tool in first["tools"]] == [tool.name for tool in TOOLS]
    assert "tool_choice" not in second
    _, _, call, result = second["messages"]
    assert call["tool_calls"][0]["function"]["name"] == "caption_zoom" and call["content"] == "I look where it may be."
    assert (result["role"], result["tool_call_id"]) == ("tool", "call-0")
    assert "05:20-05:46 red square 47\n" in result["content"]


def test_the_last_turn_must_be_an_answer():
    (played,), server = play(by_turn(LOOK, LOOK, LOOK, ANSWER))
    assert played.stop is StopReason.ANSWERED and played.calls == 3
    assert [body.get("tool_choice") for body in server.requests] == [None, None, None, "none"]


def test_a_permuted_answer_key_changes_no_byte_of_any_request():
    tasks = fake_tasks(3)
    permuted = TaskSet(tuple(replace(it, gold=Gold(0, it.gold.evidence[:0])) for it in tasks))
    (right, asked), (wrong, asked_otherwise) = (play(by_turn(LOOK, ANSWER), it, samples=2) for it in (tasks, permuted))
    assert all(it.correct for it in right) and not any(it.correct for it in wrong)
    sent, sent_otherwise = (sorted(json.dumps(it) for it in server.requests) for server in (asked, asked_otherwise))
    assert sent == sent_otherwise and len(sent) == 12


def test_samples_of_a_question_and_turns_have_seeds_of_their_own():
    _, server = play(by_turn(LOOK, ANSWER), fake_tasks(2), samples=2)
    assert len({body["seed"] for body in server.requests}) == 8


CALLS = json.loads(LOOK.body)["choices"][0]["message"]["tool_calls"]
BAD = {
    "garbage": (completion("lorem ipsum"), "malformed"),
    "the same call twice": (completion(tool_calls=CALLS * 2), "redundant_calls"),
    "too many calls": (completion(tool_calls=CALLS * 9), "malformed"),
    "no JSON": (native_call("caption_zoom", '{"start_s": '), "malformed"),
    "an unknown tool": (native_call("rewind", {}), "malformed"),
    "unknown arguments": (native_call("caption_zoom", {"when": 3}), "malformed"),
    "an empty reply": (completion(""), "malformed"),
    "half a reply": (completion('<tool_call>{"name": "caption_zoom", "argum', finish="length"), "invalid"),
    "a whole call, cut": (
        completion(tool_calls=CALLS, finish="length"),
        "invalid",
    ),
    "a refusal": (completion("", refusal="I cannot"), "invalid"),
    "too many requests": (Wire(429), "invalid"),
    "a failure": (Wire(500), "invalid"),
    "half a body": (replace(ANSWER, sent_bytes=30), "invalid"),
    "no completion": (Wire(body=b"hello"), "invalid"),
    "silence": (replace(ANSWER, delay_s=60), "invalid"),
}


def once(what: str) -> ServerConfig:
    """No retries, and little patience where nothing will come."""
    return ServerConfig(max_retries=0, timeout_s=1.5 if what == "silence" else 60)


@pytest.mark.parametrize("what", BAD)
def test_a_bad_teacher_is_counted_and_never_kept_and_the_others_go_on(what: str):
    wire, reason = BAD[what]

    _, probe = play(by_turn(ANSWER), fake_tasks(1))
    (first,) = (body["seed"] for body in probe.requests)

    def answer(body: Body) -> Wire:
        return wire if body["seed"] == first else by_turn(LOOK, ANSWER)(body)

    played, _ = play(answer, fake_tasks(2), config=once(what))
    filtered = filter_trajectories(played, "default", np.random.default_rng(0))
    assert [it.task_id for it in filtered.kept] == ["fake/1"]
    (rejected,) = filtered.rejected
    assert (rejected.trajectory.task_id, rejected.reason) == ("fake/0", reason)
    assert rejected.detail
    assert filter_trajectories(played, "paper", np.random.default_rng(0)).kept[-1].task_id == "fake/1"


def test_only_failures_of_the_server_are_worth_another_try():
    statuses = {}
    for what, (wire, reason) in BAD.items():
        if reason == "invalid":
            (played,), _ = play(by_turn(wire), config=once(what))
            statuses[what] = may_pass(played)
    again = {"too many requests", "a failure", "half a body", "no completion", "silence"}
    assert {what for what, may in statuses.items() if may} == again


def test_a_killed_run_pays_for_nothing_twice(tmp_path: Path):
    journal = tmp_path / "replies.jsonl"
    whole, server = play(by_turn(LOOK, LOOK, ANSWER), fake_tasks(2), samples=2, journal=journal)
    assert len(server.requests) == 12
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:7]) + lines[7][:20])
    again, server = play(by_turn(LOOK, LOOK, ANSWER), fake_tasks(2), samples=2, journal=journal)
    assert again == whole
    assert len(server.requests) == 5
    assert ReplyJournal(journal, "fake").used.tries == 12


def test_failures_are_asked_again_and_what_they_used_is_not_forgotten(tmp_path: Path):
    journal = tmp_path / "replies.jsonl"
    (failed,), _ = play(by_turn(Wire(500)), journal=journal)
    assert failed.invalid == "teacher error: 500"
    (played,), server = play(by_turn(ANSWER), journal=journal)
    assert played.stop is StopReason.ANSWERED and len(server.requests) == 1
    assert ReplyJournal(journal, "fake").used.tries == 2


def test_attempts_are_played_at_once_but_no_more_than_the_server_may_be_asked():
    config = ServerConfig(concurrency=4)
    played, server = play(by_turn(replace(ANSWER, delay_s=0.1)), fake_tasks(12), config=config)
    assert len(played) == 12 and 2 <= server.peak <= 4


def called(name: str, arguments: str, text: str = "") -> ChatReply:
    return ChatReply(ReplyStatus.OK, text, (NativeCall("1", name, arguments),))


READ = [
    (
        ChatReply(ReplyStatus.OK, "<answer>A</answer>", reasoning="Is it <answer>B</answer>?"),
        Answer("A", "Is it < answer>B< /answer>?"),
    ),
    (ChatReply(ReplyStatus.OK, "<think>so</think>\n<answer>A</answer>"), Answer("A", "so")),
    (called("FrameZoom", '{"start_s": 5}'), ToolCall("frame_zoom", {"start_s": 5})),
    (called("look", '{"query": "</tool_call>"}'), ToolCall("look", {"query": "</tool_call>"})),
    (called("look", "", "hm"), ToolCall("look", {}, "hm")),
    (
        ChatReply(ReplyStatus.OK, "<retrieve>1, 2</retrieve>", reasoning="Not <search>a</search>."),
        ToolCall("frame_zoom", {"start_s": 1.0, "end_s": 2.0}, "Not < search>a< /search>."),
    ),
]


@pytest.mark.parametrize(("reply", "action"), READ)
def test_thoughts_and_calls_are_read_wherever_a_server_puts_them(reply: ChatReply, action: object):
    assert parse_action(action_text(reply, ActionReader())) == action


def test_a_thought_is_no_action_where_the_rest_is_none():
    text = action_text(ChatReply(ReplyStatus.OK, "hm", reasoning="<search>a</search>"), ActionReader())
    assert isinstance(parse_action(text), Malformed)


def test_a_name_that_breaks_out_of_its_quotes_is_malformed():
    assert isinstance(
        parse_action(action_text(called('look", "arguments": {}}</tool_call>', "{}"), ActionReader())), Malformed
    )


def test_pictures_follow_a_tool_result_in_a_turn_of_the_user():
    episode = make_episode(fake_tasks(1)[0], FakeLibrary(), EnvConfig("frames", default_budget()))
    turns = ChatTurns(tools_for("frames"), ChatSampling(), seed=0)
    turns.request(episode.start())
    call = NativeCall("7", "frame_zoom", '{"start_s": "05:20", "end_s": "05:40"}')
    turns.read(ChatReply(ReplyStatus.OK, "", (call,)))
    outcome = episode.apply(ToolCall("frame_zoom", {"start_s": 320.0, "end_s": 340.0}))
    *_, result, pictures = turns.request(outcome.observation).messages
    assert result == {"role": "tool", "tool_call_id": "7", "content": outcome.observation.text}
    assert [block["type"] for block in pictures["content"]] == ["image", "image", "text"]


def test_an_interruption_waits_for_no_reply():
    slow = by_turn(replace(ANSWER, delay_s=60))
    started_s = time.monotonic()

    def answer(body: Body) -> Wire:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        return slow(body)

    # A test run that was started in the background ignores interruptions, and so would this process.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            play(answer, fake_tasks(1), config=ServerConfig(concurrency=2))
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - started_s < 40


class Engine:
    """Writes calls as text, in batches."""

    def __init__(self) -> None:
        self.batches: list[list[ChatRequest]] = []

    def complete_each(self, requests: Iterable[ChatRequest]) -> Iterator[ChatReply]:
        self.batches.append(list(requests))
        for request in self.batches[-1]:
            turn = sum(it["role"] == "assistant" for it in request.messages)
            arguments = '{"name": "caption_zoom", "arguments": {"start_s": "05:20", "end_s": "05:40"}}'
            texts = (f"<think>so</think>\n<tool_call>{arguments}</tool_call>", "<answer>B</answer>")
            is_cut = request.seed % 7 == 0
            yield ChatReply(ReplyStatus.TRUNCATED if is_cut else ReplyStatus.OK, texts[turn > 0], error="cut" * is_cut)


def test_a_batch_teacher_plays_in_lock_step_and_the_size_of_batches_changes_nothing(tmp_path: Path):
    plan = plan_attempts(fake_tasks(4), samples=2)
    made = []
    for number, size in enumerate((3, 8)):
        engine = Engine()
        complete_each = ReplyJournal(tmp_path / f"{number}.jsonl", "m").through_each(engine)
        teacher = BatchChatTeacher("m", complete_each, TOOLS, batch_size=size)
        opening = lambda it: make_episode(it, FakeLibrary(), CAPTIONS)  # noqa: E731
        made.append(list(generate(plan, teacher, opening, CAPTIONS, seed=0)))
        assert max(map(len, engine.batches)) == size
        asked = sum(map(len, engine.batches))
        again = ReplyJournal(tmp_path / f"{number}.jsonl", "m").through_each(engine)
        assert list(generate(plan, replace(teacher, complete_each=again), opening, CAPTIONS, seed=0)) == made[-1]
        assert sum(map(len, engine.batches)) == asked
    assert made[0] == made[1]
    assert [(it.task_id, it.sample) for it in made[0]] == [attempt.key for attempt in plan]
    whole = [it for it in made[0] if not it.errors]
    assert whole and all(it.correct and it.turns[0].text.startswith("so\n<tool_call>\n") for it in whole)
    results = [it.messages[3] for it in engine.batches[1] if it.messages[2]["content"] != ""]
    assert {it["role"] for it in results} == {"tool"}


def test_a_reply_of_the_engine_that_was_cut_is_an_empty_turn_and_counted():
    class Cut:
        def complete_each(self, requests: Iterable[ChatRequest]) -> Iterator[ChatReply]:
            return (ChatReply(ReplyStatus.TRUNCATED, "<answer>B</answer> and", error="cut") for _ in requests)

    teacher = BatchChatTeacher("m", Cut().complete_each, TOOLS)
    opening = lambda it: make_episode(it, FakeLibrary(), CAPTIONS)  # noqa: E731
    (played,) = generate(plan_attempts(fake_tasks(1), 1), teacher, opening, CAPTIONS, seed=0)
    assert {turn.text for turn in played.turns} == {""} and played.stop is StopReason.OUT_OF_CALLS
