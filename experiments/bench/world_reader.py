"""A reader that never errs: which options of a world question does what was seen not rule out?

It works on scripts, so no video is decoded. It knows the words of the questions and nothing of how they were made.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from vt_env.types import Interval, Item, SubtitleLine, parse_time
from vt_env.world.script import Scene


@dataclass(frozen=True)
class Seen:
    """What a reader knows of a video."""

    scenes: tuple[Scene, ...] = ()
    """In time order."""
    lines: tuple[SubtitleLine, ...] = ()
    is_all: bool = False
    """Whether nothing else in the video matters, so that what was not seen is not there."""
    is_close: bool = False
    """Whether small print was read as well."""

    def of_kind(self, words: str) -> list[Scene]:
        """Return the scenes of a colour and shape, `"red square"`."""
        return [scene for scene in self.scenes if f"{scene.colour} {scene.shape}" == words]


Rule = Callable[[Seen, Sequence[str], str], list[bool]]
"""For each option, whether it is still possible; the last argument is what the question asks about."""


def possible(item: Item, seen: Seen) -> list[int]:
    """Return the positions of the options that what was seen does not rule out.

    Raises:
        ValueError: The question is none of the world's.
    """
    for form, rule in _RULES.items():
        match = re.fullmatch(form, item.question)
        if match:
            allowed = rule(seen, item.options, match[1] if match.groups() else "")
            return [idx for idx, is_allowed in enumerate(allowed) if is_allowed]
    raise ValueError(f"{item.task_id}: no form of the world's questions: {item.question!r}")


def _exactly(options: Sequence[str], answer: object) -> list[bool]:
    return [option == str(answer) for option in options]


def _needle(seen: Seen, options: Sequence[str], asked: str) -> list[bool]:
    found = seen.of_kind(asked)
    return _exactly(options, found[0].number) if found else [True] * len(options)


def _subtitle(seen: Seen, options: Sequence[str], asked: str) -> list[bool]:
    spoken = [line.text.split()[-1] for line in seen.lines if line.text.startswith(f"the code of {asked} is ")]
    return _exactly(options, spoken[0]) if spoken else [True] * len(options)


def _reference(seen: Seen, options: Sequence[str], asked: str) -> list[bool]:
    times_s = [line.interval.middle_s for line in seen.lines if line.text == f"look at {asked} now"]
    shown = [scene for scene in seen.scenes for time_s in times_s if scene.interval.contains(time_s)]
    return _exactly(options, shown[0].number) if shown else [True] * len(options)


def _counting(seen: Seen, options: Sequence[str], asked: str) -> list[bool]:
    count = len(seen.of_kind(asked))
    return [int(option) == count if seen.is_all else int(option) >= count for option in options]


def _ordering(seen: Seen, options: Sequence[str], asked: str) -> list[bool]:
    # Each of the ordered things is in the video once, so its first scene is its only one.
    starts_s = {name: seen.of_kind(name)[0].interval.start_s for name in options[0].split(", ") if seen.of_kind(name)}
    known = [[starts_s[name] for name in option.split(", ") if name in starts_s] for option in options]
    return [all(one < other for one, other in pairwise(order)) for order in known]


def _grounding(seen: Seen, options: Sequence[str], asked: str) -> list[bool]:
    spans = [_interval(option) for option in options]
    found = seen.of_kind(asked)
    if found:
        return [span.contains(found[0].interval.middle_s) for span in spans]
    return [not any(span.contains(scene.interval.middle_s) for scene in seen.scenes) for span in spans]


def _detail(seen: Seen, options: Sequence[str], asked: str) -> list[bool]:
    found = seen.of_kind(asked)
    if found and seen.is_close:
        return _exactly(options, found[0].detail)
    return [not (found and option == str(found[0].number)) for option in options]


def _absence(seen: Seen, options: Sequence[str], asked: str) -> list[bool]:
    return [not seen.of_kind(option) for option in options]


def _interval(text: str) -> Interval:
    start_s, end_s = (parse_time(time) for time in text.split("-"))
    assert start_s is not None and end_s is not None, text
    return Interval(start_s, end_s)


_RULES: Mapping[str, Rule] = {
    r"what number is beside the (.+)\?": _needle,
    r"what is the code of (.+)\?": _subtitle,
    r"what number is on screen when the narrator says (.+)\?": _reference,
    r"how many times is the (.+) shown\?": _counting,
    r"in which order are these shown: .+\?": _ordering,
    r"when is the (.+) shown\?": _grounding,
    r"what is the small number on the (.+)\?": _detail,
    r"which of these is never shown\?": _absence,
}
