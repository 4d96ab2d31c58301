"""Vocabulary of the world. The tiny model's tokenizer is built from it, so a change requires a new base checkpoint."""

from collections.abc import Mapping

COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (220, 30, 40),
    "orange": (250, 140, 20),
    "yellow": (240, 225, 40),
    "green": (40, 165, 60),
    "cyan": (40, 205, 215),
    "blue": (40, 70, 220),
    "purple": (135, 45, 185),
    "pink": (250, 110, 190),
}
"""RGB of each colour name."""

SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "star", "cross", "diamond")

SIDES: tuple[str, ...] = ("left", "right")
HEIGHTS: tuple[str, ...] = ("high", "middle", "low")
"""Places of a shape in the frame: a side and a height."""

NAMES: tuple[str, ...] = (
    "alpha", "bravo", "cedar", "delta", "ember", "falcon", "garnet", "hazel", "indigo", "jasper", "kilo", "lotus",
    "maple", "nickel", "onyx", "poplar", "quartz", "raven", "sierra", "tango", "umber", "velvet", "willow", "xenon",
    "yarrow", "zephyr",
)  # fmt: skip
"""Names in the narrator's lines."""

ADJECTIVES: tuple[str, ...] = ("quiet", "bright", "old", "narrow", "cold", "distant", "simple", "early")
NOUNS: tuple[str, ...] = ("river", "bridge", "harbour", "engine", "garden", "market", "signal", "winter")
VERBS: tuple[str, ...] = ("follows", "needs", "meets", "leaves", "knows", "finds")
