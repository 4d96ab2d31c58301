"""Splits of the generated worlds: ranges of video seeds, of which no two share one."""

from vt_env.errors import ConfigError

FIRST_SEEDS = {"train": 0, "val": 10_000_000, "test": 20_000_000}
"""First video seed of each split."""
SEEDS_PER_SPLIT = 10_000_000


def video_seeds(split: str, videos: int, seed: int = 0) -> range:
    """Return the seeds of the videos of a split.

    Args:
        split: `"train"`, `"val"` or `"test"`.
        videos: Number of videos.
        seed: World seed; every seed selects different videos of the split.

    Raises:
        ConfigError: The split is unknown, or `videos` and `seed` exceed its range of video seeds.
    """
    if split not in FIRST_SEEDS:
        raise ConfigError(f"split={split!r}: allowed are {', '.join(map(repr, FIRST_SEEDS))}")
    if videos < 1 or seed < 0 or (seed + 1) * videos > SEEDS_PER_SPLIT:
        got = f"videos={videos}, seed={seed}"
        raise ConfigError(f"{got}: a split holds 1 to {SEEDS_PER_SPLIT} videos, of all seeds together")
    first = FIRST_SEEDS[split] + seed * videos
    return range(first, first + videos)
