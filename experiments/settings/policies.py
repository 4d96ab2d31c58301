"""The policies of the result table by name: what each is shown, which tools it has, who plays.

| policy | sees | plays |
|---|---|---|
| `random`, `constant` | the question | no model |
| `blind` | the question | a model, at once |
| `uniform` | frames spread over the video | a model, at once |
| `retrieval-only` | frames of the clips that match the question | a model, at once |
| `scripted` | captions and subtitles, by tools | a script for the generated world |
| `subtitles` | subtitles, by tools | word overlap |
| `caption-only` | captions and subtitles, by tools | a model |
| `base`, `sft`, `sft+rft`, `sft+grpo`, `full` | frames and subtitles, by tools | a model; names tell the weights |
| `always-tools` | the same | a model that may not answer before it has looked |
| `gated` | what the paper's confidence gate shows it | a model, and behind it any of these with tools |
| `oracle` | the answer key | measures the benchmark, not itself |

On tasks that show parts of their videos alone (`cgbench/clues`) those of `EXCERPT` play, and classes of one's own: they
see frames of these parts with the question and have no tool.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from agents.base import Agent, BatchPolicy
from agents.baselines.constant import ConstantAgent
from agents.baselines.oracle import OracleAgent
from agents.baselines.random_policy import RandomAgent
from agents.baselines.subtitle_overlap import SubtitleAgent
from agents.baselines.world_script import ScriptedAgent
from agents.language.confidence_gate import ConfidenceGate, GateConfig, gate_budget, gate_looks, looks_budget
from agents.language.must_look_first import AlwaysTools
from agents.language.one_turn import OneTurnPolicy, spread_frames
from agents.rollout import AgentBatch
from experiments.settings.models import BASE_MODEL, Model, ModelConfig, Schedule, load_model
from experiments.settings.user_agents import is_own, load_class, make_agent, source_hash
from vt_env.benchmarks.readers.cgbench import CLUE_FRAMES
from vt_env.config import BudgetConfig, EnvConfig, MediaConfig, resolve_budget
from vt_env.errors import ConfigError, suggest
from vt_env.prompts import DEFAULT, PromptSet
from vt_env.tasks.task_set import Task
from vt_env.tools.builtin import ToolChoice, tools_for
from vt_env.tools.tool import Tool

POLICIES = (
    "random", "constant", "blind", "uniform", "retrieval-only", "scripted", "subtitles", "caption-only", "always-tools",
    "base", "full", "sft", "sft+rft", "sft+grpo", "gated", "oracle",
)  # fmt: skip
"""In the order of the table."""
ONE_TURN = ("blind", "uniform", "retrieval-only")
TRAINED = ("sft", "sft+rft", "sft+grpo")
"""Policies that name a checkpoint of the user's own training."""
MODELS = (*ONE_TURN, "caption-only", "always-tools", "base", "full", *TRAINED, "gated")
"""The policies that are language models."""
CAPTIONS = ("scripted", "caption-only")
EXCERPT = ("uniform", "constant")
"""The policies that need no tool, so that they can play tasks that show parts of their videos alone."""


@dataclass(frozen=True)
class SeededAttempt:
    """One attempt at a task, with the seed of its policy."""

    task: Task
    seed: int
    sample: int = 0
    """Which attempt it is."""


@dataclass(frozen=True)
class Setting:
    """What all policies of an evaluation have in common; each takes its own part of it, its `Layout`."""

    budget: str | BudgetConfig = "default"
    """What an episode may spend."""
    tools: ToolChoice = "default"
    """Tools of the episode, for policies that have any."""
    media: MediaConfig = field(default_factory=MediaConfig)
    """How the videos are stored."""
    is_excerpt: bool = False
    """Whether the tasks show parts of their videos alone; the frames are then those of `uniform`."""
    prompts: PromptSet = DEFAULT
    """Wording of all that a policy reads."""


