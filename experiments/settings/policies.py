"""Policies of the result table by name: observations, tools and player of each.

| policy | observes | player |
|---|---|---|
| `random`, `constant` | the question | no model |
| `blind` | the question | a model, in one turn |
| `uniform` | frames spread evenly over the video | a model, in one turn |
| `retrieval-only` | frames of the clips that match the question | a model, in one turn |
| `scripted` | captions and subtitles, by tools | a script for the generated world |
| `subtitles` | subtitles, by tools | word overlap |
| `caption-only` | captions and subtitles, by tools | a model |
| `base`, `sft`, `sft+rft`, `sft+grpo`, `full` | frames and subtitles, by tools | a model; the name gives its weights |
| `always-tools` | frames and subtitles, by tools | a model that cannot answer before its first look |
| `gated` | frames chosen by the paper's confidence gate | a model, then any of these with tools |
| `oracle` | the answer key | no model; measures the benchmark |

Tasks about excerpts of their videos (`cgbench/clues`) are played by `EXCERPT_POLICIES` and by user classes: they see
frames of the excerpts with the question and have no tool.
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
from experiments.settings.user_agents import is_user_class, load_class, make_agent, source_hash
from vt_env.benchmarks.readers.cgbench import CLUE_FRAMES
from vt_env.config import BudgetConfig, EnvConfig, MediaConfig, resolve_budget
from vt_env.errors import ConfigError, suggest
from vt_env.prompts import DEFAULT, PromptSet
from vt_env.tasks.task_set import Task, TaskSet
from vt_env.tools.builtin import ToolChoice, tools_for
from vt_env.tools.tool import Tool
from vt_env.world2.tasks import with_views

POLICIES = (
    "random", "constant", "blind", "uniform", "retrieval-only", "scripted", "subtitles", "caption-only", "always-tools",
    "base", "full", "sft", "sft+rft", "sft+grpo", "gated", "oracle",
)  # fmt: skip
"""Names of all policies, in the order of the table."""
ONE_TURN = ("blind", "uniform", "retrieval-only")
"""Policies that answer in their first turn."""
TRAINED = ("sft", "sft+rft", "sft+grpo")
"""Policies that need a checkpoint trained by the user."""
MODELS = (*ONE_TURN, "caption-only", "always-tools", "base", "full", *TRAINED, "gated")
"""Policies with a language model."""
SEARCHING = ("retrieval-only", "always-tools", "gated")
"""Policies that retrieve clips by themselves."""
CAPTION_POLICIES = ("scripted", "caption-only")
EXCERPT_POLICIES = ("uniform", "constant")
"""Policies without tools that can play tasks about excerpts of their videos."""


@dataclass(frozen=True)
class SeededAttempt:
    """One attempt at a task, with the seed of its policy."""

    task: Task
    seed: int
    sample: int = 0
    """Number of the attempt at this task, from 0."""


@dataclass(frozen=True)
class Setting:
    """Settings common to all policies of an evaluation; `layout_of` derives the `Layout` of one policy."""

    budget: str | BudgetConfig = "default"
    """Budget of an episode."""
    tools: ToolChoice = "default"
    """Tool set, for policies with tools."""
    media: MediaConfig = field(default_factory=MediaConfig)
    """Stored frames and clips of the videos."""
    is_excerpt: bool = False
    """Whether the tasks are about excerpts of their videos; each policy then sees the frames of `uniform`."""
    prompts: PromptSet = DEFAULT
    """All text that a policy reads."""
    can_search: bool = True
    """Whether the clips of any of the videos can be searched, see `vt_env.tools.builtin.can_search`."""
    reply_tokens: int | None = None
    """As in `vt_env.profiles.Profile`."""

    def tools_for(self, perception: str) -> tuple[Tool, ...]:
        """Return the tools that a policy with tools is offered under a perception."""
        return tools_for(perception, self.tools, can_search=self.can_search, answers=self.prompts.answers)


@dataclass(frozen=True)
class Layout:
    """Episode settings of one policy, known before any model is loaded."""

    perception: str
    """`frames` or `captions`."""
    tools: tuple[Tool, ...]
    """Tools of the episode; the policy decides which of their schemas a model reads."""
    budget: BudgetConfig
    is_gated: bool = False
    """Whether the confidence gate divides the budget by the duration of the video."""
    media: MediaConfig = field(default_factory=MediaConfig)
    prompts: PromptSet = DEFAULT

    def __post_init__(self) -> None:
        # A budget that does not hold one picture is refused before videos are opened.
        _ = self.config

    @property
    def config(self) -> EnvConfig:
        """Configuration of an episode; for a gated policy, before the gate divides the budget."""
        return EnvConfig(self.perception, self.budget, media=self.media, prompts=self.prompts)

    def config_for(self, duration_s: float) -> EnvConfig:
        """Return the configuration of an episode for a video of this duration."""
        if not self.is_gated:
            return self.config
        return replace(self.config, budget=gate_budget(self.budget, duration_s, self.media))


@dataclass(frozen=True)
class Policy:
    """A named policy with its layout, scheduling and provenance."""

    name: str
    layout: Layout
    batch_policy: Callable[[Sequence[SeededAttempt]], BatchPolicy]
    """Builds the batch policy of several episodes."""
    schedule: Schedule = "rounds"
    provenance: Mapping[str, Any] = field(default_factory=lambda: {})
    """Model and engine, or source hash of a user class, as plain JSON values."""
    close: Callable[[], None] = lambda: None
    """Releases the model or its connections."""
    temperature: float | None = None
    """Sampling temperature of the model; `None` without a model, and where a server decides."""


def layout_of(name: str, model: ModelConfig, setting: Setting = Setting(), gate: GateConfig | None = None) -> Layout:
    """Return the layout of a policy's episodes.

    Args:
        name: One of `POLICIES`, or a user class.
        model: Gives the number of frames of `uniform`.
        setting: Settings common to all policies.
        gate: Confidence gate, for `gated`.

    Raises:
        ConfigError: The policy or budget does not exist, or the policy cannot play excerpts.
    """
    if setting.is_excerpt:
        return _excerpt_layout(name, layout_of(name, model, replace(setting, is_excerpt=False), gate), model)
    budget = resolve_budget(setting.budget)
    if is_user_class(name):
        perception = perception_of(name)
        tools = setting.tools_for(perception)
        return Layout(perception, tools, budget, media=setting.media, prompts=setting.prompts)
    if name not in POLICIES:
        own = "or your class as module:Class or file.py:Class"
        raise ConfigError(f"agent={name!r}: allowed are {', '.join(POLICIES)}, {own}{suggest(name, POLICIES)}")
    if name in SEARCHING and not setting.can_search:
        raise ConfigError(
            f"agent={name!r} looks at clips that a search finds, and none of these videos can be searched (see above); "
            "take another agent, such as 'full'"
        )
    if name == "gated":
        return _gated_layout((gate or GateConfig()).agent, model, setting)
    perception = perception_of(name)
    is_told = name not in ("blind", "uniform")
    tools = setting.tools_for(perception) if is_told else ()
    own = _budget(name, model, budget, setting.media)
    return Layout(perception, tools, own, media=setting.media, prompts=setting.prompts)


def perception_of(name: str) -> str:
    """Return what a policy is shown: `frames` or `captions`.

    Raises:
        ConfigError: The user class cannot be loaded.
    """
    if is_user_class(name):
        return getattr(load_class(name), "perception", "frames")
    return "captions" if name in CAPTION_POLICIES else "frames"


def tasks_of(name: str, tasks: TaskSet) -> TaskSet:
    """Return tasks as a policy reads them: of the second world, the script reads views, not captions of clips."""
    return with_views(tasks) if name == "scripted" else tasks


def build_policy(
    name: str,
    model: ModelConfig,
    setting: Setting = Setting(),
    gate: GateConfig | None = None,
    concurrency: int = 8,
) -> Policy:
    """Build a policy by name and load its language model, if it has one.

    Args:
        name: One of `POLICIES`, or a user class.
        model: Language model, for policies with one.
        setting: Settings common to all policies.
        gate: Confidence gate, for `gated`.
        concurrency: Concurrent requests, for a model behind a server.

    Raises:
        ConfigError: As `layout_of`; or the checkpoint or server is missing, or frames do not fit the model.
    """
    layout = layout_of(name, model, setting, gate)
    if is_user_class(name):
        return Policy(name, layout, _agents(name, layout), "threads", {"source": {"hash": source_hash(name)}})
    if name not in MODELS:
        return Policy(name, layout, _agents(name, layout))
    chosen = gate or GateConfig()
    inner = chosen.agent if name == "gated" else name
    checkpoint = _checkpoint(inner, model)
    loaded = load_model(model, checkpoint, concurrency, layout.budget.max_frames, setting.reply_tokens)
    if layout.perception == "frames" and name != "blind":
        try:
            loaded.check_frames(layout.media)
        except ConfigError:
            loaded.close()
            raise
    build = _gated(chosen, layout, loaded) if name == "gated" else _model_policies(name, layout, loaded)
    return Policy(name, layout, build, loaded.schedule, loaded.provenance, loaded.close, loaded.sampling.temperature)


def _gated_layout(inner: str, model: ModelConfig, setting: Setting) -> Layout:
    if inner == "gated" or inner in ONE_TURN:
        raise ConfigError(f"gate.agent={inner!r}: need a policy that continues with tools, such as 'full' or 'sft'")
    layout = layout_of(inner, model, setting)
    if layout.perception != "frames":
        raise ConfigError(
            f"gate.agent={inner!r} reads captions: the gate needs frames; use one such as 'full' or 'sft'"
        )
    return replace(layout, is_gated=True)


def _excerpt_layout(name: str, layout: Layout, model: ModelConfig) -> Layout:
    what = "these tasks are about excerpts of their videos, without tools"
    if layout.perception != "frames" or not (name in EXCERPT_POLICIES or is_user_class(name)):
        raise ConfigError(
            f"agent={name!r}: {what}; allowed are {', '.join(EXCERPT_POLICIES)}, or your module:Class that sees frames"
        )
    if not 1 <= model.uniform_frames <= CLUE_FRAMES:
        raise ConfigError(f"model.uniform_frames={model.uniform_frames}: {what}; need 1 to {CLUE_FRAMES} frames")
    return replace(layout, tools=(), budget=_budget("uniform", model, layout.budget, layout.media))


def _budget(name: str, model: ModelConfig, budget: BudgetConfig, media: MediaConfig) -> BudgetConfig:
    if name == "retrieval-only":
        return looks_budget(budget, media)
    if name not in ONE_TURN:
        return budget
    return spread_frames(model.uniform_frames if name == "uniform" else 0)


def _agents(name: str, layout: Layout) -> Callable[[Sequence[SeededAttempt]], BatchPolicy]:
    make = _agent_maker(name, layout)
    return lambda attempts: AgentBatch(lambda idx: make(attempts[idx]))


def _agent_maker(name: str, layout: Layout) -> Callable[[SeededAttempt], Agent]:
    if is_user_class(name):
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
            f"{attempt.task.item.task_id}: the task has no answer key, which agent='oracle' needs; use another agent"
        )
    return OracleAgent(attempt.task.gold, attempt.task.item)


def _model_policies(name: str, layout: Layout, model: Model) -> Callable[[Sequence[SeededAttempt]], BatchPolicy]:
    def build(attempts: Sequence[SeededAttempt]) -> BatchPolicy:
        tools = () if name in ONE_TURN else layout.tools
        policy = model.policy(tools, [attempt.seed for attempt in attempts], layout.prompts)
        if name in ONE_TURN:
            return OneTurnPolicy(policy, gate_looks(layout.budget, layout.media) if name == "retrieval-only" else None)
        return AlwaysTools(policy) if name == "always-tools" else policy

    return build


def _gated(gate: GateConfig, layout: Layout, model: Model) -> Callable[[Sequence[SeededAttempt]], BatchPolicy]:
    with_tools = _model_policies(gate.agent, layout, model) if gate.agent in MODELS else _agents(gate.agent, layout)

    def build(attempts: Sequence[SeededAttempt]) -> BatchPolicy:
        answerer = model.policy((), [attempt.seed for attempt in attempts], layout.prompts)
        looks = gate_looks(layout.budget, layout.media)
        return ConfidenceGate(with_tools(attempts), answerer, gate.tau, looks, carry_over=gate.carry_over)

    return build


def model_path(name: str, model: ModelConfig, gate: GateConfig | None = None) -> str | None:
    """Return the folder or name of a policy's language model; `None` if it has none or names no checkpoint.

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
        raise ConfigError(f"agent={name!r} needs a trained checkpoint: give --model.path")
    if not BASE_MODEL.is_dir():
        raise ConfigError(f"{BASE_MODEL}: the base model is missing: run vt-env pretrain or give --model.path")
    return str(BASE_MODEL)
