"""The confidence gate: what is looked at first, when a direct answer is given, and who plays on."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.base import Conversation, Reply
from agents.baselines.constant import ConstantAgent
from agents.language.confidence import answer_logprob
from agents.language.confidence_gate import ConfidenceGate, GateConfig, gate_budget, gate_looks
from agents.language.must_look_first import AlwaysTools
from agents.language.one_turn import OneTurnPolicy, RetrievedClips
from agents.rollout import AgentBatch, run_many
from vt_env.actions.parse import ActionReader, render_action
from vt_env.config import BUDGETS, EnvConfig, default_budget, paper_budget
from vt_env.episode.episode import Episode
from vt_env.episode.reply_record import ReplyRecord
from vt_env.episode.trajectory import Trajectory
from vt_env.errors import ConfigError
from vt_env.testing import FakeVideo, fake_task
from vt_env.types import ToolCall

SHORT, LONG = FakeVideo(duration_s=599.0), FakeVideo(duration_s=600.0)
CLIPS = 3
"""Clips of the fake video that match the question; fewer than are asked for."""
LOOK = render_action(ToolCall("frame_zoom", {"start_s": 10.0, "end_s": 20.0}))


class Sure:
    """Answers the same at once, with a confidence, and remembers what it was shown."""

    def __init__(self, confidence: float | None, text: str = "<answer>B</answer>") -> None:
        logprob = None if confidence is None else math.log(confidence)
        self.reply = Reply(text, ReplyRecord(prompt_tokens=50, completion_tokens=5, answer_logprob=logprob))
        self.shown: list[Conversation] = []

    def act(self, conversations: Sequence[Conversation]) -> list[Reply]:
        self.shown += conversations
        return [self.reply] * len(conversations)


class Writes:
    """A policy that writes given texts, one a turn of its own."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.shown: list[Conversation] = []

    def act(self, conversations: Sequence[Conversation]) -> list[str]:
        (conversation,) = conversations
        self.shown.append(replace(conversation, replies=list(conversation.replies)))
        return [self.texts[len(self.shown) - 1]]


def play(policy: object, video: FakeVideo, budget=None) -> Trajectory:
    task = fake_task()
    config = EnvConfig(budget=gate_budget(budget or default_budget(), video.duration_s))
    return run_many(policy, [Episode(task.item, task.gold, video, config)])[0]


def gate(answerer: Sure, policy: object, tau: float = 0.7, budget=None) -> ConfidenceGate:
    return ConfidenceGate(policy, answerer, tau, gate_looks(budget or default_budget()))


@pytest.mark.parametrize(("confidence", "accepted"), [(0.70001, True), (0.69999, False), (None, False)])
def test_a_direct_answer_is_given_from_tau_on(confidence, accepted):
    played = play(gate(Sure(confidence), Writes("<answer>A</answer>")), SHORT)
    assert (played.answer, played.gate.accepted) == (("B", True) if accepted else ("A", False))
    assert played.gate.confidence == pytest.approx(confidence) if confidence else played.gate.confidence is None
    assert (played.gate.route, played.gate.tau, played.gate.text) == ("uniform", 0.7, "<answer>B</answer>")


@pytest.mark.parametrize("text", ["B", "I think it is B.", "<answer>B"])
def test_what_is_no_answer_is_never_accepted_however_sure(text):
    answerer = Sure(1.0, text)
    # No backend gives such a text a confidence: there is no answer whose tokens could be averaged.
    answerer.reply = replace(answerer.reply, record=replace(answerer.reply.record, answer_logprob=None))
    assert play(gate(answerer, Writes("<answer>A</answer>"), tau=0.0), SHORT).answer == "A"


def test_a_short_video_s_direct_answer_sees_half_of_the_frames_spread_over_it_and_no_call():
    answerer = Sure(0.9)
    played = play(gate(answerer, Writes()), SHORT, paper_budget())
    (shown,) = answerer.shown
    (opening,) = shown.observations
    assert len(opening.frames) == 32 and opening.text.endswith(shown.prompts.budget_spent)
    assert len(played.prompt_frames) == 32 and len(played.turns) == 1


def test_a_long_video_s_direct_answer_sees_the_frames_of_the_best_clips_in_the_order_of_time():
    answerer = Sure(0.9)
    budget = paper_budget()
    video = replace(LONG, captions=FakeVideo().captions)
    played = play(gate(answerer, Writes(), budget=budget), video, budget)
    calls = [turn.call for turn in played.turns if turn.call]
    assert [call.name for call in calls] == ["clip_retrieval", *["frame_zoom"] * CLIPS]
    assert calls[0].arguments == {"query": fake_task().item.question, "top_k": 4}
    (opening,) = answerer.shown[0].observations
    assert len(opening.frames) == 8 * CLIPS and (np.diff(opening.frames.pts_s) > 0).all()
    assert (played.gate.route, played.prompt_frames, played.answer) == ("retrieval", (), "B")
    assert all(turn.reply is None for turn in played.turns[:-1]), "no model wrote the calls"