@dataclass(frozen=True)
class Layout:
    """What the episodes of a policy are like, known before any model is loaded."""

    perception: str
    tools: tuple[Tool, ...]
    """Tools of the episode; what of them a model is told is the policy's business."""
    budget: BudgetConfig
    is_gated: bool = False
    media: MediaConfig = field(default_factory=MediaConfig)
    prompts: PromptSet = DEFAULT

    @property
    def config(self) -> EnvConfig:
        """Everything about an episode but its task; for a gated policy before the gate divides the budget."""
        return EnvConfig(self.perception, self.budget, media=self.media, prompts=self.prompts)

    def config_for(self, duration_s: float) -> EnvConfig:
        """Everything about an episode of a video of this length."""
        return replace(self.config, budget=gate_budget(self.budget, duration_s)) if self.is_gated else self.config


@dataclass(frozen=True)
class Policy:
    """Everything that a policy's episodes need."""

    name: str
    layout: Layout
    players: Callable[[Sequence[SeededAttempt]], BatchPolicy]
    """Makes the players of many episodes."""
    schedule: Schedule = "rounds"
    origin: Mapping[str, Any] = field(default_factory=lambda: {})
    """What provenance says of the model and its engine."""
    close: Callable[[], None] = lambda: None
    """Lets go of servers."""


def layout_of(name: str, model: ModelConfig, setting: Setting = Setting(), gate: GateConfig | None = None) -> Layout:
    """Say what a policy's episodes are like.

    Args:
        name: One of `POLICIES`, or a class of the user's own.
        model: How many frames `uniform` is shown.
        setting: What all policies have in common.
        gate: The gate, for `gated`.

    Raises:
        ConfigError: There is no such policy or budget, or it cannot play tasks that show parts of their videos alone.
    """
    if setting.is_excerpt:
        return _excerpt_layout(name, layout_of(name, model, replace(setting, is_excerpt=False), gate), model)
    budget = resolve_budget(setting.budget)
    if is_own(name):
        perception = getattr(load_class(name), "perception", "frames")
        return Layout(
            perception, tools_for(perception, setting.tools), budget, media=setting.media, prompts=setting.prompts
        )
    if name not in POLICIES:
        own = "or module:Class or file.py:Class of your own"
        raise ConfigError(f"agent={name!r}: allowed are {', '.join(POLICIES)}, {own}{suggest(name, POLICIES)}")
    if name == "gated":
        return _gated_layout((gate or GateConfig()).agent, model, setting)
    perception = "captions" if name in CAPTIONS else "frames"
    tools = () if name in ("blind", "uniform") else tools_for(perception, setting.tools)
    return Layout(perception, tools, _budget(name, model, budget), media=setting.media, prompts=setting.prompts)


def build_policy(
    name: str,
    model: ModelConfig,
    setting: Setting = Setting(),
    gate: GateConfig | None = None,
    concurrency: int = 8,
) -> Policy:
    """Build a policy by its name; a language model is loaded here.

    Args:
        name: One of `POLICIES`, or a class of the user's own.
        model: The language model, for policies that are one.
        setting: What all policies have in common.
        gate: The gate, for `gated`.
        concurrency: Requests under way at once, where a server plays.

    Raises:
        ConfigError: As `layout_of`, its checkpoint or server is missing, or frames do not fit the model.
    """
    layout = layout_of(name, model, setting, gate)
    if is_own(name):
        return Policy(name, layout, _agents(name, layout), "threads", {"source": {"hash": source_hash(name)}})
    if name not in MODELS:
        return Policy(name, layout, _agents(name, layout))
    chosen = gate or GateConfig()
    inner = chosen.agent if name == "gated" else name
    loaded = load_model(model, _checkpoint(inner, model), concurrency, layout.budget.max_frames)
    if layout.perception == "frames":
        loaded.check_frames(layout.media.frame_px)
    players = _gated(chosen, layout, loaded) if name == "gated" else _model_players(name, layout, loaded)
    return Policy(name, layout, players, loaded.schedule, loaded.origin, loaded.close)


def _gated_layout(inner: str, model: ModelConfig, setting: Setting) -> Layout:
    if inner == "gated" or inner in ONE_TURN:
        raise ConfigError(f"gate.agent={inner!r}: need a policy that plays on with tools, such as 'full' or 'sft'")
    layout = layout_of(inner, model, setting)
    if layout.perception != "frames":
        raise ConfigError(f"gate.agent={inner!r} reads captions: the gate answers from frames; take another policy")
    return replace(layout, is_gated=True)


