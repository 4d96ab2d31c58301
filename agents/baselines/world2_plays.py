"""Scripts of the second generated world, beside those of the first that it shares: needle, detail and codes.

They read views (`vt_env.world2.captions`). Thoughts are as short as in the first world, and say of a scene only what is
asked:

    red circle near look                        thing on screen, its match with the question; the next step
    red square yes 31 answer                    with the number, where it matches
    red square yes left high small 05:15        place of the small number and time of the frame
    red square yes dots 5 answer
    red star yes, purple cross no look          both things of a pair
    red star left low large look                first of two scenes
    red star right high small smaller other side answer
    blue star left high, then blue star right high right   before and after a line
    flash green star
"""

import re
from collections.abc import Callable, Generator, Sequence
from typing import ClassVar

from agents.baselines.world_plays import SUBTITLES_TOP_K, Kind, Play, Scripts, Sight, Steps, Told, match_word
from vt_env.types import Answer, Interval, Observation, TimedLine, ToolCall, format_time
from vt_env.world2.captions import CLIP_S
from vt_env.world2.layout import place_box
from vt_env.world2.narration import BURST_S, DELAY_S, cue_text
from vt_env.world2.sight_questions import difference_of
from vt_env.world2.spoken_questions import direction
from vt_env.world2.vocabulary import SIZES

FOUND = Steps("answer", "look", "look")
"""Steps where one scene answers."""
_WHOLE = [0.0, 0.0, 1.0, 1.0]


