"""Interface between policies and text generation: token sequences in, completions out. Imports no model library."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image


@dataclass(slots=True, eq=False)
class TokenSequence:
    """Token ids and images of a conversation so far."""

    ids: list[int]
    """Token ids; an image stands as one run of image tokens, as long as its features."""
    images: list[Image.Image] = field(default_factory=list)
    """RGB, in the order of their runs."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One generated reply."""

    ids: list[int]
    """Up to and including the end-of-turn token, unless it was cut off before."""
    logprobs: list[float] = field(default_factory=list)
    """Natural log-probability of each token at temperature 1; empty where they are not known."""

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.ids)


class Generator(Protocol):
    """Continues token sequences; implemented by the backends that hold weights."""

    context_tokens: int
    """The longest sequence the model takes, its reply included."""
    max_new_tokens: int
    """Length at which a reply is cut off."""

    def generate(self, sequences: Sequence[TokenSequence], seeds: Sequence[int]) -> list[Completion]:
        """Write one reply for each sequence.

        Args:
            sequences: Sequences to continue.
            seeds: One a sequence, so that a sampled reply does not depend on the rest of the batch.
        """
        ...
