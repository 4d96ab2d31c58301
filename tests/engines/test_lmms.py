"""lmms-eval's own evaluator plays an exported task; runs where lmms-eval is installed (`.ci/engines lmms`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lmms_eval", reason="lmms-eval has an environment of its own: .ci/engines lmms")

from lmms_eval.api.model import lmms
from lmms_eval.evaluator import simple_evaluate
from lmms_eval.tasks import TaskManager

from experiments.cli import run
from vt_env.integrations import lmms_eval as integration
from vt_env.session import SessionSource
from vt_env.testing import Conversation, Played, Received, integration_conformance, tiny_vlm

TINY = tiny_vlm()


class Scripted(lmms):
    """A model class whose replies are written before; keeps what each round showed."""

    def __init__(self, replies: dict[str, Sequence[str]]) -> None:
        super().__init__()
        self.replies = replies
        self.rounds: dict[str, list[tuple[str, list[Any]]]] = {it: [] for it in replies}

    def generate_until(self, requests: list[Any]) -> list[str]:
        return [self._reply(*it.args) for it in requests]

    def _reply(self, text: str, options: Any, doc_to_visual: Any, doc_id: int, task: str, split: str) -> str:
        doc = self.task_dict[task][split][doc_id]
        seen = self.rounds[doc["task_id"]]
        seen.append((text, list(doc_to_visual(doc))))
        replies = self.replies[doc["task_id"]]
        return replies[len(seen) - 1] if len(seen) <= len(replies) else ""

    def loglikelihood(self, requests: list[Any]) -> list[Any]:
        raise NotImplementedError

    def generate_until_multi_round(self, requests: list[Any]) -> list[str]:
        raise NotImplementedError


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Evaluates a scripted model on the folder of an exported task; the tasks are in memory."""

    def evaluate(source: SessionSource, model: Scripted) -> dict[str, Any]:
        monkeypatch.setattr(integration, "session_source", lambda config: source)
        monkeypatch.setattr("experiments.data.export.load_tasks", lambda tasks, split: source.tasks)
        monkeypatch.setattr("experiments.data.export.session_source", lambda config: source)
        budget = f"default,max_calls={source.config.budget.max_calls}"
        assert run(["export", "lmms-eval", "--budget", budget, "--out", str(tmp_path / "tasks")]) == 0
        manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
        return simple_evaluate(model, tasks=[integration.TASK], task_manager=manager, log_samples=True)

    return evaluate


def test_measures_are_those_of_the_episodes(play):
    model = Scripted(dict(TINY.replies))
    results = play(TINY.source, model)
    samples = {it["doc"]["task_id"]: it for it in results["samples"][integration.TASK]}

    assert {name: it["reward"] for name, it in samples.items()} == TINY.rewards
    assert [samples[name]["calls"] for name in TINY.replies] == [1, 2, 1, 3]
    assert results["results"][integration.TASK]["accuracy,none"] == 0.5
    text, pictures = model.rounds["fake/0"][-1]
    assert len(pictures) == 2
    assert "Result (pictures 1 to 2):" in text


def test_lmms_eval_conforms(play):
    def adapter(source: SessionSource, conversations: Sequence[Conversation]) -> list[Played]:
        replies = {it.task_id: [text for turn in it.turns for text in turn.texts] for it in conversations}
        model = Scripted(replies)
        tasks = source.tasks.filter(lambda item: item.task_id in replies)
        source.tasks = tasks
        results = play(source, model)
        rewards = {it["doc"]["task_id"]: it["reward"] for it in results["samples"][integration.TASK]}
        return [played(model, it.task_id, rewards[it.task_id]) for it in conversations]

    # The rounds end with the episode: nothing is shown behind its last call.
    integration_conformance(adapter, without={"over calls", "after the end"})


def played(model: Scripted, task_id: str, reward: float) -> Played:
    (first, _), *rounds = model.rounds[task_id]
    replies, before, received = model.replies[task_id], 0, list[Received]()
    for text, pictures in rounds:
        result = text.rpartition("\nResult")[2].partition(":\n")[2].removesuffix("\n\nWrite your next reply.")
        received.append(Received(result, tuple(np.array(it) for it in pictures[before:]), text.encode()))
        before = len(pictures)
    received = received[: len(replies)]
    question = first.rpartition("\nQuestion:\n")[2].removesuffix("\n\nWrite your next reply.")
    over = [Received("The episode is over.")] * (len(replies) - len(received))
    return Played(Received(question, wire=first.encode()), (*received, *over), reward, None)
