"""Data mixture of SFT: rehearsal rows of the base skills, repetition, concatenation and batch order."""

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from experiments.tiny_model.batches import Exchanges, messages
from experiments.tiny_model.exercise import Paintable
from experiments.tiny_model.stage_mixtures import REHEARSED
from experiments.train.sft_rows import FRAME_LENGTH, Row, Rows
from vt_env.episode.messages import Message


class SkillRows:
    """Rehearsal rows: generated exchanges of the base model's skills.

    Args:
        seed: Seed of the exchanges.
        count: Number of rows.
    """

    def __init__(self, seed: int, count: int) -> None:
        self._exchanges = Exchanges(seed, batches=count, batch_size=1, groups=REHEARSED)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._exchanges)

    def __getitem__(self, number: int) -> Row:
        """Build a row and render its pictures."""
        exchange = self._exchanges[number]
        pictures = iter(exchange.pictures)
        return Row(tuple(_painted(message, pictures) for message in messages(exchange)))

    def lengths(self) -> list[int]:
        """Return approximate row lengths in characters."""
        exchanges = (self._exchanges[number] for number in range(len(self)))
        return [
            sum(len(it.request) + len(it.reply) for it in exchange.rounds) + FRAME_LENGTH * len(exchange.pictures)
            for exchange in exchanges
        ]


def _painted(message: Message, pictures: Iterator[Paintable]) -> Message:
    """Fill the image placeholders of a message."""
    content = message["content"]
    if isinstance(content, str):
        return message
    return {
        **message,
        "content": [{**it, "image": next(pictures).paint()} if it["type"] == "image" else it for it in content],
    }


class RepeatedRows:
    """Rows with repeats.

    Args:
        rows: The rows.
        times: Repeats per row, fractional: 2.3 = twice, and once more with probability 0.3.
        rng: Random generator for the fractional part.
    """

    def __init__(self, rows: Rows, times: Sequence[float], rng: np.random.Generator) -> None:
        whole = np.floor(times)
        drawn = rng.random(len(whole)) < np.asarray(times) - whole
        self._rows = rows
        self._numbers: list[int] = np.repeat(np.arange(len(rows)), (whole + drawn).astype(int)).tolist()

    def __len__(self) -> int:
        """Number of rows, with repeats."""
        return len(self._numbers)

    def __getitem__(self, number: int) -> Row:
        """Build a row."""
        return self._rows[self._numbers[number]]

    def lengths(self) -> list[int]:
        """Return approximate row lengths in characters."""
        lengths = self._rows.lengths()
        return [lengths[number] for number in self._numbers]


class MixedRows:
    """Concatenation of several row collections."""

    def __init__(self, *parts: Rows) -> None:
        self._parts = parts

    def __len__(self) -> int:
        """Number of rows."""
        return sum(map(len, self._parts))

    def __getitem__(self, number: int) -> Row:
        """Build a row."""
        for part in self._parts:
            if number < len(part):
                return part[number]
            number -= len(part)
        raise IndexError("row number past the end")

    def lengths(self) -> list[int]:
        """Return approximate row lengths in characters."""
        return list(chain.from_iterable(part.lengths() for part in self._parts))


POOL_BATCHES = 50
"""Number of batches sorted by length together: more would reduce padding and mixing."""


def order_of_rows(lengths: Sequence[int], batch_size: int, rng: np.random.Generator) -> list[int]:
    """Return row indexes such that batches have rows of similar length and a random order.

    The sampler of transformers keeps the batches of a pool sorted, longest first, so that a small model learns and
    forgets long conversations in every pool.
    """
    drawn = rng.permutation(len(lengths))
    pools = np.split(drawn, range(POOL_BATCHES * batch_size, len(drawn), POOL_BATCHES * batch_size))
    in_pools = np.concatenate([pool[np.argsort(np.array(lengths)[pool], kind="stable")] for pool in pools])
    batches = np.split(in_pools, range(batch_size, len(in_pools), batch_size))
    # A partial batch must come last, or later batches would be misaligned.
    order = [*rng.permutation(len(batches) - 1), len(batches) - 1]
    return [int(row) for place in order for row in batches[place]]
