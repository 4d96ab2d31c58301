"""The client of OpenAI-compatible servers: every failure is a value, every retry is counted, nothing secret is told."""

import base64
import io
import json
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from PIL import Image

from agents.backends import vllm_chat
from agents.backends.bad_server import (
    BREAKDOWNS,
    FULL_CONTEXT,
    ODD_FIELDS,
    REJECTED,
    TRUNCATED,
    error_in_200,
    object_arguments,
    wants_max_completion_tokens,
    with_choice,
    with_fields,
    with_logprob,
)
from agents.backends.chat_client import OpenAIClient
from agents.backends.chat_wire import ChatReply, ChatRequest, NativeCall, ReplyStatus, TokenLogprob, Usage
from agents.backends.fake_server import Body, FakeChatServer, Wire, completion, native_call
from agents.backends.sampling import Sampling
from agents.backends.server_limits import ServerConfig, retry_after_s
from vt_env.episode.messages import message
from vt_env.errors import LOUD, ConfigError

HELLO = ChatRequest(
    [{"role": "user", "content": "Hello"}], sampling=Sampling(temperature=0.5, max_new_tokens=7), seed=3
)
PATIENT = ServerConfig("http://127.0.0.1:1/v1", "fake", max_retries=2)
KEY = "sk-do-not-tell"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.backends.chat_client._FIRST_WAIT_S", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def in_turn(*wires: Wire) -> Callable[[Body], Wire]:
    """Answer each request with the next of these, and every one after them with the last."""
    left: Iterator[Wire] = iter(wires)
    return lambda body: next(left, wires[-1])


def ask(answer: Callable[[Body], Wire], request: ChatRequest = HELLO, config: ServerConfig = PATIENT):
    with FakeChatServer(answer) as server, OpenAIClient(replace(config, base_url=server.base_url)) as client:
        reply = client.complete(request)
        assert client.used == reply.usage
    return reply, server


def test_a_request_and_its_reply_are_whole():
    reply, server = ask(in_turn(completion("Good day", tokens=4)))
    assert (reply.status, reply.text, reply.error) == (ReplyStatus.OK, "Good day", "")
    assert reply.usage == Usage(prompt_tokens=40, completion_tokens=4, tries=1)
    assert server.requests == [
        {
            "model": "fake",
            "messages": [{"role": "user", "content": "Hello"}],
            "max_tokens": 7,
            "temperature": 0.5,
            "seed": 3,
        }
    ]
    assert server.keys == [f"Bearer {KEY}"]


def test_without_a_key_none_is_sent(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    _, server = ask(in_turn(completion()))
    assert server.keys == [None]


def test_pictures_arrive_as_they_were():
    frames = np.arange(2 * 28 * 28 * 3, dtype=np.uint8).reshape(2, 28, 28, 3)
    _, server = ask(in_turn(completion()), replace(HELLO, messages=[message("user", "What is this?", frames)]))
    *pictures, text = server.requests[0]["messages"][0]["content"]
    assert text == {"type": "text", "text": "What is this?"}
    for frame, picture in zip(frames, pictures, strict=True):
        data = picture["image_url"]["url"].removeprefix("data:image/png;base64,")
        assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) == frame).all()


def test_tools_are_offered_one_call_a_turn_and_calls_are_read():
    tool = {"type": "function", "function": {"name": "look", "parameters": {}}}
    reply, server = ask(in_turn(native_call("look", '{"start_s": ', "I look")), replace(HELLO, tools=[tool]))
    assert server.requests[0]["tools"] == [tool] and server.requests[0]["parallel_tool_calls"] is False
    assert (reply.text, reply.calls) == ("I look", (NativeCall("call-0", "look", '{"start_s": '),))


def test_log_probabilities_and_separate_thoughts_are_read():
    body = json.loads(completion("A", reasoning_content="hm").body)
    body["choices"][0]["logprobs"] = {"content": [{"token": "A", "logprob": -0.25}]}
    reply, server = ask(in_turn(Wire(body=json.dumps(body).encode())), replace(HELLO, logprobs=True))
    assert server.requests[0]["logprobs"] is True
    assert (reply.logprobs, reply.reasoning) == ((TokenLogprob("A", -0.25),), "hm")


