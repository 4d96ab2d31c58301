"""Transcripts of eight model families are one trajectory wherever they are played.

Played by: agents in rounds and in threads, a served model, token ids in process, both text-reading environments,
sessions, TRL's environment with TRL's own parsers, replay, and records on disk.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.family_transcripts import GROUPS, TRANSCRIPTS, FamilyTranscript

from agents.backends.fake_server import FakeChatServer, completion
from agents.rollout import AgentBatch, Start, play_in_threads, run_episode, run_many
from experiments.evaluate.eval import EvalRun, play
from experiments.evaluate.replay import first_difference, replay
from experiments.settings.models import ModelConfig, PolicyServerConfig
from experiments.settings.policies import Layout, SeededAttempt, Setting, build_policy
from vt_env.config import BudgetConfig, EnvConfig, MediaConfig
from vt_env.envs.base import make_episode
from vt_env.envs.text_env import LongVideoQATextEnv
from vt_env.envs.tool_env import LongVideoQAEnv
from vt_env.episode.trajectory import Trajectory, TurnRecord, read_trajectories, record_episode, write_trajectories
from vt_env.integrations.trl import environment_class, reward_functions
from vt_env.integrations.trl.parallel_tools import CallBatch, SameThread
from vt_env.session import Session
from vt_env.testing import FakeLibrary, FakeVideo, fake_tasks
from vt_env.tools.builtin import tools_for

LIBRARY = FakeLibrary((FakeVideo(frame_px=112),))
TASKS = fake_tasks(1)
TASK = TASKS[0]
BUDGET = BudgetConfig(max_calls=5, max_frames=6, frames_per_zoom=2)
TOOLS = tools_for("frames")
families = pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda it: it.family)


class Says:
    """An agent that writes given texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = list(texts)

    def reset(self, *shown: object) -> None:
        """Begin."""

    def act(self, observation: object) -> str:
        """Write the next text."""
        return self._texts.pop(0)


def new_episode():
    return make_episode(TASK, LIBRARY, EnvConfig("frames", BUDGET))


def summary(turns: Sequence[TurnRecord]) -> list[tuple[object, ...]]:
    return [
        (it.call and (it.call.name, dict(it.call.arguments)), it.observation_text, it.frames, it.viewed, it.error,
         it.continues)
        for it in turns
    ]  # fmt: skip


def played_in_env(kind: Any, texts: Sequence[str]) -> list[tuple[object, ...]]:
    env = kind(TASKS, library=LIBRARY, budget=BUDGET, media=MediaConfig())
    env.reset(options={"task_id": TASK.item.task_id})
    for text in texts:
        env.step(text)
    return summary(record_episode(env.episode, texts).turns)


def played_by_trl(messages: Sequence[dict[str, Any]], executor: Any) -> Trajectory:
    """Play parsed replies as TRL's tool loop does: the calls of one reply, each by its method."""
    environment = environment_class(TASKS, library=LIBRARY, budget=BUDGET)()
    environment.reset(task_id=TASK.item.task_id)
    completion: list[dict[str, Any]] = []
    environment._rollout.before_call = CallBatch([environment], [completion], executor).begin
    for message in messages:
        completion.append(message)
        for call in message.get("tool_calls") or ():
            name, arguments = call["function"]["name"], call["function"]["arguments"]
            content = getattr(environment, name)(**arguments)
            completion.append({"role": "tool", "name": name, "content": content})
    kept: list[Trajectory] = []
    reward_functions("default", lambda step, rollouts: kept.extend(rollouts))[0](
        completions=[completion],
        environments=[environment],
        log_metric=lambda *_: None,
        trainer_state=type("State", (), {"global_step": 0}),
    )
    return kept[0]


def structured(transcript: FamilyTranscript) -> list[dict[str, Any]]:
    """Return the replies as a server or TRL parses them."""
    return [
        *(
            {"role": "assistant", "content": "I look.", "tool_calls": [
                {"type": "function", "function": {"name": it.name, "arguments": dict(it.arguments)}} for it in group
            ]}
            for group in GROUPS
        ),
        {"role": "assistant", "content": transcript.replies[-1]},
    ]  # fmt: skip


