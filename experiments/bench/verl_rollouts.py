"""Rollouts of verl's `AgentLoopWorker` with scripted tokens, for `experiments.bench.engines`."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_module
from transformers import AutoTokenizer
from verl.experimental.agent_loop.agent_loop import AgentLoopWorker
from verl.protocol import DataProto
from verl.workers.rollout.replica import TokenOutput

from vt_env.integrations.verl.rows import agent_name
from vt_env.testing import tiny_vlm


class _Server:
    """Answers each request of a rollout with the next reply."""

    def __init__(self, replies: Sequence[list[int]]) -> None:
        self._replies = replies
        self._turns: dict[str, int] = {}

    async def generate(self, request_id: str, **request: Any) -> TokenOutput:
        turn = self._turns.get(request_id, 0)
        self._turns[request_id] = (turn + 1) % len(self._replies)
        ids = self._replies[turn]
        return TokenOutput(token_ids=ids, log_probs=[-0.5] * len(ids), extra_fields={})


def rollouts(loops: Path, replies: Sequence[str], task_id: str, count: int) -> Callable[[], Awaitable[None]]:
    """Return what plays `count` rollouts of a task at once.

    Args:
        loops: File that names the loop.
        replies: What the model writes, the last one an answer.
        task_id: The task.
        count: Rollouts at once.
    """
    folder = tiny_vlm().folder
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    server = _Server([[*tokenizer.encode(it), tokenizer.eos_token_id] for it in replies])
    overrides = [
        f"actor_rollout_ref.model.path={folder}",
        "actor_rollout_ref.rollout.name=vllm",
        "data.max_prompt_length=4000",
        "data.max_response_length=4000",
        f"actor_rollout_ref.rollout.agent.agent_loop_config_path={loops}",
    ]
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", overrides)
    worker = AgentLoopWorker(config, server)
    rows = {
        "agent_name": agent_name("train"),
        "raw_prompt": [{"role": "user", "content": ""}],
        "extra_info": {"task_id": task_id},
    }

    async def play() -> None:
        columns = {name: _repeated(it, count) for name, it in rows.items()}
        batch = await worker.generate_sequences(DataProto.from_dict(non_tensors=columns))
        assert len(batch.batch["responses"]) == count

    return play


def _repeated(value: Any, count: int) -> np.ndarray[Any, Any]:
    column = np.empty(count, object)
    column[:] = [value] * count
    return column
