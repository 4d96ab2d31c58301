"""Common parts of SFT and GRPO: settings, loading and saving of models, checkpoints.

All functions work in a single process and in each process of `accelerate launch`, where only the first one writes.
Transformers and torch are imported on use, so that `--help` is fast.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from agents.backends.load import load_processor
from experiments.runs.run_dir import Run, open_run
from experiments.settings.models import checkpoint_hash
from experiments.settings.prompts import PROMPTS_FILE, PROMPTS_IF_MISSING, EpisodeConfig, prompts_record
from vt_env.config import HOW_ONLY, at_least
from vt_env.errors import ConfigError, first_line
from vt_env.integrations.trl.checkpoints import newest_checkpoint
from vt_env.media.cache.build_once import content_hash
from vt_env.prompts import PromptSet, save_prompts
from vt_env.tasks.read_rows import TASKS_FILE
from vt_env.tasks.task_set import TaskSet

MODEL_FOLDER, CHECKPOINTS_FOLDER = "model", "checkpoints"
"""Folders of the trained model and of the checkpoints; each tracker writes to a folder of its name."""

Tracker = Literal["tensorboard", "wandb", "trackio"]


@dataclass(frozen=True, kw_only=True)
class TrainerConfig(EpisodeConfig):
    """Settings common to all training commands."""

    model: str
    """Checkpoint folder or hub name to start from."""
    tasks: str = "world"
    """Name, folder or JSONL file of tasks."""
    split: str = "train"
    """Split of the tasks; must not be a split that is evaluated on."""
    tools: Literal["default", "paper", "none"] = "default"
    """Offered tools; `none` for a policy that answers directly."""
    lr: float
    """Peak learning rate."""
    max_grad_norm: float = 1.0
    """Maximum gradient norm; larger gradients are clipped."""
    seed: int = 0
    """Random seed."""
    freeze_vision: bool = True
    """Freeze the vision tower and its projection to the language model."""
    lora: int | None = None
    """Rank of LoRA adapters on all linear layers, merged after training; by default all weights are trained."""
    lora_alpha: int | None = None
    """LoRA alpha; by default twice the rank."""
    save_steps: int
    """Steps between checkpoints."""
    threads: int = 2
    """CPU threads of PyTorch."""
    report_to: tuple[Tracker, ...] = field(default=("tensorboard",), metadata=HOW_ONLY)
    """Experiment trackers besides `metrics.jsonl`; without a value none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("lora", "save_steps", "threads"):
            at_least(self, name, 1)
        if self.lora is None and self.lora_alpha is not None:
            raise ConfigError(f"lora_alpha={self.lora_alpha} without lora: give --lora RANK too")
        at_least(self, "lora_alpha", 1)
        if not self.lr > 0:
            raise ConfigError(f"lr={self.lr}: need a rate above 0")


def process_index() -> int:
    """Return the rank of this process; 0 for a single process."""
    return int(os.environ.get("RANK", "0"))


def is_first_process() -> bool:
    """Return whether this process has rank 0, which writes all files."""
    return process_index() == 0


