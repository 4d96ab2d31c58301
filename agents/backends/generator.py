"""Interface of text generation backends: token sequences in, completions out. Imports no model library."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image


@dataclass(slots=True, eq=False)
class TokenSequence:
    """Token ids and images of a conversation so far."""

    ids: list[int]
    """Token ids; each image is one run of image tokens, as long as its features."""
    images: list[Image.Image] = field(default_factory=list)
    """RGB images, in the order of their runs."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One generated reply."""

    ids: list[int]
    """Token ids up to and including the end-of-turn token; without that token if cut off."""
    logprobs: list[float] = field(default_factory=list)
    """Natural log-probability of each token at temperature 1; empty if unknown."""
    is_stopped: bool = False
    """True if a stop text ended the reply, which then holds no end-of-turn token."""

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.ids)


class Generator(Protocol):
    """Continuation of token sequences; implemented by the backends that hold weights."""

    context_tokens: int
    """Maximum sequence length in tokens, reply included."""
    max_new_tokens: int
    """Maximum length of a reply in tokens."""

    def generate(self, sequences: Sequence[TokenSequence], seeds: Sequence[int]) -> list[Completion]:
        """Generate one reply per sequence.

        Args:
            sequences: Sequences to continue.
            seeds: One per sequence, so that a sampled reply does not depend on the rest of the batch.
        """
        ...
