"""Result of reading a reply: its actions and the characters that they were read from."""

from dataclasses import dataclass

from vt_env.types import Action, Answer, Malformed, ToolCall

CharSpan = tuple[int, int]
"""Characters of a text, half-open: `text[start:end]`."""


@dataclass(frozen=True, slots=True)
class ParsedAction:
    """One action and where it stands in the reply."""

    action: Action
    span: CharSpan | None
    """Characters of the answer's text or of the call, tags left out; `None` where the action is malformed. An answer
    given as a JSON string is covered as it is escaped there."""

    @property
    def is_canonical(self) -> bool:
        """Whether the reply uses the form that `vt_env.render_action` writes, with the names of the tools on offer."""
        return not isinstance(self.action, Malformed) and not self.action.form


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """A reply and its actions."""

    text: str
    """The reply, unchanged."""
    actions: tuple[ParsedAction, ...]
    """In the order of the text: one or more calls, or one answer, or one malformed action."""

    @property
    def action(self) -> Action:
        """The first action."""
        return self.actions[0].action

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls; empty for an answer and for a malformed reply."""
        return tuple(it.action for it in self.actions if isinstance(it.action, ToolCall))

    @property
    def thought(self) -> str:
        """Text before the first action; empty where it is malformed."""
        return "" if isinstance(self.action, Malformed) else self.action.thought

    @property
    def answer_span(self) -> CharSpan | None:
        """Characters of the answer's text; `None` where the reply is no answer."""
        return self.actions[0].span if isinstance(self.action, Answer) else None
