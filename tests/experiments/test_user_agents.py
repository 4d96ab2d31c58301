"""Agents of the user's own by `module:Class` or `file.py:Class`."""

import json
import sys
from pathlib import Path

import pytest

from experiments.evaluate.eval import EvalRun, evaluate
from experiments.evaluate.replay import ReplayRun
from experiments.evaluate.replay import main as replay
from experiments.runs.journal import read_journal
from experiments.settings.models import ModelConfig
from experiments.settings.policies import SeededAttempt, build_policy, layout_of
from experiments.settings.user_agents import load_class, make_agent
from vt_env.errors import ConfigError
from vt_env.testing import fake_task

CODE = '''
"""An agent in a file."""


class Hasty:
    """Answers the last option at once."""

    perception = "captions"

    def __init__(self, rng, tools=()):
        self.rng, self.tools = rng, tools

    def reset(self, task, observation):
        self.letter = "ABCD"[self.rng.integers(4)]

    def act(self, observation):
        return f"<answer>{self.letter}</answer>"


class FrameThinker:
    """Writes as a public checkpoint does."""

    def reset(self, *shown):
        self.texts = ["<action>choose frames between 1 and 3</action>", "<action>output answer: A</action>"]

    def act(self, observation):
        return self.texts.pop(0)


class Deaf:
    def act(self, observation):
        return ""


class Silent:
    @staticmethod
    def reset(task, observation):
        pass

    def act(self, observation):
        print("thinking")


class Old:
    def reset(self, observation):
        pass

    def act(self, observation):
        return ""


class Greedy(Hasty):
    def __init__(self, rng, model):
        pass
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


def test_an_agent_from_a_file_is_given_its_seed_and_the_tools_of_its_perception(file):
    layout = layout_of(f"{file}:Hasty", ModelConfig())
    assert layout.perception == "captions" and "caption_zoom" in [tool.name for tool in layout.tools]
    first, again, other = (make_agent(load_class(f"{file}:Hasty"), seed, layout.tools) for seed in (1, 1, 2))
    assert first.rng.integers(1000) == again.rng.integers(1000) != other.rng.integers(1000)
    assert first.tools == layout.tools


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch) -> str:
    """One question about a real video; A is right."""
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    asked = {"question": "what?", "options": ["A", "B"], "answer": 0}
    video = Path(__file__).parents[1] / "fixtures/nasa_13013.mp4"
    (tmp_path / "tasks.jsonl").write_text(json.dumps({**asked, "video": str(video), "task_id": "one"}) + "\n")
    return str(tmp_path / "tasks.jsonl")


def test_an_agent_that_writes_as_a_public_checkpoint_is_evaluated_and_replayed(file, tasks, tmp_path):
    row = evaluate(EvalRun(agent=f"{file}:FrameThinker", tasks=tasks, out=tmp_path / "run"))
    assert (row.n, row.accuracy) == (1, 1.0)
    (played,) = read_journal(tmp_path / "run")
    assert [turn.error for turn in played.turns] == [None, None] and played.turns[0].frames
    assert replay(ReplayRun(tmp_path / "run")) == 0


def test_an_agent_from_a_module_plays_a_run(tasks, tmp_path):
    row = evaluate(EvalRun(agent="agents.baselines.constant:ConstantAgent", tasks=tasks, out=tmp_path / "run"))
    assert (row.n, row.accuracy) == (1, 1.0)
    assert [it.policy for it in read_journal(tmp_path / "run")] == ["agents.baselines.constant:ConstantAgent"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{file}:Hurried", "has no class 'Hurried'"),
        ("{file}:Deaf", "Deaf lacks reset"),
        ("{file}:Old", r"got reset\(self, observation\); write def reset\(self, task, observation\), where task is a"),
        ("nowhere.py:Hasty", "no file nowhere.py"),
        ("no_such_module:Hasty", "no module 'no_such_module' here"),
        (":Hasty", "got module ''; give module:Class or file.py:Class"),
        ("..mine:Hasty", "got module '..mine'; give module:Class"),
    ],
)
def test_what_is_no_agent_is_refused_in_one_line(file, name, message):
    with pytest.raises(ConfigError, match=message) as refusal:
        layout_of(name.format(file=file), ModelConfig())
    assert "\n" not in str(refusal.value)


def test_an_agent_that_writes_nothing_is_named_and_its_run_leaves_the_directory_free(file, tasks, tmp_path):
    with pytest.raises(ConfigError, match=r"Silent\.act returned NoneType; return the reply as a text"):
        evaluate(EvalRun(agent=f"{file}:Silent", tasks=tasks, out=tmp_path / "run"))
    assert not list((tmp_path / "run").iterdir())


def test_a_file_named_as_a_package_hides_it_from_nobody(file):
    import agents

    file.rename(file.parent / "agents.py")
    load_class(f"{file.parent / 'agents.py'}:Hasty")
    assert sys.modules["agents"] is agents


def test_a_constructor_that_wants_more_is_refused_with_what_it_may_want(file):
    policy = build_policy(f"{file}:Greedy", ModelConfig())
    players = policy.batch_policy([SeededAttempt(fake_task(), 0)])
    from agents.base import Conversation

    with pytest.raises(ConfigError, match=r"Greedy\(model\): an agent's constructor may take rng and tools"):
        players.act([Conversation(0, fake_task().item, [])])


def test_an_agent_whose_code_was_changed_does_not_go_on_with_a_run_of_the_old_one(file, tmp_path, monkeypatch):
    monkeypatch.setenv("VT_ENV_CACHE", str(tmp_path / "cache"))
    video = Path(__file__).parents[1] / "fixtures/nasa_13013.mp4"
    asked = {"question": "what?", "options": ["A", "B"], "answer": 0, "video": str(video)}
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps({**asked, "task_id": it}) + "\n" for it in ("one", "two")))
    run = EvalRun(
        agent="agents.baselines.constant:ConstantAgent", tasks=str(tmp_path / "tasks.jsonl"), out=tmp_path / "run"
    )
    evaluate(run)
    journal = tmp_path / "run" / "journal.jsonl"
    journal.write_text(journal.read_text().splitlines(keepends=True)[0])
    monkeypatch.setattr("experiments.settings.policies.source_hash", lambda name: "another")
    with pytest.raises(ConfigError, match="played with source hash"):
        evaluate(run)