def test_the_cost_is_counted_by_the_given_prices():
    priced = replace(PATIENT, usd_per_million_prompt_tokens=2.0, usd_per_million_completion_tokens=10.0)
    reply, _ = ask(in_turn(completion(tokens=1000)), config=priced)
    assert reply.usage.cost_usd == pytest.approx(10_000 * 2e-6 + 1000 * 10e-6)


UNREADABLE = (
    "half of the JSON",
    "no JSON",
    "no bytes",
    "no UTF-8",
    "deep JSON",
    "other JSON",
    "null",
    "no message",
    "odd call",
)
STATUSES = {
    **dict.fromkeys(UNREADABLE, ReplyStatus.UNREADABLE),
    **dict.fromkeys(("429", "odd wait"), ReplyStatus.RATE_LIMITED),
}
FAULTS = {
    **{name: (wire, STATUSES.get(name, ReplyStatus.ERROR)) for name, wire in BREAKDOWNS.items()},
    "an error in a 200": (error_in_200("overloaded"), ReplyStatus.ERROR),
    "a rate limit in a 200": (error_in_200("slow down", 429), ReplyStatus.RATE_LIMITED),
    "silence": (replace(completion("late"), delay_s=60), ReplyStatus.TIMED_OUT),
}


def patience(fault: str) -> ServerConfig:
    return replace(PATIENT, timeout_s=1.5) if fault == "silence" else PATIENT


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_is_mended_by_a_retry(fault: str):
    reply, server = ask(in_turn(FAULTS[fault][0], completion("fine")), config=patience(fault))
    assert (reply.status, reply.text, reply.usage.tries) == (ReplyStatus.OK, "fine", 2)
    assert server.requests[0] == server.requests[1]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_is_a_value_of_its_own_kind(fault: str):
    wire, status = FAULTS[fault]
    reply, server = ask(in_turn(wire), config=replace(patience(fault), max_retries=1))
    assert (reply.status, reply.text, reply.calls) == (status, "", ())
    assert reply.error and len(server.requests) == 2


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        *((completion("I had beg", finish=it), ReplyStatus.TRUNCATED) for it in TRUNCATED),
        (completion("", finish="content_filter"), ReplyStatus.REFUSED),
        (completion("", refusal="I cannot"), ReplyStatus.REFUSED),
        *((it, ReplyStatus.TOO_LONG) for it in FULL_CONTEXT.values()),
        (error_in_200("maximum context length is 8192 tokens", 400), ReplyStatus.TOO_LONG),
        *((it, ReplyStatus.REJECTED) for it in REJECTED.values()),
    ],
)
def test_what_asking_again_would_not_mend_is_not_asked_again(wire: Wire, status: ReplyStatus):
    reply, server = ask(in_turn(wire))
    assert reply.status is status and reply.error
    assert len(server.requests) == 1


def test_what_was_cut_off_keeps_its_text_and_its_tokens():
    reply, _ = ask(in_turn(completion("I had beg", finish="length", tokens=7)))
    assert (reply.text, reply.usage.completion_tokens) == ("I had beg", 7)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (401, "refuses the key .401 bad .*: set OPENAI_API_KEY"),
        (402, "wants to be paid .402 bad"),
        (404, "no model 'm'"),
    ],
)
def test_a_wrong_key_an_unpaid_bill_and_a_wrong_model_are_the_caller_s_to_mend(code: int, said: str):
    with pytest.raises(ConfigError, match=said) as raised:
        ask(in_turn(Wire(code, f"bad {KEY}".encode())), config=replace(PATIENT, model="m"))
    assert KEY not in str(raised.value)


def test_a_403_is_about_the_key_where_the_list_of_models_refuses_it_too():
    server = FakeChatServer(in_turn(Wire(403, b"no access")))
    server._server.RequestHandlerClass.do_GET = lambda handler: handler._send(Wire(403, b"no access"))
    with (
        server,
        OpenAIClient(replace(PATIENT, base_url=server.base_url)) as client,
        pytest.raises(ConfigError, match="refuses the key"),
    ):
        client.complete(HELLO)


def test_a_server_that_wants_another_name_for_the_length_gets_it_from_then_on():
    answer = wants_max_completion_tokens(in_turn(completion("fine")))
    with FakeChatServer(answer) as server, OpenAIClient(replace(PATIENT, base_url=server.base_url)) as client:
        assert [client.complete(HELLO).text for _ in range(2)] == ["fine", "fine"]
    assert ["max_tokens" in it for it in server.requests] == [True, False, False]
    assert server.requests[1]["max_completion_tokens"] == 7


