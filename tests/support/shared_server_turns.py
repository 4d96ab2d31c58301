"""Tool loops of two processes that share one vLLM server, with TRL's own code and a scripted server.

`torchrun --nproc-per-node 2 tests/support/shared_server_turns.py FILE` writes to `FILE`, for each process, the replies
that each of its rollouts got. A rollout is named by a token and sends it on; its replies name the rollout and the turn.
"""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from trl import import_utils

# The client is scripted here, and importing vLLM takes longer than the test.
import_utils.is_vllm_available = lambda *args, **kwargs: False

from vt_env.integrations.trl.step_parts import unmeasured  # noqa: E402
from vt_env.integrations.trl.vllm_sampler import RepairedVLLMGeneration  # noqa: E402

TURNS = ({11: 3, 12: 1, 13: 2}, {21: 1, 22: 1, 23: 5})
"""Turns of each rollout, by process."""


class ScriptedServer:
    """What TRL's client of a server does."""

    def __init__(self) -> None:
        self.requests: list[int] = []
        """Number of prompts of each request."""

    def image_features(self, images: list[Any]) -> list[None]:
        """Return no features."""
        return [None for _ in images]

    def generate(self, prompts: list[list[int]], **sampling: Any) -> dict[str, Any]:
        """Reply with the first token of each prompt and its length."""
        self.requests.append(len(prompts))
        replies = [[ids[0], len(ids)] for ids in prompts]
        return {"prompt_ids": prompts, "completion_ids": replies, "logprobs": [[[0.0], [0.0]] for _ in replies]}


def main(file: Path) -> None:
    """Play the rollouts of both processes and gather what they got."""
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    sampler = make_sampler(accelerator)
    got: dict[int, list[list[int]]] = {name: [] for name in TURNS[accelerator.process_index]}
    left = dict(TURNS[accelerator.process_index])
    while left:
        prompts = [[name] * (1 + len(got[name])) for name in left]
        # Every other rollout has looked at a picture.
        images = [[name] if name % 2 else [] for name in left]
        _, replies, logprobs, _ = sampler.generate(prompts, images, 1)
        assert len(logprobs) == len(left)
        for name, reply in zip(left, replies, strict=True):
            got[name].append(reply)
        left = {name: turns - 1 for name, turns in left.items() if turns > 1}
    sampler.generate_for_others()
    gathered: list[Any] = [None, None]
    dist.all_gather_object(gathered, got)
    if accelerator.is_main_process:
        file.write_text(json.dumps({"got": gathered, "requests": sampler.vllm_client.requests}))
    dist.barrier()
    # Threads of gloo outlive the interpreter, see `support.sharded_step`.
    os._exit(0)


def make_sampler(accelerator: Accelerator) -> Any:
    """Make TRL's sampler of a server without a model and without vLLM."""
    sampler: Any = RepairedVLLMGeneration.__new__(RepairedVLLMGeneration)
    settings = {
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": None,
        "repetition_penalty": 1.0,
        "max_completion_length": 8,
        "logprobs": 0,
        "structured_outputs_regex": None,
        "generation_kwargs": {},
    }
    own = {"mode": "server", "accelerator": accelerator, "measure": unmeasured, "collapses_images": False}
    vars(sampler).update({**settings, **own, "vllm_client": ScriptedServer(), "_image_token_id": None})
    return sampler


if __name__ == "__main__":
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    main(Path(sys.argv[1]))
