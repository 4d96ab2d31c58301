"""Run the tool calls of a batch in threads; TRL's loop (1.16) makes them one after the other.

Calls that a batch has made at once are begun together, each episode's own in their order, and TRL is handed the results
as it asks for them: what it sees is the same. Videos of a batch are opened in threads as well, which takes long where
they are not stored yet.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from vt_env.errors import ConfigError, DataError
from vt_env.integrations.trl.rollout import Message
from vt_env.types import ToolCall


class ParallelTools:
    """Threads for the tools and videos of a trainer.

    Args:
        threads: Conversations whose calls run at the same time; with 1 all run in TRL's own thread.

    Raises:
        ConfigError: `threads` is below 1.
    """

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise ConfigError(f"tool_threads={threads}: need 1 or more")
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tools") if threads > 1 else None

    def watch(self, environments: Sequence[Any], completions: Sequence[Sequence[Message]]) -> None:
        """Begin the calls of these conversations from now on, those of one reply together; call before TRL's loop."""
        batch = CallBatch(environments, completions, self._pool or SameThread())
        for environment in environments:
            environment._rollout.before_call = batch.begin

    def open_videos(self, factories: Mapping[Any, Any], rows: Sequence[Mapping[str, Any]]) -> None:
        """Open the videos of a batch; one that cannot be read says so again when its episode starts.

        Args:
            factories: Environment classes by the name in a row's `environment`; a single one by `None`.
            rows: Rows of the training set.
        """
        if self._pool is None:
            return

        def open_video(row: Mapping[str, Any]) -> None:
            factory = factories[row.get("environment") if None not in factories else None]
            with suppress(DataError):
                factory._open_episode(factory._task_of(row))

        list(self._pool.map(open_video, {(row.get("environment"), row["task_id"]): row for row in rows}.values()))


class SameThread(Executor):
    """Executor that runs each task at once, in the thread that submits it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a task; what it raises comes out of the future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as failure:  # noqa: BLE001  As an executor promises, the future raises it.
            future.set_exception(failure)
        return future


class CallBatch:
    """The conversations that TRL plays together.

    Args:
        environments: One a conversation, as made by `vt_env.integrations.trl.environment_class`.
        completions: Their messages after the question; TRL appends to these very lists.
        pool: Where calls run.
    """

    def __init__(self, environments: Sequence[Any], completions: Sequence[Sequence[Message]], pool: Executor) -> None:
        self._environments = environments
        self._completions = completions
        self._pool = pool
        self._begun = [0] * len(completions)

    def begin(self) -> None:
        """Begin all calls that wait for their result and were not begun before."""
        for number, (environment, completion) in enumerate(zip(self._environments, self._completions, strict=True)):
            calls = completion[-1].get("tool_calls")
            if calls and self._begun[number] < len(completion):
                self._begun[number] = len(completion)
                wanted = [call["function"] for call in calls if call["type"] == "function"]
                # TRL itself answers calls of tools that do not exist, and those whose arguments have no names.
                own = [
                    ToolCall(it["name"], it["arguments"])
                    for it in wanted
                    if it["name"] in environment._tool_names and isinstance(it["arguments"], Mapping)
                ]
                rollout = environment._rollout
                rollout.begin(own, self._pool, together=len(calls) <= rollout.max_parallel_calls)
