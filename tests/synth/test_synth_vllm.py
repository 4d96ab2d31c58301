"""Synthesis and evaluation with real engines: `vllm serve` and the offline engine on the CPU, the base model in both.

The base model was never shown a tool, so its replies are steered: a pattern makes it write a call, then an answer. What
is real is everything around it: rendering, parsing of calls, the protocol, usage, log-probabilities, pictures.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from agents.backends.chat_client import OpenAIClient
from agents.backends.chat_wire import ChatReply, ChatRequest, ReplyStatus
from agents.backends.sampling import Sampling
from agents.backends.server_limits import ServerConfig
from agents.language.tool_calling_chat import ChatSampling
from experiments.bench.fixtures.vllm_server import MODEL, serving
from experiments.evaluate.eval import EvalRun, play
from experiments.settings.models import BASE_MODEL, ModelConfig, PolicyServerConfig
from experiments.settings.policies import SeededAttempt, Setting, build_policy
from synth.captioner import Captioner
from synth.generate import generate, plan_attempts
from synth.teacher import BatchChatTeacher, ChatTeacher
from vt_env.config import EnvConfig, default_budget
from vt_env.envs.base import make_episode
from vt_env.episode.messages import message
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError
from vt_env.prompts import TINY
from vt_env.testing import FakeLibrary, FakeVideo, fake_tasks
from vt_env.tools.builtin import tools_for
from vt_env.types import StopReason

pytestmark = pytest.mark.slow
pytest.importorskip("vllm")

CAPTIONS = EnvConfig("captions", default_budget())
TOOLS = tools_for("captions")
ARGUMENTS = r'\{"start_s": "05:[23]0", "end_s": "05:4[05]"\}'
CALL = rf'<tool_call>\n\{{"name": "caption_zoom", "arguments": {ARGUMENTS}\}}\n</tool_call>'
ANSWER = r"<answer>[A-D]</answer>"
PICTURES = message("user", "what is it?", FakeVideo(frame_px=112).frames_at([5.0, 6.0]).data)


def up_to(tokens: int) -> Sampling:
    return Sampling(temperature=0.0, max_new_tokens=tokens)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAIClient]:
    log = tmp_path_factory.mktemp("server") / "server.log"
    with serving(log) as url, OpenAIClient(ServerConfig(url, MODEL, max_retries=0, timeout_s=120)) as client:
        yield client


def steered(request: ChatRequest) -> ChatRequest:
    pattern = ANSWER if any(it["role"] == "assistant" for it in request.messages) else CALL
    return replace(request, extra={**request.extra, "structured_outputs": {"regex": pattern}})


def test_a_teacher_behind_a_real_server_plays_with_native_calls(client: OpenAIClient):
    replies: list[ChatReply] = []

    def complete(request: ChatRequest) -> ChatReply:
        replies.append(client.complete(steered(request)))
        return replies[-1]

    teacher = ChatTeacher(MODEL, complete, TOOLS, ChatSampling(max_new_tokens=120), concurrency=3)
    plan = plan_attempts(fake_tasks(2), samples=2)
    played = list(generate(plan, teacher, lambda it: make_episode(it, FakeLibrary(), CAPTIONS), CAPTIONS, seed=0))
    assert len(played) == 4 and all(it.invalid is None and not it.errors for it in played)
    assert all(it.stop is StopReason.ANSWERED and it.turns[0].call.name == "caption_zoom" for it in played)
    assert all("red square 47" in it.turns[0].observation_text for it in played)
    assert sum(bool(reply.calls) for reply in replies) == 4
    assert all(reply.usage.prompt_tokens > 50 and reply.usage.completion_tokens > 2 for reply in replies)


def test_a_real_server_sends_log_probabilities_and_reads_pictures(client: OpenAIClient):
    reply = client.complete(ChatRequest([PICTURES], sampling=up_to(20), logprobs=True))
    assert reply.status is ReplyStatus.OK and reply.text
    assert "".join(it.token for it in reply.logprobs).startswith(reply.text)
    assert all(it.logprob <= 0 for it in reply.logprobs)
    without = client.complete(ChatRequest([message("user", "what is it?")], sampling=up_to(20)))
    assert reply.usage.prompt_tokens - without.usage.prompt_tokens == 2 * 18


def test_a_real_server_s_refusals_are_told_apart(client: OpenAIClient):
    assert client.complete(ChatRequest([message("user", "hello " * 5000)])).status is ReplyStatus.TOO_LONG
    assert client.complete(ChatRequest([message("user", "hello")], sampling=up_to(1))).status is ReplyStatus.TRUNCATED
    assert client.complete(ChatRequest([message("user", "hello")], extra={"n": "x"})).status is ReplyStatus.REJECTED
    with OpenAIClient(replace(client.config, model="other")) as other, pytest.raises(ConfigError, match="no model"):
        other.complete(ChatRequest([message("user", "hello")]))


def test_the_same_seed_is_the_same_reply(client: OpenAIClient):
    request = ChatRequest([message("user", "hello")], sampling=Sampling(temperature=1.0, max_new_tokens=12), seed=5)
    first, second, other = client.complete_each([request, request, replace(request, seed=6)])
    assert first.text == second.text != other.text


def test_a_real_captioner_describes_frames(client: OpenAIClient, tmp_path: Path):
    video = FakeVideo(frame_px=112)
    captioner = Captioner(client.complete, MODEL, tmp_path, max_tokens=40)
    assert captioner.caption(video, video.frames_at([5.0]), "what number is it?")
    assert captioner.counts.used.prompt_tokens > 16


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch computes with one thread, as after a training in the same process."""
    import torch

    # vLLM puts a function that does nothing in this one's place.
    set_num_threads, threads = torch.set_num_threads, torch.get_num_threads()
    set_num_threads(1)
    yield
    torch.set_num_threads = set_num_threads
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_the_offline_engine_teaches_in_batches_and_captions(tmp_path: Path):
    from agents.backends.vllm_chat import VllmChat

    engine = VllmChat(BASE_MODEL, max_images=2)
    teacher = BatchChatTeacher("tiny", engine.complete_each, TOOLS, ChatSampling(max_new_tokens=40), batch_size=3)
    plan = plan_attempts(fake_tasks(2), samples=2)
    opening = lambda it: make_episode(it, FakeLibrary(), CAPTIONS)  # noqa: E731
    played = list(generate(plan, teacher, opening, CAPTIONS, seed=0))
    assert [(it.task_id, it.sample) for it in played] == [attempt.key for attempt in plan]
    assert all(it.invalid is None and it.turns for it in played)
    assert played == list(generate(plan, replace(teacher, batch_size=4), opening, CAPTIONS, seed=0))
    video = FakeVideo(frame_px=112)
    captioner = Captioner(lambda it: next(engine.complete_each([it])), "tiny", tmp_path, max_tokens=40)
    assert captioner.caption(video, video.frames_at([5.0]), "what number is it?")
    too_long = ChatRequest([message("user", "hello " * 5000)])
    short = ChatRequest([message("user", "hello")], sampling=up_to(20))
    assert [it.status for it in engine.complete_each([too_long, short])] == [ReplyStatus.TOO_LONG, ReplyStatus.OK]
    # Threads share the engine, as the looks of many games do, and each gets its own reply.
    asked = [ChatRequest([message("user", "number " * (n + 1))], sampling=up_to(10)) for n in range(8)]
    read = lambda it: next(engine.complete_each([it])).usage.prompt_tokens  # noqa: E731
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, asked)) == list(map(read, asked))


