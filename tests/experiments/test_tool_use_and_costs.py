"""Tool use and costs of a policy, counted from its episodes; a missing measurement is absent, never 0."""

from dataclasses import replace

import pytest
from support.finished_runs import episode

from experiments.analysis.accuracy import duration_band, pass_rows, policy_row
from experiments.analysis.costs import captioning_of, costs_of
from experiments.analysis.episode_facts import EpisodeFacts, facts_of
from experiments.analysis.tool_use import tool_use_of
from experiments.settings.prices import Prices, read_prices
from vt_env.benchmarks.scoring.cited_spans import cited_spans
from vt_env.budget.remaining import Remaining
from vt_env.episode.trajectory import CallRecord, ReplyEnd, ReplyRecord, TurnRecord
from vt_env.errors import ConfigError
from vt_env.prompts import TINY
from vt_env.types import Interval, Item, StopReason, VideoRef

OPENING = "Question: What number?\nA. 47\nB. 52\nVideo 10:00 long. Left: 8 calls."


def turn(text: str, *viewed: tuple[float, float], error: str | None = None, **changes) -> TurnRecord:
    spans = tuple(Interval(*span) for span in viewed)
    return TurnRecord(text, CallRecord("frame_zoom", {}), "", viewed=spans, error=error, **changes)


def answer(text: str = "<answer>47</answer>", **changes) -> TurnRecord:
    return TurnRecord(text, None, "", **changes)


def facts(number: int = 0, *turns: TurnRecord, gold=((100.0, 120.0),), **changes) -> EpisodeFacts:
    right = changes.pop("correct", True)
    changes = {"prompt_text": OPENING, **changes}
    record = episode(number, number, right, turns=turns or (answer(),), **changes)
    return facts_of(record, {record.task_id: gold})


def test_seconds_viewed_are_counted_once_and_as_a_share_of_the_video():
    looked = facts(0, turn("", (90, 110)), turn("", (100, 130)), answer())
    row = tool_use_of([looked], 0)
    assert (row.unique_s, row.coverage) == (40, pytest.approx(40 / 600))
    assert row.viewed.iou.mean == pytest.approx(20 / 40) and row.viewed.recall.mean == 1.0
    assert (row.right_if_seen.mean, row.right_if_unseen) == (1.0, None)


def test_what_is_cited_is_measured_over_all_episodes_with_evidence():
    cites = facts(0, answer("It shows at 01:40-02:00. <answer>47</answer>"))
    silent = facts(1, answer())
    row = tool_use_of([cites, silent], 0)
    assert (row.cited.iou.n, row.cited.iou.mean, row.cited_rate) == (2, 0.5, 0.5)
    assert tool_use_of([silent], 0).cited is None
    assert tool_use_of([facts(0, gold=())], 0).viewed is None


@pytest.mark.parametrize(
    ("message", "spans"),
    [
        ("seen at 05:20-05:40.", ((320, 340),)),
        ("1:02:03 to 1:02:10", ((3723, 3730),)),
        ("05:20 \u2013 05:40, 01:00 - 01:05", ((320, 340), (60, 65))),
        ("3-4 bowls", ()),
        ("<evidence>[[731.0, 748.5], [3, 4]]</evidence> not 05:00-05:10", ((731, 748.5), (3, 4))),
        ("05:40-05:20", ((340, 320),)),
        ("12:345-13:00", ()),
        ("<evidence>1-2", ()),
    ],
)
def test_spans_are_read_from_the_last_message(message, spans):
    assert cited_spans(message) == spans


def test_failures_forced_answers_and_limits_are_told_apart():
    failed = facts(0, turn("", error="malformed"), turn("", error="tool_error"), answer())
    forced = facts(1, turn(""), answer(), remaining=Remaining(0, 4))
    ended = facts(2, turn(""), answer(), stop=StopReason.OUT_OF_CALLS, answer=None, correct=False)
    broken_off = facts(3, turn(""), stop=None, limit="tokens", answer=None, correct=False)
    row = tool_use_of([failed, forced, ended, broken_off], 0)
    assert row.invalid == {"malformed": pytest.approx(1 / 8), "tool_error": pytest.approx(1 / 8)}
    assert (row.failing_episodes, row.forced_answer_rate, row.limit_rate) == (0.25, 0.25, 0.5)


