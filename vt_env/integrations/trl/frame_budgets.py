"""Frame budgets drawn anew for each question of a step, the same for all rollouts of its group.

After the per-prompt frame-budget randomization of ParaVT (arXiv 2605.20342), which draws how many frames are shown with
the question; here it is the episode's `max_frames`, of which the policy is told. Draws depend on the seed, the step and
the question, so they are the same in every process and after a resume.
"""

from vt_env.config import BudgetConfig
from vt_env.errors import ConfigError
from vt_env.hashing import fingerprint

FrameRange = tuple[int, int]
"""Fewest and most frames of an episode, both included."""


def check_frame_range(frames: FrameRange, budget: BudgetConfig) -> None:
    """Refuse a range that the budget of the episodes does not hold.

    Raises:
        ConfigError: It is empty, below one look beside the global frames, or above `max_frames`.
    """
    fewest, most = frames
    least = budget.global_frames + budget.frames_per_zoom
    if not least <= fewest <= most <= budget.max_frames:
        raise ConfigError(
            f"frame_budgets={fewest} {most}: need {least} (global_frames and one look) or more, the fewest first, and "
            f"max_frames={budget.max_frames} or less"
        )


def draw_frame_budget(frames: FrameRange, seed: int, step: int, task_id: str) -> int:
    """Draw the `max_frames` of a question's episodes in a step, each number of the range with equal chances."""
    fewest, most = frames
    return fewest + int(fingerprint([seed, step, task_id]), 16) % (most - fewest + 1)
