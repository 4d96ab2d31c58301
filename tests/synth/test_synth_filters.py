"""Filters: every reason is found, counted and kept with its trajectory."""

import json
from dataclasses import replace

import numpy as np
import pytest

from synth.filters import ALL_WRONG, NEAR_DUPLICATE, filter_trajectories
from synth.rejection_reasons import REASONS
from vt_env.budget.remaining import Remaining
from vt_env.episode.trajectory import CallRecord, Trajectory, TurnRecord
from vt_env.types import NOT_PLAYED, FrameRef, Interval, StopReason

LOOK = TurnRecord("look", CallRecord("caption_zoom", {"start_s": 1.0}), "red square 47", viewed=(Interval(1, 2),))
OTHER_LOOK = replace(LOOK, call=CallRecord("caption_zoom", {"start_s": 50.0}), viewed=(Interval(50, 51),))
RETRIEVAL = TurnRecord("search", CallRecord("clip_retrieval", {"query": "red"}), "No match.")
FAILED = TurnRecord("oops", None, "Malformed: ...", error="malformed")
LATE = TurnRecord("look", CallRecord("caption_zoom", {"start_s": 1.0}), "The episode is over.", error="over_budget")


SEARCH = TurnRecord("search", CallRecord("clip_retrieval", {"query": "red"}), "#1 00:00-00:10 0.50")
ANSWER = TurnRecord("<answer>47</answer>", None, "The episode is over.")
EVIDENCE = (Interval(1, 2),)


def attempt(task_id: str = "a", *turns: TurnRecord, correct: bool | None = True, sample: int = 0) -> Trajectory:
    return Trajectory(
        task_id=task_id,
        video_handle="v",
        question="?",
        options=("47", "12"),
        prompt_text="",
        perception="captions",
        turns=turns or (LOOK,),
        remaining=Remaining(1, 1),
        stop=StopReason.ANSWERED,
        answer="47" if correct else "12",
        correct=correct,
        sample=sample,
    )


def run(attempts: list[Trajectory], mode: str = "default", seed: int = 0, evidence: tuple[Interval, ...] = EVIDENCE):
    return filter_trajectories(attempts, mode, np.random.default_rng(seed), {"a": evidence})


def thinking(thought: str, turn: TurnRecord) -> TurnRecord:
    """Write a thought before a turn's call or answer."""
    if turn is ANSWER:
        return replace(turn, text=f"{thought}\n{turn.text}")
    call = json.dumps({"name": turn.call.name, "arguments": turn.call.arguments})
    return replace(turn, text=f"{thought}\n<tool_call>\n{call}\n</tool_call>")


REJECTED = {
    "all_wrong_question": attempt(correct=False),
    "malformed": attempt("a", FAILED, LOOK),
    "never_looked": attempt("a", RETRIEVAL),
    "over_budget": replace(attempt("a", LOOK, LATE, correct=False), stop=StopReason.OUT_OF_CALLS, answer=None),
    "invalid": replace(attempt(correct=None), invalid="the file ends early", stop=None),
    "unscored": attempt(correct=None),
    "evidence_not_viewed": attempt("a", replace(LOOK, viewed=(Interval(7, 9),))),
    "answered_before_evidence": attempt("a", thinking("It must be 47.", SEARCH), LOOK, ANSWER),
    "redundant_calls": attempt("a", LOOK, SEARCH, LOOK),
    "caption_leak": attempt("a", LOOK, thinking("Beside the 31 is a sign.", OTHER_LOOK), ANSWER),
}


@pytest.mark.parametrize("reason", REJECTED)
def test_each_reason_is_found_alone(reason):
    filtered = run([REJECTED[reason]])
    assert filtered.kept == ()
    assert [(it.trajectory, it.reason) for it in filtered.rejected] == [(REJECTED[reason], reason)]
    assert filtered.rejected[0].detail


def test_of_attempts_with_the_same_actions_the_first_is_kept_whatever_their_thoughts():
    thoughtful = replace(attempt(sample=1), turns=(thinking("a thought", LOOK),))
    elsewhere = attempt("b")
    otherwise = attempt("a", OTHER_LOOK, LOOK, sample=2)
    filtered = run([attempt(), thoughtful, elsewhere, otherwise])
    assert filtered.kept == (attempt(), elsewhere, otherwise)
    assert filtered.reasons == {"near_duplicate": 1}


