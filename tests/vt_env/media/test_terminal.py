"""Progress of long work: a bar on a terminal, a line every half minute elsewhere."""

import io
import sys

import pytest

from vt_env.media.terminal import ProgressLines, progress_bar, track


class Clock:
    """Seconds that a test sets."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_where_there_is_no_terminal_a_line_comes_every_half_minute_with_the_time_left():
    out, clock = io.StringIO(), Clock()
    with ProgressLines("attempts", 100, initial=20, unit="episodes", out=out, clock=clock) as progress:
        for clock.now_s in (10.0, 29.0, 40.0, 45.0, 80.0):
            progress.update(4)
            progress.set_postfix({"right": "0.50"})
    assert out.getvalue().splitlines() == [
        "attempts: 32/100 episodes, 00:40 passed, 03:46 left, right=0.50",
        "attempts: 40/100 episodes, 01:20 passed, 04:00 left, right=0.50",
    ]


def test_work_of_unknown_size_has_no_time_left():
    out, clock = io.StringIO(), Clock()
    progress = ProgressLines("reading", None, out=out, clock=clock)
    clock.now_s = 31.0
    progress.update()
    assert out.getvalue() == "reading: 1, 00:31 passed\n"


def test_short_work_says_nothing_in_a_pipe_and_shows_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch):
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    assert list(track("abc", "letters")) == ["a", "b", "c"]
    assert pipe.getvalue() == ""
    pipe.isatty = lambda: True
    assert list(track("abc", "letters")) == ["a", "b", "c"]
    assert "letters: 100%" in pipe.getvalue() and "3/3" in pipe.getvalue()


def test_a_failure_ends_the_progress_and_goes_on(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(KeyError), progress_bar("work", 3):
        raise KeyError("work")