@pytest.mark.parametrize("logprob", [None, -math.inf, math.nan, 0.3, True])
def test_log_probabilities_that_are_no_numbers_are_unknown_and_the_reply_counts(logprob: float | None):
    reply, _ = ask(in_turn(with_logprob(completion("fine"), logprob)), replace(HELLO, logprobs=True))
    assert (reply.status, reply.text, reply.logprobs) == (ReplyStatus.OK, "fine", ())


@pytest.mark.parametrize("name", ODD_FIELDS)
def test_what_only_measures_a_reply_may_be_anything(name: str):
    reply, server = ask(in_turn(with_fields(completion("fine"), ODD_FIELDS[name])))
    assert (reply.status, reply.text, len(server.requests)) == (ReplyStatus.OK, "fine", 1)
    assert name.startswith(("no error", "other")) or reply.usage.prompt_tokens == reply.usage.completion_tokens == 0


@pytest.mark.parametrize("count", ["1e999", "-3", "true", "[]", '"7"', "1" + "0" * 400, "1e300"])
def test_a_number_of_tokens_that_cannot_be_is_unknown_and_the_reply_counts(count: str):
    body = completion("fine").body.replace(b'"prompt_tokens": 10', b'"prompt_tokens": ' + count.encode())
    reply, _ = ask(in_turn(Wire(body=body)))
    assert (reply.status, reply.text, reply.usage.prompt_tokens) == (ReplyStatus.OK, "fine", 0)


def test_what_reading_a_reply_did_not_foresee_is_that_reply_s_failure(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(LOUD)

    def failing(body: object) -> ChatReply:
        raise LookupError("unforeseen")

    monkeypatch.setattr("agents.backends.chat_client.read_reply", failing)
    reply, server = ask(in_turn(completion("fine")), config=replace(PATIENT, max_retries=1))
    assert reply.status is ReplyStatus.UNREADABLE and "LookupError: unforeseen" in reply.error
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("finish", "status"), [("stop", ReplyStatus.OK), ("abort", ReplyStatus.ERROR), (None, ReplyStatus.ERROR)]
)
def test_an_engine_in_this_process_that_breaks_off_has_not_replied(finish: str | None, status: ReplyStatus):
    written = SimpleNamespace(token_ids=[1, 2], finish_reason=finish, text="half of")
    reply = vllm_chat._reply(SimpleNamespace(prompt_token_ids=[1], outputs=[written]))
    whole, broken = (ReplyStatus.OK, "half of"), (ReplyStatus.ERROR, "")
    assert (reply.status, reply.text) == (whole if finish == "stop" else broken)


def test_arguments_of_a_call_may_be_an_object():
    reply, _ = ask(in_turn(object_arguments("look", {"start_s": 3})))
    assert reply.calls == (NativeCall("aB3dE6gH9", "look", '{"start_s": 3}'),)


def test_all_sampling_settings_are_sent_and_null_removes_a_field():
    sampling = Sampling(0.6, 0.9, 20, 0.05, 0.5, 1.1, ("END",), 9, '{"seed": null, "thinking": {"type": "off"}}')
    _, server = ask(in_turn(completion()), replace(HELLO, sampling=sampling))
    sent = {name: value for name, value in server.requests[0].items() if name not in ("model", "messages")}
    assert sent == {
        "temperature": 0.6, "top_p": 0.9, "top_k": 20, "min_p": 0.05, "presence_penalty": 0.5,
        "repetition_penalty": 1.1, "stop": ["END"], "max_tokens": 9, "thinking": {"type": "off"},
    }  # fmt: skip


def test_a_stop_text_that_the_server_left_out_is_put_back():
    reply, _ = ask(in_turn(with_choice(completion("<answer>B"), stop_reason="</answer>")))
    assert reply.text == "<answer>B</answer>"


def test_the_key_is_told_to_nobody():
    reply, _ = ask(in_turn(Wire(400, f"bad request with {KEY}".encode())))
    assert reply.error == "400 bad request with ***"
    assert KEY not in repr(PATIENT)
    with pytest.raises(ConfigError, match="without a name or password"):
        ServerConfig("https://me:secret@host/v1", "m")