def test_a_rejected_attempt_makes_no_other_a_duplicate():
    wrong_then_right = [attempt(correct=False), replace(attempt(correct=False), sample=1)]
    assert run(wrong_then_right).reasons == {"all_wrong_question": 2}


def test_reasons_are_counted_and_nothing_is_lost():
    attempts = [*REJECTED.values(), attempt(), attempt("b", correct=False)]
    filtered = run(attempts)
    found = dict.fromkeys(REJECTED, 1) | {"wrong_answer": 1}
    assert filtered.reasons == found and set(found) | {"near_duplicate"} == {*REASONS, ALL_WRONG, NEAR_DUPLICATE}
    assert len(filtered.kept) + len(filtered.rejected) == len(attempts)


def test_questions_of_which_every_attempt_is_wrong_are_dropped_by_default_and_counted():
    filtered = run([attempt("a", correct=False), attempt("a", OTHER_LOOK, correct=False), attempt("b")])
    assert {it.task_id for it in filtered.kept} == {"b"}
    assert filtered.dropped_questions == 1


def test_the_paper_keeps_one_at_random_where_every_attempt_is_wrong():
    wrong = [attempt("a", correct=False, sample=sample) for sample in range(4)]
    chosen = [run(wrong, "paper", seed).kept for seed in range(40)]
    assert {it.sample for (it,) in chosen} == {0, 1, 2, 3}
    assert run(wrong, "paper").reasons == {"all_wrong_question": 3}


def test_the_paper_keeps_every_right_attempt_and_then_no_wrong_one():
    right = [attempt(sample=1), replace(attempt("a", FAILED, LOOK), sample=2), attempt(sample=3)]
    filtered = run([attempt(correct=False), *right], "paper")
    assert filtered.kept == tuple(right)


def test_the_paper_never_keeps_an_attempt_without_an_answer_or_without_a_score():
    silent = [REJECTED["over_budget"], REJECTED["invalid"], REJECTED["unscored"]]
    assert run(silent, "paper").kept == ()


def test_a_mode_that_does_not_exist_is_refused():
    with pytest.raises(KeyError):
        run([], "papper")


def test_attempts_that_differ_by_seconds_or_in_the_order_of_words_are_near_duplicates():
    later = attempt("a", replace(LOOK, call=CallRecord("caption_zoom", {"start_s": 2.0})), sample=1)
    words = [attempt("a", replace(SEARCH, call=CallRecord("clip_retrieval", {"query": it})), LOOK) for it in QUERIES]
    assert run([attempt(), later]).reasons == {"near_duplicate": 1}
    assert run(words).reasons == {"near_duplicate": 1}


QUERIES = ("red square", "Square  red", "red circle")


def test_what_has_no_known_evidence_is_not_judged_by_it():
    elsewhere = REJECTED["evidence_not_viewed"]
    assert run([elsewhere], evidence=()).kept == (elsewhere,)


@pytest.mark.parametrize(
    "turns",
    [
        (thinking("A. 47", SEARCH), LOOK, ANSWER),
        (thinking("The answer may be 12.", SEARCH), LOOK, ANSWER),
        (thinking("The answer must be a number. A man may show the answer.", SEARCH), LOOK, ANSWER),
        (LOOK, thinking("It must be 47.", OTHER_LOOK), ANSWER),
        (replace(SEARCH, observation_text="the code is 47"), thinking("It must be 47.", OTHER_LOOK), LOOK, ANSWER),
    ],
)
def test_an_option_may_be_taken_up_and_the_answer_stated_once_it_was_shown(turns: tuple[TurnRecord, ...]):
    assert run([attempt("a", *turns)]).rejected == ()


@pytest.mark.parametrize(
    "thought",
    [
        "I saw a red square, 47, at 00:01, which is 1 s in.",
        "The 3 scenes so far do not help; I look at 00:05 next.",
        'Nothing says "12" yet. Perhaps later.',
        "So far Option B fits the Question, but more Clips may help.",
    ],
)
def test_a_thought_may_name_what_was_shown_counts_and_times(thought: str):
    assert run([attempt("a", LOOK, thinking(thought, OTHER_LOOK), ANSWER)]).rejected == ()


