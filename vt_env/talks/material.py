"""Hand-written sentences of the talks: one TOML file per subject in `material/`, and one with shared lines."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "material"
_SHARED = "common"
_NUMBER = re.compile(r"\{(\d+)-(\d+)\}")


@dataclass(frozen=True, slots=True)
class BulletForm:
    """Bullet of a slide with a number to draw: `Average wait: {11-48} minutes`."""

    before: str
    after: str
    low: int
    high: int
    """Largest number, inclusive."""

    @property
    def label(self) -> str:
        """The text before the colon."""
        return self.before.partition(":")[0]

    def text(self, number: int) -> str:
        """Return the bullet with its number."""
        return f"{self.before}{number}{self.after}"


@dataclass(frozen=True, slots=True)
class ChartForm:
    """Bar chart with values to draw."""

    title: str
    unit: str
    bars: tuple[str, ...]
    low: int
    high: int
    """Largest value, inclusive."""


@dataclass(frozen=True, slots=True)
class SlideForm:
    """Slide and what is said about it. The lines hold no number."""

    title: str
    bullets: tuple[BulletForm, ...]
    lines: tuple[str, ...]
    chart: ChartForm | None


@dataclass(frozen=True, slots=True)
class RemarkForm:
    """Spoken fact with a number to draw."""

    line: str
    """The sentence, with `{n}`."""
    decoy: str
    """Similar sentence with another number, spoken elsewhere."""
    ask: str
    """What the question asks, after `According to the speaker,`."""
    low: int
    high: int
    """Largest number, inclusive."""


@dataclass(frozen=True, slots=True)
class StoryForm:
    """Spoken anecdote without a number, which can stand anywhere in the talk."""

    line: str
    name: str
    """How questions refer to it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Material of one talk."""

    name: str
    title: str
    topic: str
    slides: tuple[SlideForm, ...]
    remarks: tuple[RemarkForm, ...]
    stories: tuple[StoryForm, ...]


@dataclass(frozen=True, slots=True)
class SharedLines:
    """Lines that fit every subject; `{topic}` stands for its topic."""

    speakers: tuple[str, ...]
    openings: tuple[str, ...]
    turns: tuple[str, ...]
    """First lines about a slide."""
    charts: tuple[str, ...]
    """First lines about a chart."""
    closings: tuple[str, ...]
    asides: tuple[str, ...]


@cache
def subjects() -> tuple[Subject, ...]:
    """Read the material of all subjects, in alphabetical order of their files."""
    paths = sorted(_FOLDER.glob("*.toml"))
    return tuple(_subject(path.stem, _read(path)) for path in paths if path.stem != _SHARED)


@cache
def shared_lines() -> SharedLines:
    """Read the lines that fit every subject."""
    return SharedLines(**{name: tuple(lines) for name, lines in _read(_FOLDER / f"{_SHARED}.toml").items()})


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _subject(name: str, table: Mapping[str, Any]) -> Subject:
    return Subject(
        name,
        table["title"],
        table["topic"],
        tuple(map(_slide, table["slides"])),
        tuple(RemarkForm(it["line"], it["decoy"], it["ask"], *it["range"]) for it in table["remarks"]),
        tuple(StoryForm(it["line"], it["name"]) for it in table["stories"]),
    )


def _slide(table: Mapping[str, Any]) -> SlideForm:
    chart = table.get("chart")
    return SlideForm(
        table["title"],
        tuple(map(_bullet, table["bullets"])),
        tuple(table["lines"]),
        ChartForm(chart["title"], chart["unit"], tuple(chart["bars"]), *chart["range"]) if chart else None,
    )


def _bullet(text: str) -> BulletForm:
    before, low, high, after = _NUMBER.split(text)
    return BulletForm(before, after, int(low), int(high))