def _excerpt_layout(name: str, layout: Layout, model: ModelConfig) -> Layout:
    what = "these tasks show parts of their videos alone, without a tool"
    if layout.perception != "frames" or not (name in EXCERPT or is_own(name)):
        raise ConfigError(
            f"agent={name!r}: {what}; allowed are {', '.join(EXCERPT)}, or module:Class of your own that sees frames"
        )
    if not 1 <= model.uniform_frames <= CLUE_FRAMES:
        raise ConfigError(f"model.uniform_frames={model.uniform_frames}: {what}; need 1 to {CLUE_FRAMES} frames")
    return replace(layout, tools=(), budget=_budget("uniform", model, layout.budget))


def _budget(name: str, model: ModelConfig, budget: BudgetConfig) -> BudgetConfig:
    if name == "retrieval-only":
        return looks_budget(budget)
    if name not in ONE_TURN:
        return budget
    return spread_frames(model.uniform_frames if name == "uniform" else 0)


def _agents(name: str, layout: Layout) -> Callable[[Sequence[SeededAttempt]], BatchPolicy]:
    make = _agent_maker(name, layout)
    return lambda attempts: AgentBatch(lambda idx: make(attempts[idx]))


def _agent_maker(name: str, layout: Layout) -> Callable[[SeededAttempt], Agent]:
    if is_own(name):
        kind = load_class(name)
        return lambda attempt: make_agent(kind, attempt.seed, layout.tools)
    makers: Mapping[str, Callable[[SeededAttempt], Agent]] = {
        "random": lambda attempt: RandomAgent(np.random.default_rng(attempt.seed), layout.tools),
        "constant": lambda attempt: ConstantAgent(),
        "scripted": lambda attempt: ScriptedAgent(np.random.default_rng(attempt.seed)),
        "subtitles": lambda attempt: SubtitleAgent(),
        "oracle": _oracle,
    }
    return makers[name]


def _oracle(attempt: SeededAttempt) -> Agent:
    if attempt.task.gold is None:
        raise ConfigError(
            f"{attempt.task.item.task_id}: its answer is not known, so there is no oracle; take another agent"
        )
    return OracleAgent(attempt.task.gold, attempt.task.item)


def _model_players(name: str, layout: Layout, model: Model) -> Callable[[Sequence[SeededAttempt]], BatchPolicy]:
    def players(attempts: Sequence[SeededAttempt]) -> BatchPolicy:
        policy = model.policy(() if name in ONE_TURN else layout.tools, [attempt.seed for attempt in attempts])
        if name in ONE_TURN:
            return OneTurnPolicy(policy, gate_looks(layout.budget) if name == "retrieval-only" else None)
        return AlwaysTools(policy) if name == "always-tools" else policy

    return players


def _gated(gate: GateConfig, layout: Layout, model: Model) -> Callable[[Sequence[SeededAttempt]], BatchPolicy]:
    with_tools = _model_players(gate.agent, layout, model) if gate.agent in MODELS else _agents(gate.agent, layout)

    def players(attempts: Sequence[SeededAttempt]) -> BatchPolicy:
        answerer = model.policy((), [attempt.seed for attempt in attempts])
        looks = gate_looks(layout.budget)
        return ConfidenceGate(with_tools(attempts), answerer, gate.tau, looks, carry_over=gate.carry_over)

    return players


def model_of(name: str, model: ModelConfig, gate: GateConfig | None = None) -> str | None:
    """Return the folder or name of the model that plays a policy; `None` where none does or its checkpoint is missing.

    Args:
        name: As `build_policy`.
        model: As `build_policy`.
        gate: As `build_policy`.
    """
    inner = (gate or GateConfig()).agent if name == "gated" else name
    if inner not in MODELS:
        return None
    if model.backend == "openai":
        return model.path or model.server.model or None
    return model.path or (None if inner in TRAINED else str(BASE_MODEL))


def _checkpoint(name: str, model: ModelConfig) -> str:
    if model.path or model.backend == "openai":
        return model.path
    if name in TRAINED:
        raise ConfigError(f"agent={name!r} needs its checkpoint: give --model.path")
    if not BASE_MODEL.is_dir():
        raise ConfigError(f"{BASE_MODEL}: the base model is missing: run vt-env pretrain or give --model.path")
    return str(BASE_MODEL)
