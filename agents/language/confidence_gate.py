"""VideoThinker's confidence gate (arXiv 2601.15724, section on inference), around any policy.

The first stage answers directly: from uniformly sampled frames for videos under ten minutes, from retrieved clips for
longer videos. An answer with at least the threshold confidence ends the episode; otherwise the policy continues.

The paper leaves three choices open. Ours: the number of clips is the frame budget of the first stage divided by the
frames of a clip; the policy sees the frames of the first stage unless `carry_over` is off; the tokens of an answer are
those of `agents.language.confidence`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agents.base import BatchPolicy, Conversation, Reply, ask, forget
from agents.language.one_turn import RetrievedClips, seen_so_far, since
from vt_env.config import BudgetConfig, MediaConfig, at_least
from vt_env.episode.reply_record import GateRecord

_MEDIA = MediaConfig()
LONG_FROM_S = 600.0
"""Shortest video in seconds that takes the retrieval route (ten minutes in the paper)."""


@dataclass(frozen=True)
class GateConfig:
    """Confidence threshold of a direct answer, and the fallback policy."""

    agent: str = "full"
    """Fallback policy: a built-in name, `module:Class` or `file.py:Class`."""
    tau: float = 0.7
    """Minimum confidence of an accepted answer (0.7 in the paper). Above 1 every direct answer is rejected, so the
    records hold both answers to every question, as `vt-env sweep` requires."""
    carry_over: bool = True
    """Show the frames of the first stage to the fallback policy. Off, the fallback starts from the question and the
    remaining budget, as in training without a gate."""

    def __post_init__(self) -> None:
        at_least(self, "gate.tau", 0)


class ConfidenceGate:
    """Accept a confident direct answer; otherwise hand the episode to another policy.

    Args:
        policy: Fallback policy.
        answerer: Policy of the direct answer. A reply without an answer or a confidence is never accepted.
        tau: Minimum confidence of an accepted answer.
        looks: Clips inspected in a long video.
        carry_over: Whether the fallback policy sees the frames of the first stage.
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
        """Episodes with a rejected direct answer, and the number of calls made before it."""

    def act(self, conversations: Sequence[Conversation]) -> list[Reply]:
        """Inspect a clip, answer directly, or ask the fallback policy."""
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
        """Drop the state of an episode."""
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


def gate_budget(budget: BudgetConfig, duration_s: float, media: MediaConfig = _MEDIA) -> BudgetConfig:
    """Reserve half of an episode's frames, and of its image tokens, for the first stage (32 of 64 in the paper).

    In a short video the reserved frames accompany the question. In a long video they are viewed by extra calls, added
    to `max_calls`; calls left over when retrieval finds fewer clips go to the fallback policy.
    """
    if duration_s < LONG_FROM_S:
        return replace(budget, global_frames=_first_stage(budget, media))
    return replace(budget, global_frames=0, max_calls=budget.max_calls + gate_looks(budget, media).calls)


def gate_looks(budget: BudgetConfig, media: MediaConfig = _MEDIA) -> RetrievedClips:
    """Build the clip selection for long videos, sized to the frames of the first stage."""
    return RetrievedClips(max(1, min(budget.top_k_max, _first_stage(budget, media) // budget.frames_per_zoom)))


def looks_budget(budget: BudgetConfig, media: MediaConfig = _MEDIA) -> BudgetConfig:
    """Reduce a budget to the calls of the first stage, for policies that answer right after retrieval."""
    return replace(budget, global_frames=0, max_calls=gate_looks(budget, media).calls)


def _first_stage(budget: BudgetConfig, media: MediaConfig) -> int:
    if budget.global_frames:
        return budget.global_frames
    frames = min(budget.max_frames // 2, budget.max_frames - budget.frames_per_zoom)
    if budget.max_image_tokens is None:
        return frames
    return min(frames, budget.max_image_tokens // 2 // media.largest_frame_tokens)


def _is_long(conversation: Conversation) -> bool:
    return conversation.task.duration_s >= LONG_FROM_S