@pytest.mark.parametrize("thought", ["There are 31 of them", 'It reads "EXIT ONLY" there', "I see a man from Oslo"])
def test_a_number_a_quotation_or_a_name_out_of_nowhere_is_a_leak(thought: str):
    (found,) = run([attempt("a", LOOK, thinking(thought, OTHER_LOOK), ANSWER)]).rejected
    assert found.reason == "caption_leak" and found.detail.startswith("turn 2 names ")


def test_a_number_that_was_read_from_a_frame_is_no_leak():
    seen = replace(LOOK, observation_text="Frame at 00:01.", frames=(FrameRef("v", 1.0, None, (112, 112)),))
    read = attempt("a", seen, thinking("red square 31 look", OTHER_LOOK), ANSWER)
    assert run([replace(read, perception="frames")]).rejected == ()


@pytest.mark.parametrize("claim", ["It must be 47.", "I know: the answer is A", "Answer: option A, surely"])
def test_an_answer_stated_before_anything_shows_it_is_found(claim: str):
    (found,) = run([attempt("a", thinking(claim, SEARCH), LOOK, ANSWER)]).rejected
    assert (found.reason, found.detail) == ("answered_before_evidence", "turn 1 says that it is '47'")


def test_a_look_inside_an_earlier_one_is_redundant_and_a_wider_one_is_not():
    inner = TurnRecord(
        "x", CallRecord("caption_zoom", {"start_s": 1.2, "end_s": 1.8}), "", viewed=(Interval(1.2, 1.8),)
    )
    outer = TurnRecord("x", CallRecord("caption_zoom", {"start_s": 0.0, "end_s": 9.0}), "", viewed=(Interval(0, 9),))
    assert run([attempt("a", LOOK, inner)]).reasons == {"redundant_calls": 1}
    assert run([attempt("a", LOOK, outer)]).rejected == ()
    narrow = replace(inner, viewed=(Interval(1.2, 1.6),))
    assert run([attempt("a", LOOK, narrow)]).rejected == (), "a look at less than half of it zooms in"


def test_of_frames_a_look_is_redundant_only_if_it_shows_no_new_one():
    def look(start_s: float, *times_s: float) -> TurnRecord:
        frames = tuple(FrameRef("v", it, None, (112, 112)) for it in times_s)
        call = CallRecord("frame_zoom", {"start_s": start_s})
        return TurnRecord("x", call, "Frames.", frames=frames, viewed=(Interval(start_s, 9),))

    assert run([attempt("a", look(0, 1.0, 5.0), look(1, 5.0))]).reasons == {"redundant_calls": 1}
    assert run([attempt("a", look(0, 1.0, 5.0), look(1, 3.0, 5.0))]).rejected == ()


def test_a_look_at_everything_that_shows_no_moment_of_the_evidence_is_a_guess():
    wide = CallRecord("caption_zoom", {"start_s": 0.0, "end_s": 600.0})
    elsewhere = TurnRecord("x", wide, "04:00-05:00 blue circle 12\nLeft: 3 calls.", viewed=(Interval(0, 600),))
    assert run([attempt("a", elsewhere)]).reasons == {"evidence_not_viewed": 1}
    assert run([attempt("a", replace(elsewhere, observation_text="00:01-00:02 red square 47"))]).rejected == ()


def test_calls_in_another_form_and_calls_that_were_not_played_are_rejected():
    lenient = attempt("a", replace(LOOK, form="bare_json"))
    cut = attempt("a", LOOK, replace(OTHER_LOOK, error=NOT_PLAYED, continues=True))
    assert [(it.reason, it.detail) for it in run([lenient, cut]).rejected] == [
        ("malformed", "turn 1: bare_json, not our form"),
        ("over_budget", "turn 2: red square 47"),
    ]
    # The paper's filter judges by the answer alone.
    assert len(run([lenient, cut], "paper").kept) == 2


def test_a_tagged_attempt_is_left_out_before_the_filter_sees_it():
    attempts = [attempt("a", LOOK, ANSWER), attempt("a", LOOK, ANSWER, sample=1)]
    tags = {("a", 0): "tagged misread"}
    found = filter_trajectories(
        attempts, "default", np.random.default_rng(0), {"a": EVIDENCE}, lambda *key: tags.get(key)
    )
    assert [it.sample for it in found.kept] == [1], "it would be a near-duplicate of the first"
    assert [(it.reason, it.detail) for it in found.rejected] == [("tagged", "tagged misread")]
