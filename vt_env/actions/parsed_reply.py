"""Result of reading a reply: the action and the characters that it was read from."""

from dataclasses import dataclass

from vt_env.types import Action, Answer, Malformed

CharSpan = tuple[int, int]
"""Characters of a text, half-open: `text[start:end]`."""


@dataclass(frozen=True, slots=True)
class ParsedAction:
    """One action and where it stands in the reply."""

    action: Action
    span: CharSpan | None
    """Characters of the answer's text or of the call, tags left out; `None` where the action is malformed. An answer
    given as a JSON string is covered as it is escaped there."""
    is_canonical: bool = True
    """Whether the reply uses the form that `vt_env.render_action` writes, with the names of the tools on offer."""


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """A reply and its actions."""

    text: str
    """The reply, unchanged."""
    actions: tuple[ParsedAction, ...]
    """In the order of the text. Exactly one: a turn takes one action, and a reply with several is malformed."""

    @property
    def action(self) -> Action:
        """The action that the turn takes."""
        return self.actions[0].action

    @property
    def thought(self) -> str:
        """Text before the first action; empty where it is malformed."""
        return "" if isinstance(self.action, Malformed) else self.action.thought

    @property
    def answer_span(self) -> CharSpan | None:
        """Characters of the answer's text; `None` where the reply is no answer."""
        return self.actions[0].span if isinstance(self.action, Answer) else None