def test_who_plays_on_sees_what_was_seen_and_has_its_own_calls_left():
    policy = Writes(LOOK, "<answer>A</answer>")
    played = play(gate(Sure(0.1), policy), replace(LONG, captions=FakeVideo().captions))
    budget = default_budget()
    first = policy.shown[0]
    assert len(first.replies) == 1 + CLIPS
    assert first.observations[-1].remaining.calls >= budget.max_calls
    assert len(played.frames) <= budget.max_frames and played.answer == "A"
    assert [turn.gate is not None for turn in played.turns] == [False] * (1 + CLIPS) + [True, False]


@pytest.mark.parametrize("video", [SHORT, LONG])
def test_who_begins_anew_sees_the_question_and_what_is_left_of_the_budget(video):
    policy = Writes(LOOK, "<answer>A</answer>")
    anew = ConfidenceGate(policy, Sure(0.1), 0.7, gate_looks(default_budget()), carry_over=False)
    played = play(anew, replace(video, captions=FakeVideo().captions))
    first, second = policy.shown
    (opening,) = first.observations
    assert opening.frames is None and first.replies == []
    assert opening.text.endswith(first.prompts.budget_text(opening.remaining, "frames"))
    unused = gate_looks(default_budget()).calls - 1 - CLIPS if video is LONG else 0
    assert opening.remaining.calls == default_budget().max_calls + unused
    assert second.replies == [LOOK] and second.observations[1].remaining.calls == opening.remaining.calls - 1
    assert second.observations[1].frames is not None and played.answer == "A"


def test_the_gate_asks_once_an_episode():
    answerer = Sure(0.1)
    play(gate(answerer, Writes(LOOK, LOOK, "<answer>A</answer>")), SHORT)
    assert len(answerer.shown) == 1


def test_any_agent_can_play_on():
    played = play(gate(Sure(0.1), AgentBatch([ConstantAgent()])), SHORT)
    assert (played.answer, played.gate.accepted, played.tokens.read) == ("A", False, 50)


@pytest.mark.parametrize("name", BUDGETS)
@pytest.mark.parametrize("video", [SHORT, LONG])
def test_no_stage_exceeds_its_frames(name, video):
    budget = BUDGETS[name]()
    first_stage = play(gate(Sure(1.0), Writes(), budget=budget), replace(video, captions=FakeVideo().captions), budget)
    assert 0 < len(first_stage.frames) <= budget.max_frames // 2


def test_a_threshold_below_0_is_refused():
    with pytest.raises(ConfigError, match=r"gate\.tau=-0\.1: need 0 or more"):
        GateConfig(tau=-0.1)


def test_retrieval_alone_answers_from_the_best_clips_and_repeats_itself_where_it_gave_no_answer():
    answerer = Sure(0.9, "hm")
    config = EnvConfig(budget=replace(default_budget(), max_calls=3))
    task = fake_task()
    policy = OneTurnPolicy(answerer, RetrievedClips(top_k=2))
    (played,) = run_many(policy, [Episode(task.item, task.gold, FakeVideo(), config)])
    assert [turn.text for turn in played.turns[3:]] == ["hm"]
    assert [str(turn.viewed[0]) for turn in played.turns if turn.viewed] == ["05:20-05:30", "05:30-05:40"]
    assert len(answerer.shown) == 1 and answerer.shown[0].observations[0].frames.pts_s.min() >= 320


def test_an_early_answer_becomes_a_search_and_a_look_and_a_later_one_is_given():
    policy = Writes(*["<answer>A</answer>"] * 3)
    played = play(AlwaysTools(policy), SHORT)
    assert [turn.call.name if turn.call else "answer" for turn in played.turns] == [
        "clip_retrieval", "frame_zoom", "answer",
    ]  # fmt: skip
    assert str(played.turns[1].viewed[0]) == "05:20-05:30"


def test_who_looks_by_itself_is_left_alone():
    played = play(AlwaysTools(Writes(LOOK, "<answer>A</answer>")), SHORT)
    assert [turn.text for turn in played.turns] == [LOOK, "<answer>A</answer>"]


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=4), st.floats(-9, 0)), max_size=4),
    st.lists(st.tuples(st.text("xyz ", min_size=1, max_size=4), st.floats(-9, 0)), min_size=1, max_size=4),
    st.lists(st.tuples(st.text(min_size=1, max_size=4), st.floats(-9, 0)), max_size=4),
)
def test_confidence_averages_the_tokens_that_hold_the_answer_and_no_others(before, answer, after):
    pieces = [*before, *answer, *after]
    words = [word for word, _ in pieces]
    start = sum(len(word) for word, _ in before)
    span = (start, start + sum(len(word) for word, _ in answer))
    got = answer_logprob([logprob for _, logprob in pieces], lambda count: len("".join(words[:count])), span)
    assert got == pytest.approx(np.mean([logprob for _, logprob in answer]))


def test_a_token_that_holds_the_answer_and_a_bracket_counts():
    pieces, logprobs = ["<answer", ">4", "7<", "/answer>"], [-1.0, -2.0, -4.0, -8.0]
    span = ActionReader().read("".join(pieces)).answer_span
    assert answer_logprob(logprobs, lambda count: len("".join(pieces[:count])), span) == -3.0
