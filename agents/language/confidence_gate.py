"""VideoThinker's confidence gate (arXiv 2601.15724, section on inference), around any policy.

First a direct answer: from frames spread over the video where it is shorter than ten minutes, from the clips that
retrieval finds where it is longer. If the answer is sure enough, it is given; otherwise the policy takes over. Not
published, and our choice: how many clips are looked at (as many as the frames of the first stage reach for), that the
policy sees the frames of the first stage unless it is told to begin anew, and which tokens make up the answer
(`agents.language.confidence`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agents.base import BatchPolicy, Conversation, Reply, ask, forget
from agents.language.one_turn import RetrievedClips, seen_so_far, since
from vt_env.config import BudgetConfig, at_least
from vt_env.episode.reply_record import GateRecord

LONG_FROM_S = 600.0
"""Videos as long as this or longer are looked at by retrieval (the paper's ten minutes)."""


@dataclass(frozen=True)
class GateConfig:
    """When a direct answer is good enough."""

    agent: str = "full"
    """Who plays on where it is not: a policy, or `module:Class` or `file.py:Class` of your own."""
    tau: float = 0.7
    """Least confidence of an accepted answer (0.7 in the paper). Above 1 the tools always take over, and the records
    then hold both answers to every question: what `vt-env sweep` reads."""
    carry_over: bool = True
    """Show the policy what the first stage looked at; otherwise it begins with the question and what is left of the
    budget, as policies do that were trained without a gate."""

    def __post_init__(self) -> None:
        at_least(self, "gate.tau", 0)


class ConfidenceGate:
    """Answers directly where it is sure, and lets another policy play where it is not.

    Args:
        policy: Who plays on.
        answerer: Who answers directly. Its replies need a confidence; one without an answer is never accepted.
        tau: Least confidence of an accepted answer.
        looks: What of a long video is looked at.
        carry_over: Whether the policy sees what was looked at.
    """

    def __init__(
        self,
        policy: BatchPolicy,
        answerer: BatchPolicy,
        tau: float,
        looks: RetrievedClips,
        *,
        carry_over: bool = True,
    ) -> None:
        self._policy = policy
        self._answerer = answerer
        self._tau = tau
        self._looks = looks
        self._carry_over = carry_over
        self._passed: dict[int, int] = {}
        """Episodes whose direct answer was turned down, and the calls that had been made for it."""

    def act(self, conversations: Sequence[Conversation]) -> list[Reply]:
        """Look, answer directly, or let the policy act."""
        replies = {it.episode_idx: Reply(call) for it in conversations if (call := self._next_look(it)) is not None}
        asked = [it for it in conversations if it.episode_idx not in self._passed and it.episode_idx not in replies]
        gates = dict(zip((it.episode_idx for it in asked), self._decide(asked), strict=True))
        for idx, (answer, gate) in gates.items():
            if gate.accepted:
                replies[idx] = replace(answer, gate=gate)
        others = [it for it in conversations if it.episode_idx not in replies]
        played = others if self._carry_over else [since(it, self._passed[it.episode_idx]) for it in others]
        for conversation, reply in zip(others, ask(self._policy, played), strict=True):
            idx = conversation.episode_idx
            replies[idx] = replace(reply, gate=gates[idx][1]) if idx in gates else reply
        return [replies[it.episode_idx] for it in conversations]

    def forget(self, episode_idx: int) -> None:
        """Drop what is kept about an episode."""
        self._passed.pop(episode_idx, None)
        forget(self._policy, episode_idx)

    def _next_look(self, conversation: Conversation) -> str | None:
        if conversation.episode_idx in self._passed or not _is_long(conversation):
            return None
        return self._looks.next_call(conversation)

    def _decide(self, conversations: Sequence[Conversation]) -> list[tuple[Reply, GateRecord]]:
        decided: list[tuple[Reply, GateRecord]] = []
        answers = ask(self._answerer, [seen_so_far(it) for it in conversations])
        for conversation, answer in zip(conversations, answers, strict=True):
            idx = conversation.episode_idx
            forget(self._answerer, idx)
            confidence = None if answer.record is None else answer.record.confidence
            accepted = confidence is not None and confidence >= self._tau
            route = "retrieval" if _is_long(conversation) else "uniform"
            decided.append((answer, GateRecord(route, answer.text, confidence, self._tau, accepted, answer.record)))
            if not accepted:
                self._passed[idx] = len(conversation.replies)
        return decided


def gate_budget(budget: BudgetConfig, duration_s: float) -> BudgetConfig:
    """Divide an episode's frames between the stages: half of them for the first (32 of 64 in the paper).

    Frames of a short video stand with its question; a long one's are looked at by calls, which come on top of those of
    the budget. Those that the gate does not use, since retrieval finds fewer clips, are left to the policy.
    """
    if duration_s < LONG_FROM_S:
        return replace(budget, global_frames=_first_stage(budget))
    return replace(budget, global_frames=0, max_calls=budget.max_calls + gate_looks(budget).calls)


def gate_looks(budget: BudgetConfig) -> RetrievedClips:
    """Make the looks at a long video: as many clips as the first stage has frames for."""
    return RetrievedClips(max(1, min(budget.top_k_max, _first_stage(budget) // budget.frames_per_zoom)))


def looks_budget(budget: BudgetConfig) -> BudgetConfig:
    """Keep of a budget what the looks at a long video spend, for policies that answer at once after them."""
    return replace(budget, global_frames=0, max_calls=gate_looks(budget).calls)


def _first_stage(budget: BudgetConfig) -> int:
    return budget.global_frames or min(budget.max_frames // 2, budget.max_frames - budget.frames_per_zoom)


def _is_long(conversation: Conversation) -> bool:
    return conversation.task.duration_s >= LONG_FROM_S
