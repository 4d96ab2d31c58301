"""Faults of real servers, as public reports tell them, for tests of whatever speaks to one.

with FakeChatServer(moderates("mark", lambda body: completion("<answer>B</answer>"))) as server:
ServerConfig(server.base_url, "fake")
"""

import json
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from agents.backends.fake_server import Answerer, Body, Wire, completion

BROKEN_OFF = ("abort", "error", "network_error", "insufficient_system_resource", "unknown", None)
"""Finish reasons of replies that an engine broke off, with HTTP 200 and part of a text."""
TRUNCATED = ("length", "max_tokens", "MAX_TOKENS", "model_length")
"""Finish reasons of replies that are cut at their length."""
FULL_CONTEXT: Mapping[str, Wire] = {
    "openai": Wire(400, b'{"error": {"message": "This model\'s maximum context length is 8192 tokens."}}'),
    "openai code": Wire(400, b'{"error": {"code": "context_length_exceeded", "message": "too many"}}'),
    "vllm": Wire(400, b"The decoder prompt (length 9000) is longer than the maximum model length of 8192."),
    "sglang": Wire(400, b"The input (9000 tokens) is longer than the model's context length (8192 tokens)."),
    "llama.cpp": Wire(400, b"the request exceeds the available context size, try increasing it"),
    "anthropic": Wire(400, b"prompt is too long: 210000 tokens > 200000 maximum"),
    "anthropic reply": Wire(400, b"input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000"),
    "gemini": Wire(400, b"The input token count (9000) exceeds the maximum number of tokens allowed (8192)."),
    "mistral": Wire(400, b"Prompt contains 9000 tokens, too large for model with 8192 maximum context length"),
    "mlc": Wire(400, b"Request prompt has 9000 tokens in total, larger than the model input length limit 8192."),
    "dashscope": Wire(400, b"<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]"),
    "bedrock": Wire(400, b"Input is too long for requested model."),
    "tgi": Wire(422, b"`inputs` tokens + `max_new_tokens` must be <= 8192. Given: 9000"),
}
"""Refusals of a prompt that does not fit, by server."""
BREAKDOWNS: Mapping[str, Wire] = {
    "429": Wire(429, b"slow down"),
    "500": Wire(500, b"oops"),
    "503": Wire(503, b"<html>down</html>"),
    "half a body": replace(completion("hello"), sent_bytes=40),
    "half of the JSON": Wire(body=completion("hello").body[:40]),
    "no JSON": Wire(body=b"<html>welcome</html>"),
    "no bytes": Wire(body=b""),
    "no UTF-8": Wire(body=b'{"choices": "\xff"}'),
    "deep JSON": Wire(body=b"[" * 100_000),
    "other JSON": Wire(body=b'{"choices": []}'),
    "null": Wire(body=b"null"),
    "no message": Wire(body=b'{"choices": [{"message": null, "finish_reason": "stop"}]}'),
    "no end": Wire(body=b'{"choices": [{"message": {"content": "hel"}}]}'),
    "odd call": completion(tool_calls=[{"function": {"name": 3}}]),
    "odd wait": Wire(429, b"slow down", {"Retry-After": "Mon, 01 Jan 2001 00:00:00 -0000"}),
    **{f"finish {it}": completion("half of", finish=it) for it in BROKEN_OFF},
}
"""Faults that pass when a request is sent again."""
ODD_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "no usage": {"usage": None},
    "usage as a list": {"usage": [1, 2]},
    "infinite usage": {"usage": {"prompt_tokens": math.inf, "completion_tokens": math.nan}},
    "huge usage": {"usage": {"prompt_tokens": 10**400, "completion_tokens": True}},
    "negative usage": {"usage": {"prompt_tokens": -1, "completion_tokens": "many"}},
    "no error": {"error": None},
    "other fields": {"service_tier": {"a": [1]}, "object": 3},
}
"""Fields of a completion whose reply is whole all the same."""
REJECTED: Mapping[str, Wire] = {
    "long string": Wire(400, b"string too long. Expected a string with maximum length 1048576, but got 2000000"),
    "long reply": Wire(400, b"max_tokens is too large: 8192. This model supports at most 4096 completion tokens"),
    "large body": Wire(413, b"<html>413 Request Entity Too Large</html>"),
    "no tools": Wire(404, b'{"error": {"message": "No endpoints found that support tool use."}}'),
    "moderated": Wire(403, b'{"error": {"message": "Your chosen model requires moderation", "code": 403}}'),
    "tools": Wire(400, b'{"error": "tools are not supported"}'),
}
"""Refusals of one request that are about neither key, model nor context."""


def with_fields(wire: Wire, changes: Mapping[str, Any]) -> Wire:
    """Change fields of the body of a completion, such as `usage`."""
    return replace(wire, body=json.dumps({**json.loads(wire.body), **changes}).encode())


def with_choice(wire: Wire, **changes: Any) -> Wire:
    """Change fields of the choice of a completion, such as `finish_reason` or `logprobs`."""
    body = json.loads(wire.body)
    body["choices"][0] |= changes
    # `NaN` and `-Infinity` as Python's servers write them.
    return replace(wire, body=json.dumps(body).encode())


def with_logprob(wire: Wire, logprob: float | None) -> Wire:
    """Give a completion one token with this log-probability, which may be none or infinite."""
    return with_choice(wire, logprobs={"content": [{"token": "A", "logprob": logprob}]})


def error_in_200(message: str, code: object = None) -> Wire:
    """Build an error body with HTTP status 200, as routers of models send it."""
    return Wire(body=json.dumps({"error": {"message": message, "code": code}}).encode())


def object_arguments(name: str, arguments: Mapping[str, Any], call_id: str = "aB3dE6gH9") -> Wire:
    """Build a call whose arguments are an object instead of a JSON text, as llama.cpp sends them."""
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": dict(arguments)}}
    return completion("", "tool_calls", tool_calls=[call])


def misbehaving(answer: Answerer, faults: Sequence[Wire], seed: int = 0, share: float = 0.5) -> Answerer:
    """Answer a share of the requests by one of the faults, drawn at random, and the others well."""
    random, lock = Random(seed), threading.Lock()

    def answered(body: Body) -> Wire:
        with lock:
            fault = random.choice(faults) if random.random() < share else None
        return answer(body) if fault is None else fault

    return answered


def wants_max_completion_tokens(answer: Answerer) -> Answerer:
    """Refuse `max_tokens`, as OpenAI's reasoning models do."""
    message = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    )
    refusal = Wire(400, json.dumps({"error": {"message": message, "code": "unsupported_parameter"}}).encode())
    return lambda body: refusal if "max_tokens" in body else answer(body)


def moderates(word: str, answer: Answerer) -> Answerer:
    """Refuse requests that hold a word with 403, and answer all others."""
    return lambda body: REJECTED["moderated"] if word in json.dumps(body["messages"]) else answer(body)


def checks_call_ids(answer: Answerer) -> Answerer:
    """Refuse ids of calls that are not nine letters and digits, as servers of Mistral's models do."""

    def checked(body: Body) -> Wire:
        calls = [call for message in body["messages"] for call in message.get("tool_calls", ())]
        is_good = all(len(call["id"]) == 9 and call["id"].isalnum() for call in calls)
        return answer(body) if is_good else Wire(400, b"Tool call id has to be a-z, A-Z, 0-9, with a length of 9")

    return checked