def test_a_server_that_says_when_to_come_back_is_left_alone_by_everybody_until_then():
    reply, server = ask(in_turn(Wire(429, b"", {"Retry-After": "0.3"}), completion("now")))
    assert reply.text == "now" and len(server.requests) == 2
    too_long = Wire(503, b"", {"Retry-After": "3600"})
    reply, server = ask(in_turn(too_long))
    assert reply.status is ReplyStatus.ERROR and "asked to wait 3600 s" in reply.error
    assert len(server.requests) == 1


def test_waits_are_read_as_seconds_or_as_a_date_of_the_server_s_clock():
    now = "Wed, 21 Oct 2026 07:28:00 GMT"
    cases = {"7": 7.0, "1.5": 1.5, "Wed, 21 Oct 2026 07:28:30 GMT": 30.0, "Wed, 21 Oct 2020 07:28:00 GMT": 0.0}
    for text, wait_s in {**cases, "soon": 0.0, "-3": 0.0}.items():
        assert retry_after_s(httpx.Headers({"Retry-After": text, "Date": now})) == wait_s
    assert retry_after_s(httpx.Headers({})) == 0.0


@pytest.mark.parametrize(
    "text",
    ["Wed, 21 Oct 2026 07:28:30 -0000", "Wed, 21 Oct 2026 07:28:30", "Wed, 21 Oct 99999 07:28:30 GMT", "1e5", "inf",
     "nan", ",", "\t", "Wed, 21 Oct 2026 99:28:30 GMT", "Wed, 32 Oct 2026 07:28:30 +9999"],
)  # fmt: skip
def test_a_wait_that_cannot_be_read_is_none(text: str):
    headers = {"Retry-After": text, "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    assert 0.0 <= retry_after_s(headers) <= 40.0 and retry_after_s({**headers, "Date": text}) == 0.0


def test_requests_run_at_once_but_no_more_than_allowed_and_replies_keep_their_order():
    def echo(body: Body) -> Wire:
        return replace(completion(body["messages"][0]["content"]), delay_s=0.1)

    texts = [str(number) for number in range(20)]
    with FakeChatServer(echo) as server:
        config = replace(PATIENT, base_url=server.base_url, concurrency=4)
        with OpenAIClient(config) as client:
            requests = (ChatRequest([{"role": "user", "content": text}]) for text in texts)
            assert [reply.text for reply in client.complete_each(requests)] == texts
            assert client.used == Usage(200, 20, 20)
    assert 2 <= server.peak <= 4


@pytest.mark.parametrize("limit", ["requests_per_minute", "tokens_per_minute"])
def test_a_limit_a_minute_spaces_requests(limit: str):
    with FakeChatServer(in_turn(completion(tokens=5))) as server:
        config = replace(PATIENT, base_url=server.base_url, **{limit: 1})
        with OpenAIClient(config) as client:
            client.complete(HELLO)
            second = client.submit(HELLO)
            with pytest.raises(TimeoutError):
                second.result(timeout=0.2)
    assert len(server.requests) == 1


def test_closing_the_client_ends_what_waits():
    with FakeChatServer(in_turn(replace(completion(), delay_s=0.5))) as server:
        client = OpenAIClient(replace(PATIENT, base_url=server.base_url))
        waiting = client.submit(HELLO)
        client.close()
        client.close()
        assert waiting.cancelled()
        with pytest.raises(RuntimeError, match="closed"):
            client.complete(HELLO)
    assert not [thread for thread in threading.enumerate() if thread.name == "openai-client"]


def test_a_server_tells_its_models_and_one_that_is_not_there_is_named():
    with (
        FakeChatServer(in_turn(completion())) as server,
        OpenAIClient(replace(PATIENT, base_url=server.base_url)) as client,
    ):
        assert client.served_models() == ["fake"]
    with OpenAIClient(PATIENT) as client, pytest.raises(ConfigError, match="cannot be reached"):
        client.served_models()


@pytest.mark.parametrize(
    "wrong", [{"base_url": "localhost:8000"}, {"concurrency": 0}, {"timeout_s": 0.0}, {"max_retries": -1}]
)
def test_a_configuration_that_cannot_work_is_refused(wrong: dict[str, object]):
    with pytest.raises(ConfigError):
        replace(PATIENT, **wrong)
