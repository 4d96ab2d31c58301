"""Oracle policy with the answer key; a task set is solvable if it scores 1.0."""

from collections.abc import Iterator

from vt_env.actions.parse import render_action
from vt_env.gold import Gold
from vt_env.types import Action, Answer, Item, Observation, ToolCall


class OracleAgent:
    """Inspect the evidence within the budget, then answer the right option.

    The only agent that receives `Gold`; it validates tasks and scoring.
    """

    def __init__(self, gold: Gold, item: Item, zoom_tool: str = "frame_zoom") -> None:
        """Create an agent for one task.

        Args:
            gold: Answer key of the task.
            item: Task.
            zoom_tool: Name of the perception's interval zoom.
        """
        self._gold = gold
        self._item = item
        self._tool = "subtitle_zoom" if item.family == "subtitle" else zoom_tool

    def reset(self, task: Item, observation: Observation) -> None:
        """Start with the first piece of evidence."""
        self._looks: Iterator[Action] = iter(
            ToolCall(self._tool, {"start_s": span.start_s, "end_s": span.end_s}) for span in self._gold.evidence
        )

    def act(self, observation: Observation) -> str:
        """Inspect the next piece of evidence, or answer."""
        answer = Answer(self._item.options[self._gold.answer_idx])
        is_spent = not observation.remaining.calls or not observation.remaining.can_look
        return render_action(answer if is_spent else next(self._looks, answer))
