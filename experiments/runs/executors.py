"""Where independent work runs: in processes of this machine or on a Ray cluster (`--executor ray`).

A worker is opened once in each process, from a setup that can be pickled, and takes items one after the other, on Ray
also several at once. Results come back as they are done, to the one process that writes: nothing is lost or doubled
where a worker dies.
"""

import importlib
import os
import socket
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Generic, Literal, TypeVar

from experiments.data.video_paths import workers
from vt_env.config import HOW_ONLY, at_least
from vt_env.errors import ConfigError

_CONNECT_S = 10.0
"""Seconds until an address that does not answer is refused."""

SetupT = TypeVar("SetupT")
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_PASSED_ON = ("VT_ENV_CACHE", "VT_ENV_DATA", "VT_ENV_ENCODER", "VT_ENV_REMOTE_CACHE")
"""Environment variables of this process that workers of a running cluster are given; no key of a server is."""


@dataclass(frozen=True, kw_only=True)
class ExecutorConfig:
    """Where independent work runs."""

    workers: int = field(default=0, metadata=HOW_ONLY)
    """Number of worker processes, one item at a time each; 0 means one per CPU core, of the cluster with `--executor
    ray`."""
    executor: Literal["local", "ray"] = field(default="local", metadata=HOW_ONLY)
    """`local`: processes of this machine. `ray`: a Ray cluster, whose machines have vt-env, the files under the same
    paths, and a shared $VT_ENV_CACHE or $VT_ENV_REMOTE_CACHE (needs `ray`)."""
    ray_address: str | None = field(default=None, metadata=HOW_ONLY)
    """With --executor ray: address of the cluster, such as `auto` or `ray://head:10001`; by default a cluster is
    started on this machine."""

    def __post_init__(self) -> None:
        at_least(self, "workers", 0)
        if self.ray_address is not None and self.executor != "ray":
            raise ConfigError(f"--ray-address {self.ray_address} needs --executor ray: add it")


@dataclass(frozen=True, kw_only=True)
class EpisodeExecutorConfig(ExecutorConfig):
    """Where episodes are played: by default in this process."""

    workers: int = field(default=0, metadata=HOW_ONLY)
    """Number of worker processes; 0 plays in this process, and with `--executor ray` on every CPU core of the
    cluster."""

    @property
    def is_spread(self) -> bool:
        """Whether other processes than this one play."""
        return self.executor == "ray" or self.workers > 0


@dataclass(frozen=True)
class Work(Generic[SetupT, ItemT, ResultT]):
    """What a worker does; every part can be pickled."""

    open_worker: Callable[[SetupT], Any]
    """Opens what a worker needs, once in each process, before its first item."""
    setup: SetupT
    do: Callable[[Any, ItemT], ResultT]
    """Does the work of one item with an opened worker."""
    at_once: int = 1
    """Items that a worker of a Ray cluster takes at once, each in a thread; for work that waits on a server."""


def run_in_workers(
    config: ExecutorConfig, work: Work[SetupT, ItemT, ResultT], items: Sequence[ItemT]
) -> Iterator[tuple[ItemT, ResultT | None]]:
    """Yield each item with its result as it is done, or with `None` where it kills its worker.

    A worker that dies (crash of a decoder, out of memory) may take other items with it. Each of them is tried again
    alone, so that only an item that kills its worker has no result.

    Raises:
        ConfigError: Ray is not installed, or its cluster cannot be reached.
        Exception: What opening a worker or the work of an item raises.
    """
    if config.executor == "ray":
        yield from _run_in_ray(config, work, items)
    else:
        yield from _run_in_processes(work, items, min(config.workers or os.cpu_count() or 1, len(items)))


def _run_in_processes(
    work: Work[SetupT, ItemT, ResultT], items: Sequence[ItemT], count: int
) -> Iterator[tuple[ItemT, ResultT | None]]:
    waiting, died = list(reversed(items)), list[ItemT]()
    while waiting:
        yield from _run_until_a_death(work, waiting, count, died)
    for item in died:
        try:
            with workers(1, _keep_work, work) as executor:
                yield item, executor.submit(_do, item).result()
        except BrokenProcessPool:
            yield item, None


def _run_until_a_death(
    work: Work[SetupT, ItemT, ResultT], waiting: list[ItemT], count: int, died: list[ItemT]
) -> Iterator[tuple[ItemT, ResultT]]:
    """Take items from `waiting`; where a worker dies, those in progress in all workers are added to `died`."""
    with workers(count, _keep_work, work) as executor:
        running: dict[Future[ResultT], ItemT] = {}
        is_broken = False
        while running or (waiting and not is_broken):
            # Twice as many as workers, so that none waits for its next item.
            while waiting and not is_broken and len(running) < 2 * count:
                try:
                    running[executor.submit(_do, waiting[-1])] = waiting[-1]
                    waiting.pop()
                except BrokenProcessPool:
                    is_broken = True
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                item = running.pop(future)
                try:
                    yield item, future.result()
                except BrokenProcessPool:
                    died.append(item)
                    is_broken = True


_work: Work[Any, Any, Any]
"""Work of this process."""
_worker: Any = None
"""What `Work.open_worker` opened in this process."""


