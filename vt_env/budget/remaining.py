"""The budget that is left in an episode, as policies are told it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remaining:
    """Calls, frames and image tokens left in an episode's budget."""

    calls: int
    frames: int
    image_tokens: int | None = None
    """`None` where image tokens have no limit."""
    frame_tokens: int = 0
    """Image tokens of a whole frame of the video; 0 where image tokens have no limit."""

    @property
    def can_look(self) -> bool:
        """Whether the budget holds one more whole frame; calls left aside."""
        return self.frames > 0 and (self.image_tokens is None or self.image_tokens >= self.frame_tokens)


NOTHING_LEFT = Remaining(0, 0)
"""No call and no frame."""
