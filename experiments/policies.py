"""The policies of the result table by name: what each is shown, which tools it has, who plays.

`blind` and `uniform` get one turn: the first the question alone, the second frames spread over the video as well.
`caption-only` is a script that reads captions instead of frames. `base`, `sft` and `sft+grpo` are the same program with
different weights. `oracle` holds the answer key and measures the benchmark, not itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from agents.base import Agent, BatchPolicy
from agents.chat import ChatPolicy, ChatTokens, Generator, OneTurnPolicy
from agents.constant import ConstantAgent
from agents.oracle import OracleAgent
from agents.random_agent import RandomAgent
from agents.rollout import AgentBatch
from agents.scripted import ScriptedAgent
from agents.subtitle_agent import SubtitleAgent
from vt_env.config import BudgetConfig, EnvConfig, resolve_budget
from vt_env.errors import ConfigError, suggest
from vt_env.tasks import Task
from vt_env.tool import Tool
from vt_env.tools import tools_for

PolicyName = Literal[
    "random", "constant", "blind", "uniform", "caption-only", "subtitles", "base", "sft", "sft+grpo", "oracle"
]
POLICIES: tuple[str, ...] = get_args(PolicyName)
"""In the order of the table."""
ONE_TURN = ("blind", "uniform")
MODELS = (*ONE_TURN, "base", "sft", "sft+grpo")
"""The policies that are language models."""

BASE_MODEL = Path(__file__).parent / "tiny" / "base"
"""The shipped checkpoint."""


@dataclass(frozen=True)
class ModelConfig:
    """How a language model is run."""

    path: str = ""
    """Checkpoint folder or hub name; empty means the shipped base model, which `sft` and `sft+grpo` cannot mean."""
    backend: Literal["transformers", "vllm"] = "transformers"
    """What generates."""
    temperature: float = 0.0
    """0 takes the likeliest token."""
    max_new_tokens: int = 128
    """Length at which a reply is cut off."""
    uniform_frames: int = 8
    """Frames that `uniform` is shown."""


@dataclass(frozen=True)
class Seat:
    """A task with the seed of whoever plays it."""

    task: Task
    seed: int


@dataclass(frozen=True)
class Policy:
    """Everything that a policy's episodes need."""

    config: EnvConfig
    tools: tuple[Tool, ...]
    players: Callable[[Sequence[Seat]], BatchPolicy]
    """Makes the players of one batch of episodes."""


def build_policy(name: str, model: ModelConfig, budget: str | BudgetConfig) -> Policy:
    """Build a policy by its name; a language model is loaded here.

    Raises:
        ConfigError: There is no such policy or budget, or its checkpoint is missing.
    """
    if name not in POLICIES:
        raise ConfigError(f"agent={name!r}: allowed are {', '.join(POLICIES)}{suggest(name, POLICIES)}")
    config = EnvConfig("captions" if name == "caption-only" else "frames", _budget(name, model, resolve_budget(budget)))
    tools = () if name in ONE_TURN else tools_for(config.perception)
    if name in MODELS:
        return Policy(config, tools, _model_players(name, model, tools))
    make = _agent_maker(name, tools)
    return Policy(config, tools, lambda seats: AgentBatch([make(seat) for seat in seats]))


def _budget(name: str, model: ModelConfig, budget: BudgetConfig) -> BudgetConfig:
    if name not in ONE_TURN:
        return budget
    shown = model.uniform_frames if name == "uniform" else 0
    return BudgetConfig(max_calls=1, max_frames=shown + 1, frames_per_zoom=1, global_frames=shown)


def _agent_maker(name: str, tools: tuple[Tool, ...]) -> Callable[[Seat], Agent]:
    makers: Mapping[str, Callable[[Seat], Agent]] = {
        "random": lambda seat: RandomAgent(np.random.default_rng(seat.seed), tools),
        "constant": lambda seat: ConstantAgent(),
        "caption-only": lambda seat: ScriptedAgent(np.random.default_rng(seat.seed)),
        "subtitles": lambda seat: SubtitleAgent(),
        "oracle": _oracle,
    }
    return makers[name]


def _oracle(seat: Seat) -> Agent:
    if seat.task.gold is None:
        raise ConfigError(
            f"{seat.task.item.task_id}: its answer is not known, so there is no oracle; take another agent"
        )
    return OracleAgent(seat.task.gold, seat.task.item)


def _model_players(name: str, model: ModelConfig, tools: tuple[Tool, ...]) -> Callable[[Sequence[Seat]], BatchPolicy]:
    path = _checkpoint(name, model.path)
    processor = _processor(path)
    tokens = ChatTokens(processor, [tool.schema for tool in tools])
    generator = _generator(path, processor, model)

    def players(seats: Sequence[Seat]) -> BatchPolicy:
        policy = ChatPolicy(tokens, generator, [seat.seed for seat in seats])
        return OneTurnPolicy(policy) if name in ONE_TURN else policy

    return players


def _checkpoint(name: str, path: str) -> str:
    if path:
        return path
    if name in ("sft", "sft+grpo"):
        raise ConfigError(f"agent={name!r} needs its checkpoint: give --model.path")
    if not BASE_MODEL.is_dir():
        raise ConfigError(f"{BASE_MODEL}: the base model is missing: run vt-env pretrain or give --model.path")
    return str(BASE_MODEL)


def _processor(path: str) -> Any:
    from transformers import AutoProcessor

    from vt_env.doors.trl import prepare_processor

    try:
        return prepare_processor(AutoProcessor.from_pretrained(path))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--model.path {path}: no checkpoint with a processor ({str(error).splitlines()[0]})"
        ) from error


def _generator(path: str, processor: Any, model: ModelConfig) -> Generator:
    # One of two heavy libraries, and only where a language model plays.
    if model.backend == "vllm":
        from agents.vllm_backend import VllmGenerator

        return VllmGenerator(path, processor, model.max_new_tokens, model.temperature)
    from agents.hf_backend import TransformersGenerator

    return TransformersGenerator(path, processor, model.max_new_tokens, model.temperature)