def test_transformers_caption_as_the_server_does(client: OpenAIClient):
    from agents.backends.transformers_chat import TransformersChat

    request = ChatRequest([PICTURES], sampling=up_to(20))
    (own,) = TransformersChat(BASE_MODEL).complete_each([request])
    served = client.complete(request)
    assert (own.status, own.text, own.usage) == (served.status, served.text, served.usage)


@pytest.mark.parametrize("agent", ["full", "uniform"])
def test_a_policy_plays_through_a_real_server_as_in_this_process(client: OpenAIClient, agent: str):
    # A server has a temperature of its own.
    local = ModelConfig(max_new_tokens=24, temperature=0.0, uniform_frames=4)
    served = replace(local, backend="openai", server=PolicyServerConfig(base_url=client.config.base_url))
    library, attempts = FakeLibrary((FakeVideo(frame_px=112),)), [SeededAttempt(task, 0) for task in fake_tasks(2)]

    def played(model: ModelConfig) -> list[Trajectory]:
        policy = build_policy(agent, model, Setting(default_budget(), prompts=TINY))
        try:
            return sorted(play(policy, attempts, library, EvalRun(agent=agent)), key=lambda it: it.task_id)
        finally:
            policy.close()

    for one, other in zip(played(local), played(served), strict=True):
        assert [turn.text for turn in one.turns] == [turn.text for turn in other.turns]
        # The server renders whole conversations anew and comes to the very tokens that are concatenated here.
        assert [it.prompt_tokens for it in one.replies] == [it.prompt_tokens for it in other.replies]
        for reply, again in zip(one.replies, other.replies, strict=True):
            assert (reply.completion_tokens, reply.ended) == (again.completion_tokens, again.ended)
            assert reply.mean_logprob == pytest.approx(again.mean_logprob, abs=1e-3)
            assert reply.answer_logprob == pytest.approx(again.answer_logprob, abs=1e-3)
