"""Hides the time of tools from TRL, whose loop calls them one after the other over a whole batch (1.16).

Calls that a batch has made at once are begun side by side, each episode's own in their order, and TRL is handed the
results as it asks for them: what it sees is the same. Videos of a batch are opened side by side as well, which takes
long where they are not stored yet.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from vt_env.errors import ConfigError, DataError
from vt_env.integrations.trl.rollout import Message


def run_tools_side_by_side(trainer: Any, threads: int) -> None:
    """Run the tool calls of a batch in threads; to be called before `trainer.train`.

    Args:
        trainer: A `trl.GRPOTrainer` whose environments come from `vt_env.integrations.trl.environment_class`.
        threads: Calls that run at once; 1 leaves everything as it is, for tools that must not.

    Raises:
        ConfigError: `threads` is below 1.
    """
    if threads < 1:
        raise ConfigError(f"threads={threads}: need 1 or more")
    if threads == 1:
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="tools")
    play: Callable[..., Any] = trainer._tool_call_loop
    generate: Callable[[Sequence[Mapping[str, Any]]], Any] = trainer._generate_and_score_completions

    def tool_call_loop(prompts: Any, prompt_ids: Any, completion_ids: Any, completions: Any, *rest: Any) -> Any:
        batch = CallBatch(trainer.environments, completions, pool)
        for environment in trainer.environments:
            environment._rollout.before_call = batch.begin
        return play(prompts, prompt_ids, completion_ids, completions, *rest)

    def generate_and_score(rows: Sequence[Mapping[str, Any]]) -> Any:
        trainer.open_videos(rows)
        return generate(rows)

    trainer.open_videos = partial(_open_videos, trainer, pool)
    trainer._tool_call_loop = tool_call_loop
    trainer._generate_and_score_completions = generate_and_score


class CallBatch:
    """The conversations that TRL plays together.

    Args:
        environments: One a conversation, as made by `vt_env.integrations.trl.environment_class`.
        completions: Their messages after the question; TRL appends to these very lists.
        pool: Where calls run.
    """

    def __init__(
        self, environments: Sequence[Any], completions: Sequence[Sequence[Message]], pool: ThreadPoolExecutor
    ) -> None:
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
                    (it["name"], it["arguments"])
                    for it in wanted
                    if it["name"] in environment._tool_names and isinstance(it["arguments"], Mapping)
                ]
                environment._rollout.begin(own, self._pool)


def _open_videos(trainer: Any, pool: ThreadPoolExecutor, rows: Sequence[Mapping[str, Any]]) -> None:
    """Open the videos of a batch; one that cannot be read says so again when its episode starts."""
    (factory,) = trainer.environment_factories.values()

    def open_video(task_id: str) -> None:
        with suppress(DataError):
            factory._open_episode(factory._tasks.by_id(task_id))

    list(pool.map(open_video, dict.fromkeys(row["task_id"] for row in rows)))
