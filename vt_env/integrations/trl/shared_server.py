"""Turns of several training processes that share one vLLM server.

TRL (1.16) gathers the prompts of all processes, samples in the first and gives each process the replies from
`process_index * len(prompts)` on: those of others where processes have different numbers of rollouts left. And a
process that has none left calls the server no more, while the others wait for it. Here all processes take every turn,
with equal shares of the rollouts that are left.
"""

from collections.abc import Callable, Sequence
from typing import Any

Sample = Callable[[list[list[int]], list[Any] | None], Sequence[list[Any] | None]]
"""Samples one reply a prompt, from token ids and images; returns lists with one entry a prompt, or `None`."""


def sample_in_step(
    sample: Sample, prompts: list[list[int]], images: list[Any] | None, index: int, processes: int
) -> tuple[list[Any] | None, ...] | None:
    """Sample for the prompts of all processes in equal shares; every process must call it.

    Args:
        sample: Samples for a share; it may gather those of all processes, which are of one length.
        prompts: Token ids of the rollouts that this process has left; empty where there are none.
        images: Images of each prompt; `None` for none.
        index: Number of this process.
        processes: Number of processes.

    Returns:
        What `sample` returns, for the prompts of this process; `None` if no process has a rollout left.
    """
    from accelerate.utils import gather_object

    counts: list[int] = gather_object([len(prompts)])
    if not any(counts):
        return None
    everyones: list[list[int]] = gather_object(prompts)
    pictures: list[Any] = gather_object([None] * len(prompts) if images is None else images)
    share = -(-len(everyones) // processes)
    # The first prompt fills the last share up; its further replies are dropped.
    filling = share * processes - len(everyones)
    mine = slice(index * share, (index + 1) * share)
    shown = [*pictures, *pictures[:1] * filling][mine] if any(it is not None for it in pictures) else None
    sampled = sample([*everyones, *everyones[:1] * filling][mine], shown)
    own = slice(sum(counts[:index]), sum(counts[: index + 1]))
    return tuple(None if it is None else gather_object(it)[own] for it in sampled)
