"""Run directories, models and checkpoints of a training command.

All functions work in a single process and in each process of `accelerate launch`, where only the first one writes.
Transformers is imported on use, so that `--help` is fast.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from agents.backends.load import load_processor
from experiments.runs.read_tags import tags_path
from experiments.runs.run_dir import Run, open_run, write_json
from experiments.settings.controls import controls_record, model_controls, save_controls
from experiments.settings.models import checkpoint_hash
from experiments.settings.profile import PROFILE_IF_MISSING
from experiments.settings.prompts import IF_MISSING, PROMPTS_FILE, prompts_record
from experiments.settings.tags import TAGS_IF_MISSING, TagConfig, run_of
from experiments.settings.written_captions import CAPTIONS_FILE, captions_key
from experiments.train.trainer_config import TrainerConfig, trained_dtype
from vt_env.errors import ConfigError, first_line
from vt_env.integrations.trl.checkpoints import newest_checkpoint
from vt_env.media.cache.build_once import content_hash
from vt_env.prompts import PromptSet, save_prompts
from vt_env.tasks.read_rows import TASKS_FILE
from vt_env.tasks.task_set import TaskSet

MODEL_FOLDER, CHECKPOINTS_FOLDER = "model", "checkpoints"
"""Folders of the trained model and of the checkpoints; each tracker writes to a folder of its name."""


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
    controls: Sequence[str] = (),
    absent: Mapping[str, object] | None = None,
) -> Iterator[Run | None]:
    """Open a run directory in the first process, as `experiments.runs.run_dir.open_run`; yields `None` in the others.

    The configuration of the run includes content hashes of local models, tasks and trajectories, and controls.

    Args:
        path: The run directory.
        kind: Kind of run.
        config: Settings.
        trajectories: Files that are learned from.
        prompts: The prompt set; `None` where trajectories bring theirs.
        controls: Controls that the run is, besides those that its model was trained as.
        absent: Values of settings that runs of earlier versions do not hold.

    Raises:
        ConfigError: The directory belongs to a run with another configuration or other files, or another process uses
            it.
    """
    if not is_first_process():
        yield None
        return
    tasks = Path(config.tasks, TASKS_FILE) if Path(config.tasks).is_dir() else Path(config.tasks)
    hashes: dict[str, object] = {
        "model": checkpoint_hash(config.model),
        "tasks": content_hash(tasks) if tasks.is_file() else None,
        "trajectories": [content_hash(it) if it.exists() else None for it in trajectories],
    }
    missing: dict[str, object] = dict(absent or {})
    if isinstance(config, TagConfig):
        missing |= TAGS_IF_MISSING
        if config.chosen_tags:
            files = [tags_path(run_of(it)) for it in trajectories]
            hashes["tags"] = [content_hash(it) if it.exists() else None for it in files]
    # Trajectories bring their wording.
    wording = {} if prompts is None else prompts_record(prompts)
    missing |= IF_MISSING if wording else PROFILE_IF_MISSING
    also = {"hashes": hashes, **wording, **controls_record([*model_controls(config.model), *controls])}
    with open_run(path, kind, config, also, missing) as run:
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
            path, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True, trust_remote_code=False
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


def save_trained(
    trainer: Any, config: TrainerConfig, out: Path, prompts: PromptSet, controls: Sequence[str] = ()
) -> None:
    """Save model, processor, prompt set and controls into the run's `model` folder, atomically, LoRA adapters merged.

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
        save_controls([*model_controls(config.model), *controls], draft)
        captioner = captions_key(config.tasks)
        if captioner is not None:
            write_json(draft / CAPTIONS_FILE, {"captioner": captioner})
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
