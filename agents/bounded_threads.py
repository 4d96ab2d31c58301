"""Work in threads with a bounded number of items at a time; for work that waits on a server."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from threading import Event
from typing import TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def work_in_threads(
    work: Callable[[ItemT, Event], ResultT | None], items: Iterable[ItemT], width: int
) -> Iterator[tuple[ItemT, ResultT]]:
    """Work on up to `width` items concurrently, each in its own thread.

    An exception in one thread stops the run: no further item is started, finished results are still yielded, and the
    exception is raised. Threads that wait for a reply are not joined; closing the client that they wait on ends them.

    Args:
        work: Called with an item and the event that is set when the run stops; returns `None` if it stopped early.
        items: Taken as threads become free, so that memory does not grow with their number.
        width: Maximum number of threads.

    Yields:
        Item and result, as results come.
    """
    stopping = Event()
    pool = ThreadPoolExecutor(width, thread_name_prefix="worker")
    waiting = iter(items)
    running: dict[Future[ResultT | None], ItemT] = {}
    failure: BaseException | None = None
    try:
        running |= {pool.submit(work, item, stopping): item for item in islice(waiting, width)}
        while done := wait(running, timeout=0 if failure else None, return_when=FIRST_COMPLETED).done:
            for future in done:
                item = running.pop(future)
                failure = failure or future.exception()
                if failure is not None:
                    stopping.set()
                else:
                    running |= {pool.submit(work, new, stopping): new for new in islice(waiting, 1)}
                result = None if future.exception() else future.result()
                if result is not None:
                    yield item, result
        if failure is not None:
            raise failure
    finally:
        stopping.set()
        pool.shutdown(wait=False, cancel_futures=True)
