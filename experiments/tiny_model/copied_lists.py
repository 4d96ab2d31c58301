"""Exercises that copy lists of lines, of whatever world the lines are."""

from collections.abc import Callable, Sequence

import numpy as np

from experiments.tiny_model.exercise import Exchange, Round, random_count, with_text_before


def repeat_lines(
    any_line: Callable[[int, np.random.Generator], str], rng: np.random.Generator, lengths: np.random.Generator
) -> Exchange:
    """Build an exercise that copies whole lists; `any_line` draws the line of a rank."""

    def one() -> Round:
        lines = [any_line(rank, rng) for rank in range(1, 1 + random_count(lengths, 4))]
        text = "\n".join(lines)
        return Round(f"Copy\n{text}", text)

    return Exchange("repeat", tuple(one() for _ in range(random_count(lengths, 3))))


def copy_lines(heads: list[str], lines: list[str], rng: np.random.Generator, lengths: np.random.Generator) -> Exchange:
    """Build an exercise that copies lines of a list, selected by the labels that they begin with."""
    asked = rng.integers(len(lines), size=int(lengths.integers(1, 7)))
    first, *others = [Round(f"Copy {heads[place]}", lines[place]) for place in asked]
    return Exchange("copy", (with_text_before(_shown(lines, rng), first), *others))


def walk_lines(heads: Sequence[str], lines: Sequence[str], rng: np.random.Generator) -> Exchange:
    """Build an exercise that goes through a list line by line, from its first line or a later one."""
    start = int(rng.integers(len(lines))) if rng.random() < 0.3 else 0
    first = Round(f"Copy {heads[start]}", lines[start])
    others = [Round("Next", line) for line in lines[start + 1 :]]
    return Exchange("walk", (with_text_before(_shown(lines, rng), first), *others))


def _shown(lines: Sequence[str], rng: np.random.Generator) -> str:
    """Show a list as it is, one of ranked clips with their scores."""
    is_ranked = lines[0].startswith("#")
    return "\n".join(f"{line} {rng.uniform(0.1, 1):.2f}" if is_ranked else line for line in lines)
