"""Filters: every reason is found, counted and kept with its trajectory."""

from dataclasses import replace

import numpy as np
import pytest

from synth.filters import filter_trajectories
from vt_env.trajectory import CallRecord, Trajectory, TurnRecord
from vt_env.types import Interval, Remaining, StopReason

LOOK = TurnRecord("look", CallRecord("caption_zoom", {"start_s": 1.0}), "red square 47", viewed=(Interval(1, 2),))
OTHER_LOOK = replace(LOOK, call=CallRecord("caption_zoom", {"start_s": 5.0}))
RETRIEVAL = TurnRecord("search", CallRecord("clip_retrieval", {"query": "red"}), "No match.")
FAILED = TurnRecord("oops", None, "Malformed: ...", error="malformed")
LATE = TurnRecord("look", CallRecord("caption_zoom", {"start_s": 1.0}), "The episode is over.", error="over_budget")


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


def run(attempts: list[Trajectory], mode: str = "default", seed: int = 0):
    return filter_trajectories(attempts, mode, np.random.default_rng(seed))


REJECTED = {
    "wrong_answer": attempt(correct=False),
    "malformed": attempt("a", FAILED, LOOK),
    "never_looked": attempt("a", RETRIEVAL),
    "out_of_calls": replace(attempt("a", LOOK, LATE, correct=False), stop=StopReason.OUT_OF_CALLS, answer=None),
    "invalid": replace(attempt(correct=None), invalid="the file ends early", stop=None),
    "unscored": attempt(correct=None),
}


@pytest.mark.parametrize("reason", REJECTED)
def test_each_reason_is_found_alone(reason):
    filtered = run([REJECTED[reason]])
    assert filtered.kept == ()
    assert [(it.trajectory, it.reason) for it in filtered.rejected] == [(REJECTED[reason], reason)]


def test_of_attempts_with_the_same_actions_the_first_is_kept_whatever_their_thoughts():
    thoughtful = replace(attempt(sample=1), turns=(replace(LOOK, text="a thought\nlook"),))
    elsewhere = attempt("b")
    otherwise = attempt("a", OTHER_LOOK, sample=2)
    filtered = run([attempt(), thoughtful, elsewhere, otherwise])
    assert filtered.kept == (attempt(), elsewhere, otherwise)
    assert filtered.reasons == {"duplicate": 1}


def test_a_rejected_attempt_makes_no_other_a_duplicate():
    wrong_then_right = [attempt(correct=False), replace(attempt(correct=False), sample=1)]
    assert run(wrong_then_right).reasons == {"wrong_answer": 2}


def test_reasons_are_counted_and_nothing_is_lost():
    attempts = [*REJECTED.values(), attempt(correct=False), attempt()]
    filtered = run(attempts)
    assert filtered.reasons == dict.fromkeys(REJECTED, 1) | {"wrong_answer": 2}
    assert len(filtered.kept) + len(filtered.rejected) == len(attempts)


def test_questions_of_which_every_attempt_is_wrong_are_dropped_by_default_and_counted():
    filtered = run([attempt("a", correct=False), attempt("a", OTHER_LOOK, correct=False), attempt("b")])
    assert {it.task_id for it in filtered.kept} == {"b"}
    assert filtered.dropped_questions == 1


def test_the_paper_keeps_one_at_random_where_every_attempt_is_wrong():
    wrong = [attempt("a", correct=False, sample=sample) for sample in range(4)]
    chosen = [run(wrong, "paper", seed).kept for seed in range(40)]
    assert {it.sample for (it,) in chosen} == {0, 1, 2, 3}
    assert run(wrong, "paper").reasons == {"wrong_answer": 3}


def test_the_paper_keeps_every_right_attempt_and_then_no_wrong_one():
    right = [attempt(sample=1), replace(attempt("a", FAILED, LOOK), sample=2), attempt(sample=3)]
    filtered = run([attempt(correct=False), *right], "paper")
    assert filtered.kept == tuple(right)


def test_the_paper_never_keeps_an_attempt_without_an_answer_or_without_a_score():
    silent = [REJECTED["out_of_calls"], REJECTED["invalid"], REJECTED["unscored"]]
    assert run(silent, "paper").kept == ()


def test_a_mode_that_does_not_exist_is_refused():
    with pytest.raises(KeyError):
        run([], "papper")