class World2Scripts(Scripts):
    """Scripts of one episode of either world."""

    def _note_of(self, sight: Sight, asked: Kind, told: Told) -> str:
        if not _is_view(sight):
            return super()._note_of(sight, asked, told)
        word = match_word(sight.kind, asked)
        return " ".join([*sight.kind, word, *(_told(sight, told) if word == "yes" else ())])

    def _closer_sides(self, sight: Sight) -> list[float]:
        if not _is_view(sight):
            return super()._closer_sides(sight)
        box = place_box(_place(sight))
        return [box.left, box.top, box.right, box.bottom]

    def _look(
        self, interval: Interval, line: str, asked: Sequence[str] = ()
    ) -> Generator[ToolCall, Observation, Sight | None]:
        """Inspect an interval, and its first and last clip where its middle shows another colour.

        Retrieved clips that touch are one interval, so a weak match may hide a strong one beside it.
        """
        sight = yield from super()._look(interval, line, asked)
        for clip in _ends(interval) if asked else ():
            if not sight or not _is_view(sight) or sight.kind[0] == asked[0] or not self._calls_left:
                break
            self.note = f"{' '.join(sight.kind)} no look"
            sight = yield from super()._look(clip, "", asked)
        return sight

    def _place(self, colour: str, shape: str) -> Play:
        sight = yield from self._seek((colour, shape), FOUND, "place")
        if sight and _is_view(sight):
            yield self.answer_option(" ".join(_place(sight)))

    def _dots(self, colour: str, shape: str) -> Play:
        sight = yield from self._seek((colour, shape), FOUND, "dots")
        if sight and (dots := _told(sight, "dots")):
            yield Answer(dots[1], self.note)

    def _compare(self, colour: str, shape: str) -> Play:
        """Inspect candidates until two match; the earlier one is the first."""
        asked, seen = (colour, shape), list[Sight]()
        found = yield self._retrieval(asked)
        for line in found.lines:
            sight = yield from self._look(line.interval, line.line, asked)
            if not sight or not _is_view(sight):
                continue
            if sight.kind != asked:
                self.note = f"{self._note_of(sight, asked, 'number')} look"
            elif not any(_is_same(sight, other) for other in seen):
                seen.append(sight)
                self.note = " ".join([*sight.kind, *_place(sight), _size(sight), "look"])
            if len(seen) == 2:
                first, second = sorted(seen, key=lambda it: it.interval)
                answer = difference_of(_size(first), _place(first), _size(second), _place(second))
                self.note = f"{self.note.removesuffix(' look')} {answer} answer"
                yield self.answer_option(answer)
            if not self._goes_on(sight.kind == asked):
                return

    def _pair(self, colour: str, shape: str, other_colour: str, other_shape: str) -> Play:
        """Inspect candidates until both things match."""
        asked, other = (colour, shape), (other_colour, other_shape)
        found = yield self._retrieval(asked)
        for line in found.lines:
            sight = yield from self._look(line.interval, line.line, asked)
            if not sight:
                continue
            companion = _told(sight, "companion")
            kinds = [(sight.kind, asked), *([((companion[0], companion[1]), other)] if companion else [])]
            is_found = len(kinds) == 2 and all(seen == wanted for seen, wanted in kinds)
            marks = [" ".join([*seen, match_word(seen, wanted)]) for seen, wanted in kinds]
            self.note = ", ".join(marks) + (f" {sight.words[2]} answer" if is_found else " look")
            if is_found:
                yield Answer(sight.words[2], self.note)
            if not self._goes_on(is_found):
                return

    def _flash(self, name: str) -> Play:
        """Look at the whole frame at the half second after the line."""
        line = yield from self._hear(f"look {name}", cue_text(name))
        if line is None:
            return
        # Written as the line is, since a tiny model copies its end and adds the half second.
        time = f"{format_time(line.interval.end_s)}{str(DELAY_S).removeprefix('0')}"
        shown = yield ToolCall("spatial_zoom", {"time_s": time, "box": _WHOLE}, line.line)
        flash = next(filter(None, (re.search(r"\bflash (\w+ \w+)", it.text) for it in shown.lines)), None)
        if flash:
            self.note = flash[0]
            yield self.answer_option(flash[1])

    def _burst(self, name: str) -> Play:
        """Look at the second in which the number is another one."""
        line = yield from self._hear(f"look {name}", cue_text(name))
        if line is None:
            return
        end_s = line.interval.end_s + DELAY_S + BURST_S
        sight = yield from self._look(Interval(end_s - 1, end_s), line.line)
        if sight:
            self.note = " ".join(sight.words[:3])
            yield Answer(sight.words[2], self.note)

    def _motion(self, colour: str, shape: str, name: str) -> Play:
        """Look at the second before the line and at the one after it."""
        line = yield from self._hear(f"look {name}", cue_text(name))
        if line is None:
            return
        start_s, end_s = line.interval.start_s, line.interval.end_s
        before = yield from self._look(Interval(start_s - 1, start_s), line.line)
        if not before or not _is_view(before):
            return
        self.note = " ".join([*before.kind, *_place(before)])
        after = yield from self._look(Interval(end_s, end_s + 1), "")
        if after and _is_view(after) and _place(after) != _place(before):
            way = direction(_place(before), _place(after))
            self.note = " ".join([*after.kind, *_place(after), way])
            yield self.answer_option(way)

    def _spot(self, colour: str, shape: str, name: str) -> Play:
        """Look at the screen while the line is spoken."""
        line = yield from self._hear(f"look {name}", cue_text(name))
        if line is None:
            return
        sight = yield from self._look(line.interval, line.line)
        if sight and _is_view(sight):
            self.note = " ".join([*sight.kind, *_place(sight)])
            yield self.answer_option(" ".join(_place(sight)))

    def _beside(self, name: str) -> Play:
        """Find what the narrator names, then its companion."""
        asked = yield from self._hear_kind(name)
        sight = (yield from self._seek(asked, FOUND, "companion")) if asked else None
        if sight and (companion := _told(sight, "companion")):
            yield self.answer_option(" ".join(companion))

    def _named(self, name: str) -> Play:
        """Find what the narrator names, then its small number."""
        asked = yield from self._hear_kind(name)
        if asked:
            yield from self._detail(*asked)

    def _hear_kind(self, name: str) -> Generator[ToolCall, Observation, Kind | None]:
        line = yield from self._hear(f"{name} is the", rf"{name} is the (\w+) (\w+)")
        if line is None:
            return None
        self._add(line.line)
        colour, shape = line.text.split()[-2:]
        return colour, shape

    def _hear(self, query: str, form: str) -> Generator[ToolCall, Observation, TimedLine | None]:
        """Search the subtitles and return the first line of a form."""
        found = yield ToolCall("subtitle_retrieval", {"query": query, "top_k": SUBTITLES_TOP_K})
        self._calls_left = found.remaining.calls
        return next((line for line in found.lines if re.fullmatch(form, line.text)), None)

    def _goes_on(self, was_right: bool) -> bool:
        """Return whether to inspect another candidate."""
        return self._calls_left > 0 and (was_right or self._should_continue())

    _FORMS: ClassVar[dict[str, Callable[..., Play]]] = {
        **Scripts._FORMS,
        r"where is the (\w+) (\w+)\?": _place,
        r"how many dots are beside the (\w+) (\w+)\?": _dots,
        r"how does the second (\w+) (\w+) differ\?": _compare,
        r"what number is beside the (\w+) (\w+) and the (\w+) (\w+)\?": _pair,
        r"what flashes after the narrator says (\w+)\?": _flash,
        r"what number comes after the narrator says (\w+)\?": _burst,
        r"which way does the (\w+) (\w+) move when the narrator says (\w+)\?": _motion,
        r"where is the (\w+) (\w+) when the narrator says (\w+)\?": _spot,
        r"what stands beside (\w+)\?": _beside,
        r"what is the small number on (\w+)\?": _named,
    }


def _ends(interval: Interval) -> list[Interval]:
    """Return the first and the last clip of an interval of several clips."""
    if interval.duration_s <= CLIP_S:
        return []
    return [
        Interval(interval.start_s, interval.start_s + CLIP_S),
        Interval(interval.end_s - CLIP_S, interval.end_s),
    ]


def _is_view(sight: Sight) -> bool:
    """Return whether a sight is a view of the second world, which says sizes."""
    return len(sight.words) > 5 and _size(sight) in SIZES


def _place(sight: Sight) -> tuple[str, str]:
    return sight.words[3], sight.words[4].removesuffix(",")


def _size(sight: Sight) -> str:
    return sight.words[5].removesuffix(",")


def _told(sight: Sight, told: Told) -> Sequence[str]:
    """Return the words of a view that a question asks for; none if the view lacks them."""
    if told == "number":
        return sight.words[2:3]
    if told in ("place", "small"):
        return _place(sight)
    others = [part.split() for part in " ".join(sight.words).split(", ")[1:]]
    if told == "dots":
        return next((it for it in others if it[0] == "dots"), [])
    return next((it[:2] for it in others if it[0] != "dots"), [])


def _is_same(one: Sight, other: Sight) -> bool:
    """Return whether two sights are of one scene: they show the same."""
    return one.words == other.words
