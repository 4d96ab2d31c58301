"""Words that the second world adds to `vt_env.world.vocabulary`; a change requires a new base checkpoint."""

LEVELS: tuple[str, ...] = ("high", "low")
"""Heights of a place; both are words of the first world."""
SIZES: tuple[str, ...] = ("large", "small")
"""Sizes of a shape."""
DIRECTIONS: tuple[str, ...] = ("left", "right", "up", "down")
"""Ways in which a shape moves."""
DIFFERENCES: tuple[str, ...] = ("larger same side", "larger other side", "smaller same side", "smaller other side")
"""Answers of the family compare: the size and the side of the second scene, compared with the first."""

NEW_WORDS: tuple[str, ...] = (
    "where", "dots", "second", "differ", "larger", "smaller", "same", "other", "side", "flash", "flashes", "comes",
    "after", "way", "does", "move", "up", "down", "and", "stands", "large",
)  # fmt: skip
"""Words of questions, options, captions and views that are not among those of the first world."""
