"""Work in threads: bounded, and a failure loses no finished result."""

from threading import Event, Lock

import pytest

from agents.bounded_threads import work_in_threads


def test_no_more_than_width_items_are_worked_on_at_a_time_and_all_are():
    lock, running, most = Lock(), 0, 0

    def work(item: int, stopping: Event) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        stopping.wait(0.005)
        with lock:
            running -= 1
        return item * item

    assert dict(work_in_threads(work, range(20), 3)) == {item: item * item for item in range(20)}
    assert most == 3


def test_results_that_were_finished_beside_a_failure_are_yielded_before_it_is_raised():
    both = Event()

    def work(item: int, stopping: Event) -> int | None:
        if item == 0:
            both.wait(5)
            raise ValueError("the server is gone")
        if item == 1:
            both.set()
            return 1
        return None if stopping.is_set() else item

    results: list[tuple[int, int]] = []
    with pytest.raises(ValueError, match="the server is gone"):
        for pair in work_in_threads(work, range(100), 2):
            results.append(pair)
    assert (1, 1) in results
    assert len(results) < 100


def test_items_are_taken_as_threads_become_free():
    taken: list[int] = []

    def items():
        for item in range(1000):
            taken.append(item)
            yield item

    results = work_in_threads(lambda item, stopping: item, items(), 2)
    next(results)
    assert len(taken) < 10
    results.close()
