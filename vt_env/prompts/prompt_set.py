"""A prompt set: every text that a model reads in an episode, as templates with a name and a version.

Tool descriptions are the one exception; they are the docstrings in `vt_env.tools.builtin`. Lines that name an interval
(clips, subtitles, captions) have one form in all sets, that of `vt_env.prompts.lines`.

Question, options, results and errors come from data or from a model, so their control tokens are broken here
(`vt_env.control_tokens`). The templates are our own wording and keep their tags.
"""

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, cast

from vt_env.budget.remaining import Remaining
from vt_env.control_tokens import as_plain_text
from vt_env.errors import ConfigError
from vt_env.hashing import fingerprint
from vt_env.prompts.lines import full_line
from vt_env.types import FrameBatch, Item, TimedLine, format_time

OVER = "The episode is over."
"""Last observation of every episode, in all sets. It does not tell whether the answer was right."""

_BUDGET_IMAGE_TOKENS = "{image_tokens} image tokens are left; each moment looked at takes about {frame_tokens} of them."
_LATER: Mapping[str, object] = {
    "answers": "tag",
    "calls": "template",
    "times": "clock",
    "hints": "tool",
    "tool_schemas": {},
    "budget_image_tokens": _BUDGET_IMAGE_TOKENS,
}
"""Fields that sets of before did not have, with the values that stand for what was played then."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_TOUCHED = re.compile(r"<[^\s<>{}]*\{|\}[^\s<>{}]*>")
"""A placeholder inside a tag: data could complete a control token there."""


def _template(needed: str = "", allowed: str = "") -> str:
    """Declare a template with the placeholders that it must and may hold; returns the dataclass field."""
    return field(metadata=_rules(needed, allowed))


def _rules(needed: str = "", allowed: str = "") -> dict[str, list[str]]:
    return {"needed": needed.split(), "allowed": [*needed.split(), *allowed.split()]}


@dataclass(frozen=True)
class PromptSet:
    """Texts of an episode. Placeholders are written as for `str.format`: `{question}`.

    Raises:
        ConfigError: The name is not lower case, the version is below 1, a template lacks a placeholder that it needs,
            holds one that does not exist, or has one inside a tag.
    """

    name: str
    version: int
    """Counts up with every change of a text."""
    system: str = _template()
    """System message of a policy that is offered tools."""
    system_without_tools: str = _template()
    """System message of a policy that must answer from its first observation."""
    opening: str = _template("question options duration budget", "seconds")
    """First observation. `{options}` is one lettered line an option, `{duration}` is `mm:ss`, `{seconds}` the same in
    whole seconds."""
    opening_frames: str = _template(allowed="times")
    """Line before the question where frames are shown beside it; empty for none."""
    result: str = _template("result budget", "question options")
    """Every later observation."""
    budget_frames: str = _template("calls frames")
    """What is left, where looking returns frames."""
    budget_captions: str = _template("calls")
    """What is left, where looking returns captions."""
    budget_spent: str = _template()
    """In place of both once no call is left."""
    error: str = _template("message")
    """A failed call."""
    malformed: str = _template(allowed="reason problem calls example")
    """A reply that could not be parsed. `{reason}` is problem and remedy, `{problem}` the problem alone, `{calls}` one
    line a tool, `{example}` a call of the first tool that can be copied as it is."""
    malformed_without_tools: str = _template(allowed="reason problem")
    """The same where no tool is offered."""
    clips: str = _template("lines")
    """Retrieved clips, the best first, one line each."""
    no_clips: str = _template()
    subtitles: str = _template("lines")
    no_subtitles: str = _template()
    captions: str = _template("lines")
    no_captions: str = _template()
    frames: str = _template("times")
    """Names the times of frames that are shown."""
    crop: str = _template("time")
    """Names the time of a crop that is shown."""
    screen_text: str = field(default="Text on the screen:\n{lines}", metadata=_rules("lines"))
    """Text on the screen, one line an interval."""
    more_screen_text: str = field(
        default="Text on the screen:\n{lines}\n({more} more lines; ask for a shorter interval.)",
        metadata=_rules("lines", "more"),
    )
    """The same where only the first lines are shown."""
    no_screen_text: str = field(default="No text on the screen was found.", metadata=_rules())
    budget_image_tokens: str = field(
        default=_BUDGET_IMAGE_TOKENS,
        metadata=_rules("image_tokens", "frame_tokens"),
    )
    """Follows `budget_frames` or `budget_captions` where image tokens have a limit."""
    answers: str = "tag"
    """How a policy that is offered tools gives its answer: `"tag"` (`<answer>B</answer>`) or `"tool"`, by calling the
    tool `answer` (an extension). The texts above say the same."""
    calls: str = "template"
    """Where a policy learns how to call: `"template"`: the chat template lists the tools, and results are messages of
    the role `tool`; `"text"`: the system message alone says it, and results are messages of the user."""
    times: str = "clock"
    """How the times of frames are written: `"clock"` (`05:20`) or `"seconds"` (`320`)."""
    hints: str = "tool"
    """Role of what a server is sent behind a reply without a call, where calls are text: `"user"`, since small models
    copied the marks around a result; `"tool"` for models that were trained on it so."""
    tool_schemas: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {}, hash=False)
    """JSON schema that a policy is shown of a tool, by the tool's name, where it is not the tool's own: checkpoints of
    other agents know its name and arguments by theirs (`vt_env.actions.dialects`)."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"prompts: name={self.name!r}: need lower-case letters, digits, '_', '-' or '.'")
        if self.version < 1:
            raise ConfigError(f"prompts {self.name}: version={self.version!r}: need a whole number of 1 or more")
        if self.answers not in ("tag", "tool"):
            raise ConfigError(f"prompts {self.name}: answers={self.answers!r}: allowed are 'tag' and 'tool'")
        for name, allowed in (
            ("calls", ("template", "text")),
            ("times", ("clock", "seconds")),
            ("hints", ("user", "tool")),
        ):
            if getattr(self, name) not in allowed:
                got = f"{name}={getattr(self, name)!r}"
                raise ConfigError(f"prompts {self.name}: {got}: allowed are {' and '.join(map(repr, allowed))}")
        for name, schema in self.tool_schemas.items():
            _check_schema(f"prompts {self.name}: tool_schemas[{name!r}]", schema)
        for it in fields(self):
            if "allowed" in it.metadata:
                _check_template(self.name, it.name, getattr(self, it.name), it.metadata)

    @property
    def id(self) -> str:
        """Name and version, as records and cache keys hold them: `tiny@1`."""
        return f"{self.name}@{self.version}"

    @property
    def key(self) -> str:
        """Fingerprint of all texts: equal keys, equal wording."""
        values = asdict(self)
        for name, before in _LATER.items():
            # Keys of before there was a choice stay what they were.
            if values[name] == before:
                del values[name]
        return fingerprint(values)

    @property
    def result_role(self) -> str:
        """Role of the messages that hold results of calls."""
        return "tool" if self.calls == "template" else "user"

    def shown_schemas(self, schemas: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the JSON schemas that a chat template lists, given the tools' own; none where calls are text."""
        shown = [dict(self.tool_schemas.get(it["function"]["name"], it)) for it in schemas]
        return shown if self.calls == "template" else []

    def system_text(self, *, has_tools: bool = True) -> str:
        """Return the system message that every conversation begins with."""
        return (self.system if has_tools else self.system_without_tools).format()

    def opening_text(
        self, item: Item, duration_s: float, remaining: Remaining, perception: str, times_s: Sequence[float] = ()
    ) -> str:
        """Render the first observation.

        Args:
            item: Question and options.
            duration_s: Length of the video in seconds.
            remaining: Budget, after the frames shown beside the question.
            perception: `"frames"` or `"captions"`.
            times_s: Times of the frames shown beside the question, in seconds.
        """
        text = self.opening.format(
            **_asked(item),
            duration=format_time(duration_s),
            seconds=int(duration_s),
            budget=self.budget_text(remaining, perception),
        )
        if not len(times_s) or not self.opening_frames:
            return text
        return f"{self.opening_frames.format(times=self._marks(times_s))}\n{text}"

    def result_text(self, result: str, item: Item, remaining: Remaining, perception: str) -> str:
        """Render what an action led to; `result` is one of the texts below."""
        return self.result.format(result=result, budget=self.budget_text(remaining, perception), **_asked(item))

    def budget_text(self, remaining: Remaining, perception: str) -> str:
        """Say what is left of the budget; frames are named only where the perception shows frames."""
        if remaining.calls == 0:
            return self.budget_spent.format()
        if perception == "captions":
            text = self.budget_captions.format(calls=remaining.calls)
        else:
            text = self.budget_frames.format(calls=remaining.calls, frames=remaining.frames)
        if remaining.image_tokens is None:
            return text
        left, each = remaining.image_tokens, remaining.frame_tokens
        return f"{text} {self.budget_image_tokens.format(image_tokens=left, frame_tokens=each)}"

    def without_budget(self, text: str) -> str:
        """Remove what `budget_text` wrote into an observation, so that results under two budgets can be compared."""
        # The longest first: one may begin as another does.
        told = [self.budget_frames, self.budget_captions]
        told += [f"{it} {self.budget_image_tokens}" for it in told]
        templates = sorted((*told, self.budget_spent), key=len, reverse=True)
        found = [re.sub(r"\\{\w+\\}", r"\\d+", re.escape(it)) for it in templates]
        written = list(re.finditer("|".join(found), text))
        return text[: written[-1].start()].rstrip("\n") + text[written[-1].end() :] if written else text

    def error_text(self, message: str) -> str:
        """Render a failed call; the message may quote what a model wrote."""
        return self.error.format(message=as_plain_text(message))

    def malformed_text(self, reason: str, call_lines: Iterable[str], example: str = "") -> str:
        """Render a reply that could not be parsed.

        Args:
            reason: As `Malformed.reason`: the problem, and after `; ` the remedy.
            call_lines: One line a tool on offer, `name(arg, arg)`.
            example: A call that can be copied as it is.
        """
        calls = "\n".join(call_lines)
        template = self.malformed if calls else self.malformed_without_tools
        problem = reason.partition("; ")[0]
        return template.format(reason=reason, problem=problem, calls=calls, example=example)

    def clips_text(self, lines: Sequence[TimedLine]) -> str:
        """Render `clip_lines`, the best first: rank, interval, score."""
        return self.clips.format(lines=_joined(lines)) if lines else self.no_clips.format()

    def subtitles_text(self, lines: Sequence[TimedLine]) -> str:
        """Render `spoken_lines` of subtitles."""
        return self.subtitles.format(lines=_joined(lines)) if lines else self.no_subtitles.format()

    def captions_text(self, lines: Sequence[TimedLine]) -> str:
        """Render `spoken_lines` of captions."""
        return self.captions.format(lines=_joined(lines)) if lines else self.no_captions.format()

    def screen_lines_text(self, lines: Sequence[TimedLine], count: int) -> str:
        """Render `spoken_lines` of text on the screen, the first ones of `count`."""
        if not lines:
            return self.no_screen_text
        if count == len(lines):
            return self.screen_text.format(lines=_joined(lines))
        return self.more_screen_text.format(lines=_joined(lines), more=count - len(lines))

    def frames_text(self, frames: FrameBatch) -> str:
        """Name the times of frames that are shown."""
        return self.frames.format(times=self._marks(frames.pts_s))

    def crop_text(self, frame: FrameBatch) -> str:
        """Name the time of a crop that is shown."""
        return self.crop.format(time=self._marks(frame.pts_s[:1]))

    def _marks(self, times_s: Iterable[float]) -> str:
        marks = map(frame_time, times_s) if self.times == "clock" else (f"{int(it + 0.5)}" for it in times_s)
        return " ".join(marks)


def option_letter(option_idx: int) -> str:
    """Return the letter of an option, `A` for the first. Options are limited to 26."""
    return chr(ord("A") + option_idx)


def option_line(option_idx: int, option: str) -> str:
    """Return the line that shows an option."""
    return f"{option_letter(option_idx)}. {option}"


def returned_text(text: str) -> str:
    """Render what a tool returned, whoever wrote the tool."""
    return as_plain_text(text)


def frame_time(time_s: float) -> str:
    """Write a frame's time to the nearest second.

    Most videos have a little less than 30 or 60 frames a second, so the frame on screen at 00:05 begins at 4.97 s; were
    it called 00:04, a model that asks for 00:04 would get another one.
    """
    return format_time(time_s + 0.5)


def _asked(item: Item) -> dict[str, str]:
    lines = [option_line(idx, option) for idx, option in enumerate(item.options)]
    return {"question": as_plain_text(item.question), "options": as_plain_text("\n".join(lines))}


def _joined(lines: Iterable[TimedLine]) -> str:
    return "\n".join(map(full_line, lines))


def _check_schema(where: str, schema: object) -> None:
    values = cast("Mapping[str, Any]", schema) if isinstance(schema, Mapping) else {}
    function: Any = values.get("function")
    parameters: Any = function.get("parameters") if isinstance(function, Mapping) else None
    if not isinstance(parameters, Mapping) or "properties" not in parameters or "name" not in function:
        raise ConfigError(f"{where}: need a JSON schema with function.name and function.parameters.properties")


def _check_template(owner: str, name: str, template: object, rules: Mapping[str, Sequence[str]]) -> None:
    where = f"prompts {owner}: {name}"
    if not isinstance(template, str):
        raise ConfigError(f"{where} is {type(template).__name__}; need a text")
    try:
        template.encode()
    except UnicodeEncodeError as reason:
        half = template[reason.start]
        raise ConfigError(f"{where}: not valid Unicode (half a character, {half!r}); write the whole one") from None
    needed, allowed = rules["needed"], rules["allowed"]
    braces = f"allowed are {', '.join(f'{{{it}}}' for it in allowed) or 'none'}; write {{{{ for a brace itself"
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as reason:
        raise ConfigError(f"{where}: {reason}; {braces}") from None
    found = {
        f"{it}{f'!{how}' if how else ''}{f':{form}' if form else ''}" for _, it, form, how in parts if it is not None
    }
    if unknown := sorted(found - set(allowed)):
        raise ConfigError(f"{where} holds {{{unknown[0]}}}; {braces}")
    if missing := [it for it in needed if it not in found]:
        raise ConfigError(f"{where} lacks {{{missing[0]}}}; add it where its value is to stand")
    if touched := _TOUCHED.search(template):
        raise ConfigError(f"{where}: {touched[0]!r} puts a placeholder inside a tag; set a space between the two")
