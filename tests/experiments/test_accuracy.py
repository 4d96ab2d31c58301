"""What a table says about a policy: the video is the unit, order does not matter, and a constant has no width."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.finished_runs import ANSWER_TURN, episode

from experiments.analysis import accuracy
from experiments.analysis.episode_facts import facts_of
from vt_env.episode.trajectory import CallRecord, FrameRef, Trajectory, TurnRecord

outcomes = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=60)
"""Video and correctness of each episode."""


def episodes_of(pairs) -> list[Trajectory]:
    return [episode(task_idx, video_idx, correct) for task_idx, (video_idx, correct) in enumerate(pairs)]


@given(outcomes, st.randoms(use_true_random=False))
def test_the_order_of_episodes_changes_nothing(pairs, shuffler):
    episodes = episodes_of(pairs)
    shuffled = list(episodes)
    shuffler.shuffle(shuffled)
    assert accuracy.policy_row("p", shuffled) == accuracy.policy_row("p", episodes)


@given(outcomes, st.integers(0, 6))
def test_dropping_a_video_leaves_every_other_cluster_as_it_was(pairs, video_idx):
    episodes = episodes_of(pairs)
    kept = [it for it in episodes if it.video_handle != f"video-{video_idx:02d}"]
    if len({it.video_handle for it in kept}) > 1:
        before = accuracy.clusters_of(map(facts_of, episodes), lambda it: it.is_right)
        after = accuracy.clusters_of(map(facts_of, kept), lambda it: it.is_right)
        assert after == {name: cluster for name, cluster in before.items() if name != f"video-{video_idx:02d}"}


@given(outcomes)
def test_the_interval_holds_the_accuracy_and_stays_between_zero_and_one(pairs):
    row = accuracy.policy_row("p", episodes_of(pairs))
    low, high = row.ci95
    assert 0 <= low <= row.accuracy + 1e-12 and row.accuracy <= high + 1e-12 and high <= 1 + 1e-12


@pytest.mark.parametrize("correct", [True, False])
def test_a_constant_outcome_has_an_interval_without_width(correct):
    row = accuracy.policy_row("p", [episode(n, n % 5, correct) for n in range(20)])
    assert row.accuracy == float(correct) and row.ci95 == (float(correct), float(correct))


def test_the_interval_agrees_with_the_normal_one_where_every_video_has_one_question():
    row = accuracy.policy_row("p", [episode(n, n, n % 4 == 0) for n in range(400)])
    half_width = 1.96 * np.sqrt(0.25 * 0.75 / 400)
    assert row.ci95 == pytest.approx((0.25 - half_width, 0.25 + half_width), abs=0.006)


def test_questions_that_share_a_video_widen_the_interval():
    alone = accuracy.policy_row("p", [episode(n, n, n % 2 == 0) for n in range(80)])
    shared = accuracy.policy_row("p", [episode(n, n // 8, (n // 8) % 2 == 0) for n in range(80)])
    assert shared.accuracy == alone.accuracy
    assert shared.ci95[1] - shared.ci95[0] > 2 * (alone.ci95[1] - alone.ci95[0])


def test_a_single_video_is_judged_by_its_questions():
    row = accuracy.policy_row("p", [episode(n, 0, n % 2 == 0) for n in range(40)])
    assert row.videos == 1 and 0.3 < row.ci95[0] < 0.5 < row.ci95[1] < 0.7


def test_an_episode_whose_data_failed_is_counted_and_not_scored():
    broken = replace(episode(1, 1, False), correct=None, stop=None, turns=(), invalid="video.mp4: no frames")
    episodes = [episode(0, 0, True), broken]
    row = accuracy.policy_row("p", episodes)
    assert (row.n, row.accuracy, row.status) == (1, 1.0, {"error": 1, "ok": 1})
    nothing = accuracy.policy_row("p", episodes[1:])
    assert (nothing.n, nothing.accuracy, nothing.ci95) == (0, None, None)


def test_calls_frames_failures_and_missing_answers_are_means_over_episodes():
    frame = FrameRef("video-00", 3.0, None, (112, 112))
    looked = TurnRecord("look", CallRecord("frame_zoom", {}), "Frames at 00:03.", frames=(frame, frame))
    failed = TurnRecord("look", CallRecord("frame_zoom", {}), "Error: ...", error="tool_error")
    unread = episode(1, 1, False, answer="perhaps")
    busy = episode(0, 0, True, turns=(looked, failed, failed, ANSWER_TURN), prompt_frames=(frame,))
    row = accuracy.policy_row("p", [busy, unread])
    assert (row.calls, row.frames, row.invalid_rate, row.no_answer_rate) == (1.5, 1.5, 0.25, 0.5)


def test_families_are_told_apart():
    episodes = [episode(n, n, n % 2 == 0, family="even" if n % 2 == 0 else "odd") for n in range(10)]
    families = accuracy.policy_row("p", episodes).families
    assert {name: (row.n, row.accuracy) for name, row in families.items()} == {"even": (5, 1.0), "odd": (5, 0.0)}


def pair_row(a, b, names):
    return accuracy.compare([facts_of(it) for it in a], [facts_of(it) for it in b], names)


def test_a_pair_is_compared_on_the_tasks_that_both_were_scored_on():
    a = [episode(n, n, True) for n in range(10)]
    b = [episode(n, n, n < 4) for n in range(1, 12)]
    pair = pair_row(a, b, ("a", "b"))
    assert (pair.n, pair.difference) == (9, pytest.approx(6 / 9))
    assert pair.p_mcnemar == pytest.approx(2 * 0.5**6)
    assert pair_row(a[:1], b, ("a", "b")) is None


def test_a_policy_does_not_differ_from_itself():
    episodes = [episode(n, n % 7, n % 3 == 0) for n in range(30)]
    pair = pair_row(episodes, episodes, ("a", "a"))
    assert (pair.difference, pair.ci95, pair.p_mcnemar) == (0.0, (0.0, 0.0), 1.0)


def test_attempts_at_one_task_do_not_make_a_pair_surer():
    def attempts(samples: int, right: int):
        return [replace(episode(n, n, n < right), sample=it) for n in range(40) for it in range(samples)]

    once, often = (pair_row(attempts(it, 24), attempts(it, 20), ("a", "b")) for it in (1, 8))
    assert once.p_mcnemar == often.p_mcnemar == pytest.approx(2 * 0.5**4)
    assert (once.difference, once.ci95) == (often.difference, often.ci95)