def process_count() -> int:
    """Return the world size: the number of training processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def draw_tasks(tasks: TaskSet, limit: int | None, seed: int) -> TaskSet:
    """Sample `limit` tasks; with None return all, in order.

    Taking the head would cover few videos.
    """
    return tasks if limit is None else tasks.shuffle(np.random.default_rng(seed)).head(limit)


@contextmanager
def open_training(
    path: Path,
    kind: str,
    config: TrainerConfig,
    trajectories: Sequence[Path] = (),
    prompts: PromptSet | None = None,
) -> Iterator[Run | None]:
    """Open a run directory in the first process, as `experiments.runs.run_dir.open_run`; yields `None` in the others.

    The configuration of the run includes content hashes of local models, tasks and trajectories.

    Raises:
        ConfigError: The directory belongs to a run with another configuration or other files, or another process uses
            it.
    """
    if not is_first_process():
        yield None
        return
    tasks = Path(config.tasks, TASKS_FILE) if Path(config.tasks).is_dir() else Path(config.tasks)
    hashes = {
        "model": checkpoint_hash(config.model),
        "tasks": content_hash(tasks) if tasks.is_file() else None,
        "trajectories": [content_hash(it) if it.exists() else None for it in trajectories],
    }
    # Trajectories bring their wording.
    wording = {} if prompts is None else prompts_record(prompts)
    with open_run(path, kind, config, {"hashes": hashes, **wording}, PROMPTS_IF_MISSING if wording else {}) as run:
        if (path / MODEL_FOLDER).exists():
            print(f"{path / MODEL_FOLDER}: finished already")
        yield run


def load_model(path: str, *, freeze_vision: bool, dtype: str = "float32") -> tuple[Any, Any]:
    """Load a checkpoint and its processor, prepared for tool calls.

    Args:
        path: A checkpoint folder or hub name.
        freeze_vision: Freeze the vision tower and its projection to the language model.
        dtype: Type of the weights; `auto` means the checkpoint's.

    Raises:
        ConfigError: The checkpoint does not exist, its processor does not support tool calls, it is not a
            vision-language model, or its weights do not match its configuration.
    """
    from transformers import AutoModelForImageTextToText

    # Hub names have one slash.
    is_folder = path.startswith((".", "/")) or path.count("/") > 1
    if is_folder and not Path(path, "config.json").is_file():
        raise ConfigError(
            f"model={path!r}: no config.json there; give a checkpoint's folder (vt-env sft) or a hub name"
        )
    processor = load_processor(path)
    try:
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            path, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True
        )
        model, report = loaded
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"model={path!r}: no vision-language checkpoint ({first_line(error)}); take Qwen2.5-VL or Qwen3-VL"
        ) from error
    wrong = [*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])]
    if wrong:
        raise ConfigError(
            f"model={path!r}: its weights are of another architecture than its config.json: {len(wrong)} of "
            f"{type(model).__name__} are missing or of another size, such as {sorted(wrong)[0]}"
        )
    if freeze_vision:
        _vision_tower(model).requires_grad_(requires_grad=False)
    return model, processor


def trained_dtype(config: TrainerConfig) -> str:
    """Return the type of the weights in training; `auto` means the checkpoint's.

    bf16 rounds away steps of 1e-6, so trained weights are kept in fp32 and computed in bf16, which is TRL's default.
    Frozen weights under adapters keep their type. With sharded weights, FSDP2 and ZeRO-3 should keep trained ones in
    fp32 themselves (not run by us).
    """
    import torch

    spread = any(os.environ.get(name, "") == "true" for name in ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP"))
    return "auto" if torch.cuda.is_available() and (config.lora is not None or spread) else "float32"


def lora_config(config: TrainerConfig) -> Any:
    """Return the `peft.LoraConfig` of a run; `None` if all weights are trained."""
    if config.lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=config.lora,
        lora_alpha=config.lora_alpha or 2 * config.lora,
        target_modules="all-linear",
        exclude_modules=r".*visual.*" if config.freeze_vision else None,
        task_type="CAUSAL_LM",
    )


def save_trained(trainer: Any, config: TrainerConfig, out: Path, prompts: PromptSet) -> None:
    """Save model, processor and prompt set into the run's `model` folder, atomically and with LoRA adapters merged.

    Call in every process, since weights may be sharded.
    """
    draft = out / f".{MODEL_FOLDER}.part"
    if is_first_process():
        shutil.rmtree(draft, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(draft))
    if is_first_process():
        if config.lora is not None:
            _merge_adapters(config, draft)
        # The run directory already has the training settings.
        (draft / "training_args.bin").unlink(missing_ok=True)
        trainer.processing_class.save_pretrained(draft)
        save_prompts(prompts, draft / PROMPTS_FILE)
        os.replace(draft, out / MODEL_FOLDER)
    trainer.accelerator.wait_for_everyone()


def last_checkpoint(out: Path) -> str | None:
    """Return the newest complete checkpoint of a run, or `None`."""
    return newest_checkpoint(out / CHECKPOINTS_FOLDER)


def _vision_tower(model: Any) -> Any:
    tower = getattr(model.base_model, "visual", None)
    if tower is None:
        raise ConfigError(
            f"{type(model).__name__} has no vision tower named `visual`: take Qwen2.5-VL or Qwen3-VL, or give "
            "--no-freeze-vision"
        )
    return tower


def _merge_adapters(config: TrainerConfig, folder: Path) -> None:
    """Merge the adapters in a folder into their base model, and save the result to the same folder."""
    from peft import PeftModel
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    # ZeRO-3 loads weights collectively; here only the first process loads.
    unset_hf_deepspeed_config()
    model, _ = load_model(config.model, freeze_vision=False, dtype=trained_dtype(config))
    merged = PeftModel.from_pretrained(model, folder).merge_and_unload()
    shutil.rmtree(folder)
    merged.save_pretrained(folder)