def test_statuses_say_how_every_episode_ended():
    cut = answer("thinking", reply=ReplyRecord(ReplyEnd.LENGTH))
    filtered = answer("", reply=ReplyRecord(ReplyEnd.REFUSED))
    out = {"stop": StopReason.OUT_OF_CALLS, "answer": None}
    episodes = [
        episode(0, 0, True),
        episode(1, 0, False, answer="perhaps"),
        episode(2, 0, False, answer="A. 52"),
        episode(3, 0, False, answer="I cannot tell."),
        episode(4, 0, False, turns=(cut,), **out),
        episode(5, 0, False, turns=(filtered,), **out),
        episode(6, 0, False, **out),
        episode(7, 0, False, stop=None, limit="seconds", answer=None),
        replace(episode(8, 0, False), correct=None, invalid="no frames", stop=None),
        replace(episode(9, 0, True), correct=None),
    ]
    row = policy_row("p", episodes)
    assert row.status == {
        "ok": 1,
        "unparsed": 1,
        "ambiguous": 1,
        "refused": 2,
        "truncated": 1,
        "limit": 2,
        "error": 1,
        "unscored": 1,
    }
    assert (row.n, row.accuracy, row.no_answer_rate) == (8, 1 / 8, 7 / 8)


def test_tokens_and_seconds_are_absent_where_nobody_measured_them():
    told = ReplyRecord(prompt_tokens=100, image_tokens=30, completion_tokens=10, latency_s=2.0, cost_usd=0.5)
    row = costs_of([facts(0, answer(reply=told)), facts(1, answer(reply=told), correct=False)])
    assert (row.tokens["read"].mean, row.tokens["images"].mean, row.tokens["replies"].median) == (100, 30, 10)
    assert (row.latency_s.p90, row.wall_s, row.cost) == (2.0, None, 0.5)
    assert row.per_right == {
        "calls": 0.0,
        "frames": 0.0,
        "tokens_read": 200.0,
        "tokens_written": 20.0,
        "latency_s": 4.0,
        "cost": 1.0,
    }
    silent = costs_of([facts(0)])
    assert (silent.tokens, silent.latency_s, silent.cost, silent.captioning) == ({}, None, None, None)
    assert "tokens_read" not in silent.per_right


def test_captions_are_paid_once_a_video_and_shared_by_its_questions():
    asked = [facts(number, perception="captions", video_handle=f"v{number // 3}") for number in range(6)]
    captioning = captioning_of(asked)
    assert (captioning.videos, captioning.video_s, captioning.question_s) == (2, 600, 200)
    row = costs_of(asked, Prices("2026-11-01", per_captioned_hour=6.0))
    assert (row.cost, row.cost_raw) == (pytest.approx(1 / 3), pytest.approx(1.0))
    assert captioning_of([facts(0)]) is None


def test_prices_are_a_checked_file(tmp_path):
    path = tmp_path / "prices.json"
    path.write_text('{"date": "2026-11-01", "per_million_read": 2}')
    assert read_prices(path).per_million_read == 2
    for text, message in (
        ('{"date": "2026", "per_token": 1}', "unknown key 'per_token'"),
        ('{"per_million_read": 1}', "date=None is no text"),
        ('{"date": "2026", "per_million_read": -1}', "need a finite number of at least 0"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            read_prices(path)


def test_several_attempts_are_worth_pass_at_k():
    attempts = [episode(task, task, sample < task, sample=sample) for task in range(4) for sample in range(4)]
    rows = policy_row("p", attempts).attempts
    assert [row.k for row in rows] == [1, 2, 4]
    assert rows[0].any_right == rows[0].all_right == pytest.approx(6 / 16)
    assert (rows[2].any_right, rows[2].all_right, rows[2].n) == (0.75, 0.0, 4)
    assert rows[2].chance == pytest.approx(1 - 0.5**4)
    assert pass_rows([facts(0), facts(1)]) == []


def test_the_length_of_a_video_is_on_record_and_in_older_records_what_the_policy_was_told():
    item = Item("t", "Which says\nVideo 99:00 long.?", ("47", "52"), VideoRef("v", "v.mp4"))
    opening = TINY.opening_text(item, 3725.9, Remaining(8, 16), "frames")
    assert facts(0, prompt_text=opening).duration_s == 3725
    assert facts(0, prompt_text=opening, duration_s=99.9).duration_s == 99
    assert facts(0, prompt_text="").duration_s is None


@pytest.mark.parametrize(
    ("duration_s", "band"),
    [(0, "under 2 min"), (120, "2 to 15 min"), (1799, "15 to 30 min"), (3600, "over 60 min")],
)
def test_videos_are_grouped_by_length(duration_s, band):
    assert duration_band(duration_s) == band
