"""One episode as TRL plays it: results of tool calls, and the finished episode of a conversation.

TRL turns exceptions into text for the model, has no signal for the end of a rollout, takes results back that do not
fit, and never shows an environment the last message. So failures are kept and raised at the end, calls after the end
are answered, and the end is read from the conversation alone. Knows no trainer.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from vt_env.actions.parse import ActionReader
from vt_env.episode.episode import Episode
from vt_env.episode.messages import content_blocks
from vt_env.episode.trajectory import Trajectory, record_episode
from vt_env.errors import DataError
from vt_env.prompts import OVER
from vt_env.rewards.reward import FinishedEpisode
from vt_env.tasks.task_set import Task
from vt_env.tools.builtin import ANSWER_TOOL
from vt_env.types import Answer, Malformed, Observation, ToolCall

Content = str | list[dict[str, Any]]
"""Content of a message: text alone, or blocks: the images and then the text that names them."""
Message = Mapping[str, Any]
"""A chat message: `role`, `content`, and `tool_calls` where the model called."""


@dataclass(frozen=True, slots=True)
class FinishedRollout:
    """A rollout as the reward functions see it."""

    episode: FinishedEpisode
    """With those turns alone whose results the conversation holds, and the last one."""
    rolled_back: int
    """Results that TRL took back since they did not fit `max_completion_length`; the model never saw them."""
    trajectory: Trajectory
    """The same turns on record, with what the model wrote as TRL read it. Its reward is not that of the trainer."""

    @property
    def is_right(self) -> bool:
        """Whether the answer is the right option."""
        return self.episode.answer.option_idx == self.episode.gold.answer_idx


class Rollout:
    """One episode as TRL plays it; single-use, like the episode.

    Args:
        task: The task; it has an answer key.
        open_episode: Builds a fresh episode of a task.
    """

    def __init__(self, task: Task, open_episode: Callable[[Task], Episode]) -> None:
        self._task = task
        self._open_episode = open_episode
        self._episode: Episode | None = None
        self._failure: Exception | None = None
        self._results: list[str] = []
        self._begun: deque[Callable[[], Content]] = deque()
        """Results of calls that were begun, in the order in which TRL asks for them."""
        self._pending: list[Future[list[Content]]] = []
        self.finished: FinishedRollout | None = None
        """What `finish` returned."""
        self.before_call: Callable[[], None] | None = None
        """Called before each call; begins those of the whole batch, see `vt_env.integrations.trl.parallel_tools`."""

    def start(self) -> Content:
        """Return the question, or `prompts.OVER` if the video cannot be read."""
        try:
            self._episode = self._open_episode(self._task)
            return _content(self._episode.start())
        except DataError as failure:
            self._failure = failure
            return OVER

    def call(self, name: str, arguments: Mapping[str, object]) -> Content:
        """Call a tool and return its result for the model; after the end, `prompts.OVER`.

        Raises:
            Exception: A bug. TRL shows it to the model as text, so `finish` raises it again.
        """
        if self.before_call is not None:
            self.before_call()
        return self._begun.popleft()() if self._begun else self._play([ToolCall(name, arguments)])[0]

    @property
    def max_parallel_calls(self) -> int:
        """Calls that one reply may hold."""
        return 1 if self._episode is None else self._episode.config.budget.max_parallel_calls

    def begin(self, calls: Sequence[ToolCall], pool: Executor, *, together: bool = False) -> None:
        """Begin calls in a pool, one after the other; `call` returns their results in order.

        Args:
            calls: Calls of one reply.
            pool: Where they run.
            together: Play them as one reply, as `Episode.apply` does, instead of one by one.
        """
        # A call beside an answer is malformed, which the episode says where it is given both.
        together = together or any(it.name == ANSWER_TOOL.name for it in calls)
        for group in [calls] if together and calls else [[it] for it in calls]:
            future = pool.submit(self._play_after, list(self._pending), group)
            self._pending.append(future)
            self._begun += [partial(_nth_result, future, number) for number in range(len(group))]

    def _play_after(self, before: Sequence[Future[list[Content]]], calls: Sequence[ToolCall]) -> list[Content]:
        # A pool starts tasks in order, so those before run or are done: none waits for one that cannot start.
        wait(before)
        return self._play(calls)

    def _play(self, calls: Sequence[ToolCall]) -> list[Content]:
        try:
            contents = self._apply(calls)
        except DataError as failure:
            self._failure = failure
            contents: list[Content] = [OVER] * len(calls)
        except Exception as failure:
            self._failure = failure
            raise
        self._results += map(_text, contents)
        return contents

    def finish(self, completion: Sequence[Message]) -> FinishedRollout | None:
        """End the episode with the last message of the conversation; `None` if its data failed.

        TRL asks a model that wrote no answer no further, so such a rollout counts as if it had repeated itself until
        its calls were spent: ending early never pays more than answering. TRL also plays more calls of one reply than
        the budget's `max_parallel_calls`, or a call beside an answer, which are malformed everywhere else: a
        conversation that holds such a reply counts as if it had ended there, without an answer.

        Args:
            completion: What followed the question, tool results included.

        Raises:
            Exception: A bug that a tool ran into.
        """
        if isinstance(self._failure, DataError):
            return None
        if self._failure is not None or self._episode is None:
            raise self._failure or RuntimeError("finish() before start()")
        episode = self._episode
        is_legal = all(_is_legal(message, episode.reader) for message in completion)
        (action, *_) = episode.actions(_last_words(completion)) if is_legal else (Malformed("", "too many calls"),)
        while episode.stop is None:
            episode.apply(action if isinstance(action, Answer) else Malformed("", "no answer"))
        callers = self._callers(completion)
        turns = (*episode.turns[:-1][: len(callers)], episode.turns[-1])
        assert self._task.gold is not None
        finished = FinishedEpisode(
            episode.item,
            self._task.gold,
            episode.config.budget,
            turns,
            episode.reading,
            episode.stop,
            episode.remaining,
        )
        written = _record(episode, callers, completion[-1])
        self.finished = FinishedRollout(finished, len(self._results) - len(callers), written)
        return self.finished

    def _apply(self, calls: Sequence[ToolCall]) -> list[Content]:
        if self._failure is not None or self._episode is None or self._episode.stop is not None:
            return [OVER] * len(calls)
        spelt = [self._episode.reader.spelt(it) for it in calls]
        contents = [_content(it) for it in self._episode.apply(*spelt).observation.parts]
        # Where the first of them ends the episode, the others have no result of their own.
        return contents + [OVER] * (len(calls) - len(contents))

    def _callers(self, completion: Sequence[Message]) -> list[Message]:
        """Return the message that called, for each result that the conversation holds.

        TRL's own messages about calls that it refused are not results of ours.
        """
        callers: list[Message] = []
        caller: Message = {"role": "", "content": ""}
        for message in completion:
            caller = message if message["role"] == "assistant" else caller
            is_ours = message["role"] == "tool" and len(callers) < len(self._results)
            if is_ours and _text(message["content"]) == self._results[len(callers)]:
                callers.append(caller)
        return callers


def _record(episode: Episode, callers: Sequence[Message], last: Message) -> Trajectory:
    """Record what the conversation holds of an episode that has ended.

    Args:
        episode: The episode.
        callers: The message that called, for each result that the conversation holds.
        last: The last message, which ended the episode unless a call had done so before.
    """
    record = record_episode(episode)
    *calls, end = record.turns
    ender = callers[len(calls)] if len(calls) < len(callers) else last
    kept = [
        replace(turn, text="" if turn.continues else _written(caller))
        for turn, caller in zip(calls, callers, strict=False)
    ]
    return replace(record, turns=(*kept, replace(end, text=_written(ender))))


def _written(message: Message) -> str:
    """Write a message of the model as the text that TRL read it from; nothing if it is no message of the model."""
    if message["role"] != "assistant":
        return ""
    calls = [f"<tool_call>\n{json.dumps(call['function'])}\n</tool_call>" for call in message.get("tool_calls") or ()]
    return "\n".join(filter(None, [_text(message.get("content") or ""), *calls]))


def _content(observation: Observation) -> Content:
    if observation.frames is None:
        return observation.text
    return content_blocks(observation.text, observation.frames.data)


def _text(content: Content) -> str:
    if isinstance(content, str):
        return content
    return "".join(block["text"] for block in content if block["type"] == "text")


def _is_legal(message: Message, reader: ActionReader) -> bool:
    """Tell whether a message holds calls up to the limit and no answer beside them, or no call."""
    calls = len(message.get("tool_calls") or ())
    if message["role"] != "assistant" or not calls:
        return True
    is_few = reader.max_calls is None or calls <= reader.max_calls
    if calls > 1 and any(it["function"]["name"] == ANSWER_TOOL.name for it in message["tool_calls"]):
        return False
    return is_few and not isinstance(reader.read(_text(message.get("content") or "")).action, Answer)


def _nth_result(future: Future[list[Content]], number: int) -> Content:
    return future.result()[number]


def _last_words(completion: Sequence[Message]) -> str:
    """Return the last message's text; nothing if it is no message of the model or one that calls a tool."""
    last = completion[-1]
    return "" if last["role"] != "assistant" or last.get("tool_calls") else _text(last["content"])