@families
def test_a_transcript_is_one_trajectory_everywhere(transcript: FamilyTranscript, tmp_path: Path) -> None:
    texts = transcript.replies
    played = run_episode(Says(texts), new_episode())
    assert [it.form for it in played.turns] == [transcript.form] * 5 + [""]
    assert [len(turns) for turns in played.by_reply] == [2, 3, 1] and played.calls == 5 and played.correct
    assert [it.error for it in played.turns] == [None, None, None, "tool_error", None, None]
    expected = summary(played.turns)
    for kind in (LongVideoQATextEnv, LongVideoQAEnv):
        assert played_in_env(kind, texts) == expected
    ((_, threaded),) = play_in_threads(
        AgentBatch([Says(texts)]), [Start(TASK.item, EnvConfig("frames", BUDGET), new_episode)], 1
    )
    assert threaded.without_times() == played
    session = Session(new_episode())
    for text in texts:
        session.act(text)
    assert [it.observation_text for it in session.episode.turns] == [it.observation_text for it in played.turns]
    with ThreadPoolExecutor(2) as pool:
        for executor in (pool, SameThread()):
            trained = played_by_trl(structured(transcript), executor)
            assert summary(trained.turns) == expected
            written = [first.text for first, *_ in trained.by_reply]
            assert summary(run_episode(Says(written), new_episode()).turns) == expected
    write_trajectories(tmp_path / "t.jsonl", [played])
    (read,) = read_trajectories(tmp_path / "t.jsonl")
    assert read == played
    again = replay(read, TASK, Layout("frames", TOOLS, BUDGET), LIBRARY)
    assert read.turns[2].frames_hash and first_difference(read, again) is None and summary(again.turns) == expected


def test_a_served_model_of_any_family_plays_its_transcript() -> None:
    left: Iterator[str] = iter([text for it in TRANSCRIPTS for text in it.replies])
    with FakeChatServer(lambda body: completion(next(left))) as server:
        model = ModelConfig(backend="openai", server=PolicyServerConfig(base_url=server.base_url))
        run = EvalRun(agent="full", model=model, batch=1)
        policy = build_policy("full", model, Setting(BUDGET), run.gate, 1)
        played = list(play(policy, [SeededAttempt(TASK, seed) for seed, _ in enumerate(TRANSCRIPTS)], LIBRARY, run))
        policy.close()
    for transcript, episode in zip(TRANSCRIPTS, played, strict=True):
        alone = run_episode(Says(transcript.replies), new_episode())
        assert summary(episode.turns) == summary(alone.turns), transcript.family
        assert [it.form for it in episode.turns] == [it.form for it in alone.turns]


@pytest.mark.slow
@families
def test_the_family_s_published_template_writes_the_transcript(transcript: FamilyTranscript) -> None:
    pytest.importorskip("trl")
    if not transcript.template:
        pytest.skip(f"TRL ships no template with several calls of {transcript.family}")
    from importlib.resources import files

    from transformers.utils.chat_template_utils import render_jinja_template

    template = (files("trl") / "chat_templates" / f"{transcript.template}.jinja").read_text(encoding="utf-8")
    for reply, message in zip(transcript.replies, structured(transcript)[:2], strict=False):
        for call in message["tool_calls"]:
            if transcript.family == "DeepSeek":
                call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
        thought = {"reasoning_content": "Hm."} if "Hm." in reply else {}
        chat = [{"role": "user", "content": "?"}, {**message, **thought}]
        (written,), _ = render_jinja_template([chat], chat_template=template, bos_token="", eos_token="")
        assert written.endswith(f"{transcript.prefix}{reply}{transcript.suffix}")


@pytest.fixture(scope="module")
def processor() -> Any:
    pytest.importorskip("trl")
    from experiments.tiny_model.processor import build_processor

    return build_processor()


@pytest.mark.slow
@families
def test_what_trl_parses_of_a_transcript_is_the_same_trajectory(transcript: FamilyTranscript, processor: Any) -> None:
    if not transcript.response_template:
        pytest.skip(f"TRL reads no several calls of {transcript.family}")
    from trl import chat_template_utils

    tokenizer = processor.tokenizer
    tokenizer.response_template = getattr(chat_template_utils, transcript.response_template)
    schemas = [it.schema for it in TOOLS]
    prefix = tokenizer(transcript.prefix)["input_ids"]
    messages = [
        chat_template_utils.parse_response(
            tokenizer, tokenizer(f"{text}{transcript.suffix}")["input_ids"], prefix=prefix, tools=schemas
        )
        for text in transcript.replies
    ]
    assert [len(it.get("tool_calls") or ()) for it in messages] == [2, 3, 0]
    alone = run_episode(Says(transcript.replies), new_episode())
    assert summary(played_by_trl(messages, SameThread()).turns) == summary(alone.turns)


@pytest.mark.slow
@families
def test_token_ids_in_process_are_the_same_trajectory(transcript: FamilyTranscript, processor: Any) -> None:
    from agents.backends.generator import Completion
    from agents.language.token_policy import ChatPolicy, ChatTokens

    class Scripted:
        context_tokens, max_new_tokens = 100_000, 20

        def __init__(self) -> None:
            self.texts = iter(transcript.replies)

        def generate(self, sequences: Sequence[Any], seeds: Sequence[int]) -> list[Completion]:
            return [Completion(tokens.reply_ids(next(self.texts)))]

    tokens = ChatTokens(processor, [it.schema for it in TOOLS])
    (played,) = run_many(ChatPolicy(tokens, Scripted(), [0]), [new_episode()])
    alone = run_episode(Says(transcript.replies), new_episode())
    assert summary(played.turns) == summary(alone.turns) and [it.form for it in played.turns] == [
        it.form for it in alone.turns
    ]