def _keep_work(work: Work[Any, Any, Any]) -> None:
    global _work
    _work = work
    # What opening it says, such as how replies are sampled, the process that writes has said.
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _do(item: Any) -> Any:
    # Opened here and not while the process starts, whose failures reach nobody.
    global _worker
    if _worker is None:
        _worker = _work.open_worker(_work.setup)
    return _work.do(_worker, item)


class _RayWorker:
    """Actor of a Ray cluster that holds a worker."""

    def __init__(self, work: Work[Any, Any, Any], folder: str) -> None:
        self._work, self._folder, self._worker = work, folder, None
        self._lock = Lock()

    def open(self) -> None:
        with self._lock:
            if self._worker is None:
                if not Path(self._folder).is_dir():
                    where = f"{socket.gethostname()} has no folder {self._folder}"
                    raise ConfigError(f"{where}: start in a folder that all machines of the cluster share")
                # Paths of the command line are relative to it.
                os.chdir(self._folder)
                self._worker = self._work.open_worker(self._work.setup)

    def do(self, item: Any) -> Any:
        self.open()
        return self._work.do(self._worker, item)


class _RayPool:
    """Workers of a cluster that take items of one kind of work."""

    def __init__(self, ray: Any, work: Work[Any, Any, Any], count: int) -> None:
        self._ray, self._work, self._count = ray, work, count
        self._actor = ray.remote(num_cpus=1)(_RayWorker)
        failures = ray.exceptions
        self._deaths = (failures.RayActorError, failures.OutOfMemoryError, failures.NodeDiedError)

    def run(self, items: Sequence[ItemT], at_once: int, died: list[ItemT]) -> Iterator[tuple[ItemT, Any]]:
        """Yield each item with its result, as they are done; items whose worker dies are added to `died` instead."""
        ray, waiting = self._ray, list(reversed(items))
        count = min(self._count, -(-len(items) // at_once))
        # What keeps a worker from opening is no fault of an item, and is raised before there are many.
        first = self._open(at_once)
        self._result(first.open.remote())
        actors = [first, *(self._open(at_once) for _ in range(count - 1))]
        running: dict[Any, tuple[int, Any, ItemT]] = {}

        def begin(number: int) -> None:
            item = waiting.pop()
            running[actors[number].do.remote(item)] = (number, actors[number], item)

        for number in [*range(count)] * at_once:
            if waiting:
                begin(number)
        while running:
            (done,), _ = ray.wait(list(running))
            number, actor, item = running.pop(done)
            try:
                yield item, self._result(done)
            except self._deaths:
                died.append(item)
                if waiting and actors[number] is actor:
                    actors[number] = self._open(at_once)
            if waiting:
                begin(number)
            elif not any(it is actor for _, it, _ in running.values()):
                # Its place is free for a worker that waits for one.
                ray.kill(actor)

    def _open(self, at_once: int) -> Any:
        return self._actor.options(max_concurrency=at_once).remote(self._work, os.getcwd())

    def _result(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as failure:
            if not isinstance(failure.cause, BaseException):
                raise
            raise failure.cause from failure


def _run_in_ray(
    config: ExecutorConfig, work: Work[SetupT, ItemT, ResultT], items: Sequence[ItemT]
) -> Iterator[tuple[ItemT, ResultT | None]]:
    if not items:
        return
    with _cluster(config) as ray:
        pool = _RayPool(ray, work, config.workers or max(1, int(ray.cluster_resources().get("CPU", 1))))
        died, killers = list[ItemT](), list[ItemT]()
        yield from pool.run(items, work.at_once, died)
        if died:
            yield from pool.run(died, 1, killers)
        yield from ((item, None) for item in killers)


@contextmanager
def _cluster(config: ExecutorConfig) -> Generator[Any]:
    try:
        ray: Any = importlib.import_module("ray")
    except ModuleNotFoundError as reason:
        raise ConfigError("--executor ray needs Ray, which is not installed: add the extra ray") from reason
    is_own = config.ray_address is None
    _check_reachable(config.ray_address)
    if is_own:
        # A cluster of this machine alone listens on loopback; starting it may take a minute on a busy machine.
        for name, value in {"RAY_AUTH_MODE": "disabled", "RAY_raylet_start_wait_time_s": "120"}.items():
            os.environ.setdefault(name, value)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        if is_own:
            how: dict[str, Any] = {"include_dashboard": False, "num_cpus": config.workers or None}
        else:
            how = {"runtime_env": {"env_vars": {it: os.environ[it] for it in _PASSED_ON if it in os.environ}}}
        ray.init(address=config.ray_address, log_to_driver=False, logging_level="error", **how)
    except (ConnectionError, ValueError, RuntimeError) as reason:
        raise ConfigError(
            f"--ray-address {config.ray_address or '(none)'}: no cluster: {reason}; start one with ray start --head"
        ) from reason
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address: str | None) -> None:
    """Refuse an address where nothing listens at once; Ray would try it for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
        except (OSError, OverflowError) as reason:
            raise ConfigError(
                f"--ray-address {address}: no cluster: {reason}; start one with ray start --head"
            ) from reason
