"""Near-duplicate attempts: same calls and answer, up to rounded times and the order of words."""

from vt_env.episode.trajectory import Trajectory

NEAR_S = 5.0
"""Times in seconds that round to the same multiple of this count as the same."""


def outline(trajectory: Trajectory) -> tuple[object, ...]:
    """Return what two near-duplicates share: task, calls and answer.

    Thoughts are left out, times are rounded to `NEAR_S`, and texts are sets of words.
    """
    calls = tuple(
        (turn.call.name, tuple(sorted((name, _rough(name, it)) for name, it in turn.call.arguments.items())))
        for turn in trajectory.turns
        if turn.call is not None
    )
    return (trajectory.task_id, calls, plain(trajectory.answer or ""))


def plain(text: str) -> str:
    """Return a text in lower case, with single spaces."""
    return " ".join(text.casefold().split())


def _rough(name: str, value: object) -> str:
    if name.endswith("_s") and isinstance(value, int | float):
        return str(round(value / NEAR_S))
    return " ".join(sorted(set(plain(value).split()))) if isinstance(value, str) else repr(value)
