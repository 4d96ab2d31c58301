"""A GRPO run of a user's own script, unbroken or resumed from its second step as TRL does it.

`python tests/support/grpo_resume.py MODEL FOLDER unbroken` trains four steps on `FOLDER/tasks.jsonl` and keeps the
checkpoint of the second; with `resumed` a new trainer goes on from there. Hashes of weights go to `FOLDER/MODE.json`.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from transformers import AutoProcessor, TrainerCallback
from trl import GRPOConfig

from vt_env.integrations.trl import (
    EpisodeGRPOTrainer,
    environment_class,
    prepare_processor,
    reward_functions,
    training_rows,
)

STEPS, SAVED = 4, 2


class Hashes(TrainerCallback):
    """Hashes of the model's weights when training begins and after the saved step."""

    def __init__(self) -> None:
        self.restored = self.saved = ""

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Keep the hash of the weights that training begins with."""
        self.restored = hash_of(model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Keep the hash of the weights that are saved."""
        if state.global_step == SAVED:
            self.saved = hash_of(model)


def main(model: str, folder: Path, mode: str) -> None:
    """Train and write the hashes."""
    environment, hashes = (
        environment_class(folder / "tasks.jsonl", budget="default,max_parallel_calls=1", prompts="tiny"),
        Hashes(),
    )
    trainer = EpisodeGRPOTrainer(
        model,
        reward_functions("default"),
        GRPOConfig(
            str(folder / "own"), max_steps=STEPS, save_steps=SAVED, num_generations=4, per_device_train_batch_size=4,
            gradient_accumulation_steps=2, learning_rate=3e-4, max_completion_length=400, use_vllm=True,
            vllm_mode="colocate", vllm_max_model_length=640, logging_steps=1, report_to="none", use_cpu=True,
            bf16=False, vllm_importance_sampling_mode="token_truncate",
        ),
        environment_factory=environment,
        train_dataset=training_rows(environment),
        processing_class=prepare_processor(AutoProcessor.from_pretrained(model)),
        callbacks=[hashes],
    )  # fmt: skip
    start = hash_of(trainer.model)
    trainer.train(resume_from_checkpoint=str(folder / "own" / f"checkpoint-{SAVED}") if mode == "resumed" else None)
    runner = trainer.vllm_generation.llm.llm_engine.model_executor.driver_worker.model_runner
    differences = [it["sampling/sampling_logp_difference/mean"] for it in trainer.state.log_history if "reward" in it]
    seen = {
        "start": start,
        "restored": hashes.restored,
        "saved": hashes.saved,
        "trained": hash_of(trainer.model),
        "sampler": hash_of(runner.model),
        "logp_difference": max(differences),
    }
    (folder / f"{mode}.json").write_text(json.dumps(seen))


def hash_of(model: Any) -> str:
    """Hash all weights of a model."""
    weights = sorted(model.named_parameters(), key=lambda pair: pair[0])
    return hashlib.sha256(b"".join(weight.detach().numpy().tobytes() for _, weight in weights)).hexdigest()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
