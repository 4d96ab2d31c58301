"""The words of the world. A tokenizer for tiny models is built from them, so a change means a new base checkpoint."""

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
"""Colour name to RGB."""

SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "star", "cross", "diamond")

SIDES: tuple[str, ...] = ("left", "right")
HEIGHTS: tuple[str, ...] = ("high", "middle", "low")
"""Where in a frame a shape is."""

NAMES: tuple[str, ...] = (
    "alpha", "bravo", "cedar", "delta", "ember", "falcon", "garnet", "hazel", "indigo", "jasper", "kilo", "lotus",
    "maple", "nickel", "onyx", "poplar", "quartz", "raven", "sierra", "tango", "umber", "velvet", "willow", "xenon",
    "yarrow", "zephyr",
)  # fmt: skip
"""Names that the narrator speaks of."""

ADJECTIVES: tuple[str, ...] = ("quiet", "bright", "old", "narrow", "cold", "distant", "simple", "early")
NOUNS: tuple[str, ...] = ("river", "bridge", "harbour", "engine", "garden", "market", "signal", "winter")
VERBS: tuple[str, ...] = ("follows", "needs", "meets", "leaves", "knows", "finds")
