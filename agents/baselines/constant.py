"""Constant policy: the baseline without any observation."""

from vt_env.actions.parse import render_action
from vt_env.types import Answer, Item, Observation


class ConstantAgent:
    """Answer the first option without a tool call."""

    def reset(self, task: Item, observation: Observation) -> None:
        """Do nothing; the agent has no state."""

    def act(self, observation: Observation) -> str:
        """Answer `A`."""
        return render_action(Answer("A"))
