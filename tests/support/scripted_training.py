"""A GRPO trainer of a random tiny model whose replies are scripted: everything else is TRL's and ours."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from trl import GRPOConfig

from experiments.launch.scripted_trainer import ScriptedTrainer
from experiments.tiny_model.model import build_model
from experiments.tiny_model.processor import build_processor
from vt_env.integrations.trl import (
    EpisodeTrainerConfig,
    environment_class,
    evaluation_rows,
    reward_functions,
    training_rows,
)
from vt_env.tasks.task_set import TaskSet
from vt_env.testing import FakeLibrary, FakeVideo, fake_tasks

LOOK = '<tool_call>\n{"name": "frame_zoom", "arguments": {"start_s": "05:20", "end_s": "05:40"}}\n</tool_call>'
SEARCH = '<tool_call>\n{"name": "clip_retrieval", "arguments": {"query": "red", "top_k": 2}}\n</tool_call>'
RIGHT = "<answer>47</answer>"
WRONG = "It is perhaps 12, I believe.\n<answer>12</answer>"
TURNS = ((LOOK, LOOK, SEARCH, WRONG), (RIGHT, WRONG))


def build_scripted(
    out: Path,
    turns: Sequence[Sequence[str]] = TURNS,
    config: EpisodeTrainerConfig | None = None,
    *,
    model: Any = None,
    record: Any = None,
    tasks: int = 2,
    evaluated: TaskSet | None = None,
    **changes: Any,
) -> ScriptedTrainer:
    """Build a trainer; every call makes the same one.

    Args:
        out: Folder of the checkpoints.
        turns: As `ScriptedTrainer`.
        config: Settings beyond TRL's.
        model: The model; by default a random one.
        record: As `reward_functions`.
        tasks: Number of questions.
        evaluated: Tasks of evaluations.
        changes: Arguments of `trl.GRPOConfig`.
    """
    library = FakeLibrary((FakeVideo(frame_px=112),))
    environment = environment_class(fake_tasks(tasks), library=library, budget="tiny", evaluation_tasks=evaluated)
    processor = build_processor()
    settings = {
        "max_steps": 2, "save_steps": 1, "num_generations": 4, "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 4, "learning_rate": 1e-3, "max_completion_length": 600, "report_to": "none",
        "use_cpu": True, "bf16": False, "logging_steps": 1, "disable_tqdm": True, **changes,
    }  # fmt: skip
    return ScriptedTrainer(
        build_model(processor.tokenizer, seed=0) if model is None else model,
        reward_functions("default", record),
        GRPOConfig(str(out), **settings),
        environment_factory=environment,
        config=config,
        processing_class=processor,
        train_dataset=training_rows(environment),
        eval_dataset=evaluation_rows(environment) if evaluated else None,
        turns=turns,
    )


def weights_of(trainer: Any) -> dict[str, torch.Tensor]:
    """Copy the weights of a trainer's model."""
    return {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}


def equal_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Tell whether two models have the same weights to the bit."""
    return all(torch.equal(weight, other[name]) for name, weight in one.items())
