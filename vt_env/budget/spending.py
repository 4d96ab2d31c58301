"""The account of one episode: what it has used of its budget, checked before anything is rendered."""

from collections.abc import Sequence

from vt_env.budget.remaining import Remaining
from vt_env.config import BudgetConfig, MediaConfig, check_image_tokens
from vt_env.errors import BudgetError
from vt_env.protocols import Video
from vt_env.types import View

_REMEDY = "call a tool that returns text, or answer"


class Spending:
    """Calls, frames and image tokens of one episode.

    Args:
        budget: What may be used.
        media: Says how many image tokens a picture has.
        video: Says how large its frames are.

    Raises:
        ConfigError: The image tokens of the budget do not hold the global frames and one more frame of this video.
    """

    def __init__(self, budget: BudgetConfig, media: MediaConfig, video: Video) -> None:
        self.calls = budget.max_calls
        """Calls left."""
        self.frames = budget.max_frames
        """Frames left."""
        self.image_tokens = 0
        """Image tokens used: of the pictures shown, and of those that captions stand for."""
        self._budget, self._media = budget, media
        self._frame_tokens = 0
        if budget.max_image_tokens is not None:
            width, height = video.picture_size_px()
            self._frame_tokens = media.image_tokens((width, height))
            check_image_tokens(budget, self._frame_tokens, f"frames of {width} x {height} pixels")

    @property
    def remaining(self) -> Remaining:
        """Budget left."""
        return Remaining(self.calls, self.frames, self._tokens_left, self._frame_tokens)

    def most_frames(self, size_px: tuple[int, int], *, costs_frames: bool) -> int:
        """Return how many frames of this width and height the budget still holds.

        Args:
            size_px: Width and height.
            costs_frames: Whether they are taken from the budget of frames; those that captions stand for are not.

        Raises:
            BudgetError: None.
        """
        self.check([size_px], frames=int(costs_frames))
        frames = self.frames if costs_frames else self._budget.max_frames
        left = self._tokens_left
        return frames if left is None else min(frames, left // self._media.image_tokens(size_px))

    def check(self, sizes_px: Sequence[tuple[int, int]], frames: int) -> None:
        """Check that the budget holds pictures of these sizes.

        Args:
            sizes_px: Width and height of each, counted in image tokens.
            frames: How many of them are taken from the budget of frames.

        Raises:
            BudgetError: It does not.
        """
        if frames > self.frames:
            raise BudgetError(f"frames needed: {frames}, left: {self.frames}; {_REMEDY}")
        needed, left = self._tokens(sizes_px), self._tokens_left
        if left is not None and needed > left:
            raise BudgetError(f"image tokens needed: {needed}, left: {left}; {_REMEDY}")

    def check_view(self, view: View) -> None:
        """Check that the budget holds what a tool returned.

        Raises:
            BudgetError: It does not.
        """
        self.check(picture_sizes_px(view), _frame_count(view))

    def charge(self, view: View) -> None:
        """Take the pictures of a view from the budget, and those that its caption stands for."""
        self.frames -= _frame_count(view)
        self.image_tokens += self._tokens(picture_sizes_px(view))

    @property
    def _tokens_left(self) -> int | None:
        limit = self._budget.max_image_tokens
        return None if limit is None else limit - self.image_tokens

    def _tokens(self, sizes_px: Sequence[tuple[int, int]]) -> int:
        return sum(map(self._media.image_tokens, sizes_px))


def frame_size_px(video: Video, media: MediaConfig, share: float = 1.0) -> tuple[int, int]:
    """Return the width and height of a frame of a video, at a share of the pixels of the stored one."""
    return media.reduced_px(video.picture_size_px(), share)


def picture_sizes_px(view: View) -> tuple[tuple[int, int], ...]:
    """Return the width and height of each picture of a view, or of each that its caption stands for."""
    if view.frames is None:
        return view.stands_for_px
    count, height, width = view.frames.data.shape[:3]
    return ((width, height),) * count


def _frame_count(view: View) -> int:
    return 0 if view.frames is None else len(view.frames)
