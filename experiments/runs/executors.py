"""Where independent work runs: in processes of this machine or on a Ray cluster (`--executor ray`).

A worker is opened once in each process and takes one item after the other. Results come back as they are done, to the
one process that writes: nothing is lost or doubled where a worker dies.
"""

import importlib
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from experiments.data.video_paths import workers
from vt_env.config import at_least
from vt_env.errors import ConfigError

SetupT = TypeVar("SetupT")
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, kw_only=True)
class ExecutorConfig:
    """Where independent work runs."""

    workers: int = 0
    """Number of worker processes, one item at a time each; 0 means one per CPU core, of the cluster with `--executor
    ray`."""
    executor: Literal["local", "ray"] = "local"
    """`local`: processes of this machine. `ray`: a Ray cluster, whose machines have vt-env, the files under the same
    paths, and a shared $VT_ENV_CACHE (needs `ray`)."""
    ray_address: str | None = None
    """With --executor ray: address of the cluster, such as `auto` or `ray://head:10001`; by default a cluster is
    started on this machine."""

    def __post_init__(self) -> None:
        at_least(self, "workers", 0)
        if self.ray_address is not None and self.executor != "ray":
            raise ConfigError(f"--ray-address {self.ray_address} needs --executor ray: add it")


@dataclass(frozen=True)
class Work(Generic[SetupT, ItemT, ResultT]):
    """What a worker does; every part can be pickled."""

    open_worker: Callable[[SetupT], Any]
    """Opens what a worker needs, once in each process."""
    setup: SetupT
    do: Callable[[Any, ItemT], ResultT]
    """Does the work of one item with an opened worker."""


def run_in_workers(
    config: ExecutorConfig, work: Work[SetupT, ItemT, ResultT], items: Sequence[ItemT]
) -> Iterator[tuple[ItemT, ResultT | None]]:
    """Yield each item with its result as it is done, or with `None` where it kills its worker.

    A worker that dies (crash of a decoder, out of memory) may take other items with it. Each of them is tried again
    alone, so that only an item that kills its worker has no result.

    Raises:
        ConfigError: Ray is not installed, or its cluster cannot be reached.
        Exception: What the work of an item raises.
    """
    if config.executor == "ray":
        yield from _run_in_ray(config, work, items)
    else:
        yield from _run_in_processes(work, items, min(config.workers or os.cpu_count() or 1, len(items)))


def _run_in_processes(
    work: Work[SetupT, ItemT, ResultT], items: Sequence[ItemT], count: int
) -> Iterator[tuple[ItemT, ResultT | None]]:
    undone: list[ItemT] = []
    with workers(count, _open_worker, work) as executor:
        futures: dict[Future[ResultT], ItemT] = {executor.submit(_do, work.do, item): item for item in items}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool:
                undone.append(futures[future])
    for item in undone:
        try:
            with workers(1, _open_worker, work) as executor:
                yield item, executor.submit(_do, work.do, item).result()
        except BrokenProcessPool:
            yield item, None


_worker: Any = None
"""What `Work.open_worker` opened in this process."""


def _open_worker(work: Work[Any, Any, Any]) -> None:
    global _worker
    _worker = work.open_worker(work.setup)


def _do(do: Callable[[Any, ItemT], ResultT], item: ItemT) -> ResultT:
    return do(_worker, item)


class _RayWorker:
    """Actor of a Ray cluster that holds a worker."""

    def __init__(self, work: Work[Any, Any, Any]) -> None:
        self._work, self._worker = work, work.open_worker(work.setup)

    def do(self, item: Any) -> Any:
        return self._work.do(self._worker, item)

    def is_open(self) -> bool:
        return True


def _run_in_ray(
    config: ExecutorConfig, work: Work[SetupT, ItemT, ResultT], items: Sequence[ItemT]
) -> Iterator[tuple[ItemT, ResultT | None]]:
    with _cluster(config) as ray:
        actor = ray.remote(num_cpus=1)(_RayWorker)
        count = config.workers or int(ray.cluster_resources().get("CPU", 1))
        waiting, died = list(reversed(items)), list[ItemT]()
        running: dict[Any, tuple[Any, ItemT]] = {}

        def begin(worker: Any) -> None:
            item = waiting.pop()
            running[worker.do.remote(item)] = (worker, item)

        # What keeps a worker from opening is no fault of an item, so it is raised.
        first = actor.remote(work)
        ray.get(first.is_open.remote())
        begin(first)
        for _ in range(min(count, len(items)) - 1):
            begin(actor.remote(work))
        while running:
            (done,), _ = ray.wait(list(running))
            worker, item = running.pop(done)
            try:
                yield item, ray.get(done)
            except ray.exceptions.RayActorError:
                died.append(item)
                worker = actor.remote(work)
            if waiting:
                begin(worker)
        for item in died:
            try:
                yield item, ray.get(actor.remote(work).do.remote(item))
            except ray.exceptions.RayActorError:
                yield item, None


@contextmanager
def _cluster(config: ExecutorConfig) -> Generator[Any]:
    try:
        ray: Any = importlib.import_module("ray")
    except ModuleNotFoundError as reason:
        raise ConfigError("--executor ray needs Ray, which is not installed: add the extra ray") from reason
    is_own = config.ray_address is None
    if is_own:
        # A cluster of this machine alone listens on loopback; starting it may take a minute on a busy machine.
        for name, value in {"RAY_AUTH_MODE": "disabled", "RAY_raylet_start_wait_time_s": "120"}.items():
            os.environ.setdefault(name, value)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        own = {"include_dashboard": False, "num_cpus": config.workers or None} if is_own else {}
        ray.init(address=config.ray_address, log_to_driver=False, logging_level="error", **own)
    except (ConnectionError, ValueError, RuntimeError) as reason:
        raise ConfigError(
            f"--ray-address {config.ray_address or '(none)'}: no cluster: {reason}; start one with ray start --head"
        ) from reason
    try:
        yield ray
    finally:
        ray.shutdown()
