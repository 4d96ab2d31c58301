"""GRPO steps through a real vLLM engine, in a process of their own since the engine leaves traces in it.

Writes what it saw to `seen.json`: `python tests/support/grpo_steps.py FOLDER`, where FOLDER holds a tiny model that
calls tools (`model`) and a task file (`tasks.jsonl`).
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from experiments.train.grpo import GRPORun, build_trainer
from vt_env.integrations.trl.sampler_errors import SamplingMismatch

STEPS = 4


def main(folder: Path) -> None:
    """Train without the repair of image tokens, which must be stopped, and then with it."""
    config = GRPORun(
        out=folder / "grpo",
        model=str(folder / "model"),
        tasks=str(folder / "tasks.jsonl"),
        profile="world",
        split="train",
        steps=STEPS,
        prompts_per_step=2,
        group_size=4,
        micro_batch=4,
        lr=3e-4,
        # Every batch is watched whole.
        drop_groups=False,
        max_completion_length=400,
        context_tokens=640,
        threads=1,
    )
    trainer, _ = build_trainer(config)
    sampler = trainer.vllm_generation
    collapses, sampler.collapses_images = sampler.collapses_images, False
    start = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    try:
        trainer.train()
        alarm = ""
    except SamplingMismatch as error:
        alarm = str(error)
    untouched = all(torch.equal(weight, start[name]) for name, weight in trainer.model.named_parameters())

    sampler.collapses_images = collapses
    # What was wrong before the repair is still in the trainer's metrics.
    trainer._metrics["train"].clear()
    batches: list[dict[str, Any]] = []
    watch(trainer, batches)
    trainer.train()
    changed = [name for name, weight in trainer.model.named_parameters() if not torch.equal(weight, start[name])]
    seen = {
        "alarm": alarm,
        "untouched": untouched,
        "batches": batches,
        "changed": changed,
        "log": trainer.state.log_history,
        "suppressed": suppressed(trainer),
    }
    (folder / "seen.json").write_text(json.dumps(seen))


def watch(trainer: Any, batches: list[dict[str, Any]]) -> None:
    """Keep what each batch of the loss holds."""
    generate = trainer._generate_and_score_completions
    image_token_id = trainer.model.config.image_token_id

    def generate_and_watch(rows: Any) -> Any:
        batch = generate(rows)
        tool_tokens = (batch["completion_mask"] * (1 - batch["tool_mask"])).bool()
        model_tokens = (batch["completion_mask"] * batch["tool_mask"]).bool()
        is_image = batch["completion_ids"] == image_token_id
        after_image = (is_image.cumsum(dim=1) > 0) & model_tokens
        difference = (batch["old_per_token_logps"] - batch["sampling_per_token_logps"]).abs()
        batches.append(
            {
                "images": sum(batch["num_images"]) if "pixel_values" in batch else 0,
                "patches": len(batch.get("pixel_values", ())),
                "image_tokens": int(is_image.sum()),
                "image_tokens_outside_results": int((is_image & ~tool_tokens).sum()),
                "tokens_after_images": int(after_image.sum()),
                "difference_after_images": float(difference[after_image].mean()),
            }
        )
        return batch

    trainer._generate_and_score_completions = generate_and_watch


def suppressed(trainer: Any) -> dict[str, int]:
    """Count image and video tokens that a model samples for which all tokens are equal, with and without their bias."""
    generation, config = trainer.vllm_generation, trainer.model.config
    with torch.no_grad():
        trainer.model.lm_head.weight.zero_()
    generation.sync_weights()
    prompt = trainer.processing_class.tokenizer("what is shown")["input_ids"]
    biased = generation.generation_kwargs
    plain = {name: value for name, value in biased.items() if name != "logit_bias"}
    counts = {}
    for name, kwargs in {"with": biased, "without": plain}.items():
        generation.generation_kwargs = kwargs
        _, sampled, _, _ = generation.generate(prompts=[prompt] * 16, images=None, num_generations=1)
        counts[name] = sum(token in (config.image_token_id, config.video_token_id) for ids in sampled for token in ids)
    return counts


if __name__ == "__main__":
    main(Path(sys.argv[1]))
