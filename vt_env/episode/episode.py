"""Episode: one question, one video, one budget. It turns an action into an outcome and keeps the record.

Knows nothing of Gymnasium, tokens or models. It is single-use: build it, start it, apply actions until it stops, drop
it. Budgets are enforced here, before anything is rendered, so that no integration can forget them.
"""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from vt_env.actions.answer_tool import as_answer, is_offered
from vt_env.actions.parse import ActionReader, as_written, reason_against_group, render_action, render_actions
from vt_env.actions.read_answer import AnswerStatus, ReadAnswer, read_answer
from vt_env.budget.remaining import Remaining
from vt_env.budget.spending import Spending, frame_size_px
from vt_env.config import EnvConfig
from vt_env.control_tokens import as_plain_text
from vt_env.episode.perception import build_perception
from vt_env.errors import BudgetError, DataError, EpisodeOver, ToolError
from vt_env.gold import Gold
from vt_env.prompts import OVER, returned_text
from vt_env.protocols import Perception, Video
from vt_env.rewards.reward import FinishedEpisode, RewardResult, resolve_rewards, score
from vt_env.tools.builtin import check_video, searches_clips, tools_for
from vt_env.tools.check_arguments import check_arguments, show
from vt_env.tools.tool import Tool
from vt_env.types import (
    NOT_PLAYED,
    Action,
    Answer,
    Box,
    FrameBatch,
    FrameRef,
    Interval,
    Item,
    Malformed,
    Observation,
    Outcome,
    StopReason,
    ToolCall,
    Turn,
    VideoRef,
    View,
)

_NOT_REACHED = "this call was not made, since no calls are left"


class Episode:
    """One attempt at one item.

    Raises:
        ConfigError: The config names a perception, tool or reward term that does not exist, or captions or text on the
            screen that this video does not have.
    """

    def __init__(
        self,
        item: Item,
        gold: Gold | None,
        video: Video,
        config: EnvConfig,
        tools: tuple[Tool, ...] | None = None,
        perception: Perception | None = None,
    ) -> None:
        """Prepare an episode; nothing is rendered before `start`.

        Args:
            item: Public half of the task.
            gold: Answer key; without one the episode is never scored.
            video: The item's video, open.
            config: Perception, budget, rewards.
            tools: Tools on offer; `None` takes those that the config names.
            perception: Custom perception; must match `config.perception`. `None` builds the default.
        """
        self.item = item
        self.video = video
        self.config = config
        self.perception = perception or build_perception(config, video, item.shown)
        answers = config.prompts.answers
        chosen = tools_for(config.perception, config.tools or "default", answers=answers) if tools is None else tools
        check_video(chosen, video)
        self.tools = tuple(tool for tool in chosen if video.search_sources or not searches_clips(tool))
        """Tools on offer; `clip_retrieval` only in a video that can be searched."""
        self.reader = ActionReader.for_tools(chosen, self.perception.zoom_tool, config.budget.max_parallel_calls)
        """Reader of the policy's replies. Everything that plays this episode from text uses it."""
        self.turns: list[Turn] = []
        self.prompt_text = ""
        """Text of the first observation; empty before `start`."""
        self.prompt_frames: tuple[FrameRef, ...] = ()
        """Frames shown with the question."""
        self.answer: Answer | None = None
        """Answer of the policy; `None` without one."""
        self.stop: StopReason | None = None
        """Reason of the end; `None` while the episode runs and where it became invalid."""
        self.invalid: str | None = None
        """Failure of the data, which ends the episode without a score; `None` without one."""
        self._unusable = {tool.name for tool in chosen} - {tool.name for tool in self.tools}
        self._is_started = False
        self._spending = Spending(config.budget, config.media, video)
        self._starting_budget = self._spending.remaining
        self._result = RewardResult(0.0, {})
        self._gold = gold
        self._rewards = resolve_rewards(config.rewards)

    @property
    def remaining(self) -> Remaining:
        """Remaining budget."""
        return self._spending.remaining

    @property
    def image_tokens(self) -> int:
        """Image tokens of all pictures so far, and of those that captions stood for under a limit of image tokens."""
        return self._spending.image_tokens

    @property
    def policy_item(self) -> Item:
        """The item as policies get it: texts as shown, duration, starting budget; no id, family or path.

        Control tokens in the question and the options are broken, as in the first observation.

        Raises:
            DataError: Two options differ in control tokens alone.
        """
        options = tuple(map(as_plain_text, self.item.options))
        if len(set(options)) < len(options):
            raise DataError(f"{self.item.task_id}: options {options} are shown alike; write them differently")
        return replace(
            self.item,
            task_id="",
            question=as_plain_text(self.item.question),
            options=options,
            video=VideoRef(self.item.video.handle, ""),
            family="",
            duration_s=self.video.duration_s,
            budget=self._starting_budget,
        )

    def start(self) -> Observation:
        """Show the question, with frames of the whole video where the budget has global frames.

        Raises:
            EpisodeOver: The episode was started before.
            DataError: The video cannot be read; the episode is then invalid.
        """
        if self._is_started:
            raise EpisodeOver("this episode was started before; build a fresh one")
        self._is_started = True
        with self._invalid_on_failure():
            view = self.perception.overview() or View("")
        self._spending.charge(view)
        self._starting_budget = self.remaining
        self.prompt_frames = self._refs(view)
        text = self.config.prompts.opening_text(
            self.item,
            self.video.duration_s,
            self.remaining,
            self.perception.name,
            () if view.frames is None else view.frames.pts_s.tolist(),
        )
        # Frames are shown as pictures; what there is to read of the whole video stands before the question.
        is_read = view.frames is None and view.text
        self.prompt_text = f"{returned_text(view.text)}\n{text}" if is_read else text
        return Observation(self.prompt_text, self.remaining, view.frames, view.lines)

    def apply(self, *actions: Action) -> Outcome:
        """Apply the actions of one reply: one action, or several calls that are played in order.

        Every action except an answer costs one call, failed and malformed ones included. Of several calls, those that
        the budget does not reach are not played and cost nothing. Calls that may not stand together (more than
        `max_parallel_calls`, or a call beside an answer) are one malformed action. A call with arguments that cannot be
        written as JSON, such as not-a-number, is malformed.

        Raises:
            EpisodeOver: The episode has ended or was not started.
            DataError: The video cannot be read; the episode is then over and invalid.
        """
        if not self._is_started or self.stop is not None or self.invalid is not None:
            raise EpisodeOver("this episode is not running; build a fresh one and start it")
        if is_offered(self.reader.tools):
            actions = tuple(map(as_answer, actions))
        reason = reason_against_group(actions, self.config.budget.max_parallel_calls)
        if reason is not None:
            actions = (Malformed(render_actions(map(as_written, actions)), reason),)
        action = as_written(actions[0])
        with self._invalid_on_failure():
            if isinstance(action, Answer):
                return self._end(action, StopReason.ANSWERED, None)
            if self._spending.calls == 0:
                return self._end(action, StopReason.OUT_OF_CALLS, "over_budget")
            if len(actions) == 1:
                self._spending.calls -= 1
                return self._respond(action)
            return self._respond_to_each([as_written(it) for it in actions])

    def end_full_context(self) -> Outcome:
        """End the episode without an answer, since the conversation no longer fits the model's context.

        Raises:
            EpisodeOver: The episode has ended or was not started.
        """
        if not self._is_started or self.stop is not None or self.invalid is not None:
            raise EpisodeOver("this episode is not running; build a fresh one and start it")
        return self._end(Malformed("", "the conversation no longer fits the context"), StopReason.CONTEXT_FULL, None)

    def actions(self, text: str) -> tuple[Action, ...]:
        """Read the actions of a reply for the tools of this episode, as `apply` takes them; never raises."""
        return tuple(it.action for it in self.reader.read(text).actions)

    async def apply_async(self, *actions: Action) -> Outcome:
        """Apply the actions of one reply as `apply`, in a thread, so that the looks of many episodes decode together.

            outcomes = await asyncio.gather(*(it.apply_async(action) for it, action in zip(episodes, actions)))

        Await one reply of an episode before the next. What a group gains is in `experiments/bench/results/media.json`.

        Raises:
            EpisodeOver: As `apply`.
            DataError: As `apply`.
        """
        return await asyncio.to_thread(self.apply, *actions)

    def look(self, interval: Interval, count: int | None = None, share: float = 1.0) -> View:
        """Look at an interval with this episode's perception; for tools.

        Args:
            interval: Part of the video.
            count: Frames to show, fewer where the budget holds fewer; `None` for the budget's `frames_per_zoom`.
            share: Size of each as a share of the pixels of a whole frame.

        Raises:
            BudgetError: Not one frame is left.
        """
        size_px = frame_size_px(self.video, self.config.media, share)
        most = self._spending.most_frames(size_px, costs_frames=self.perception.frames_needed(1) > 0)
        return self.perception.look(interval, min(count or self.config.budget.frames_per_zoom, most), size_px)

    def look_closer(self, time_s: float, box: Box) -> View:
        """Look at part of one frame; for tools.

        Raises:
            BudgetError: The picture is more than what is left.
        """
        self._spending.check([self.video.picture_size_px(box)], self.perception.frames_needed(1))
        return self.perception.look_closer(time_s, box)

    def frame_tokens(self, share: float = 1.0) -> int:
        """Image tokens of a frame of this video at a share of its pixels; for tools."""
        return self.config.media.image_tokens(frame_size_px(self.video, self.config.media, share))

    @property
    def reading(self) -> ReadAnswer:
        """Reading of the answer as an option; unparsed while there is none."""
        if self.answer is None:
            return ReadAnswer(None, AnswerStatus.UNPARSED)
        return read_answer(self.answer.text, self.item.options)

    @property
    def correct(self) -> bool | None:
        """Whether the answer is right; `None` before the end and for an episode without a key."""
        if self._gold is None or self.stop is None:
            return None
        return self.reading.option_idx == self._gold.answer_idx

    @property
    def reward(self) -> float:
        """The reward; 0 before the end and for an episode without a key."""
        return self._result.total

    def reward_terms(self) -> dict[str, float]:
        """Return the value of each reward term; empty before the end and for an episode without a key."""
        return dict(self._result.terms)

    def _respond(self, action: ToolCall | Malformed) -> Outcome:
        view, error = self._attempt(action)
        self._spending.charge(view)
        return self._show(action, view, error)

    def _respond_to_each(self, actions: Sequence[Action]) -> Outcome:
        """Play several calls of one reply. The last result alone says what is left and repeats the question."""
        outcomes: list[Outcome] = []
        for number, action in enumerate(actions):
            assert not isinstance(action, Answer)
            if self._spending.calls:
                self._spending.calls -= 1
                view, error = self._attempt(action)
            else:
                view, error = View(self.config.prompts.error_text(_NOT_REACHED)), NOT_PLAYED
            self._spending.charge(view)
            is_last = number == len(actions) - 1
            outcomes.append(self._show(action, view, error, continues=number > 0, is_last=is_last))
        return _joined(outcomes)

    def _show(
        self,
        action: ToolCall | Malformed,
        view: View,
        error: str | None,
        *,
        continues: bool = False,
        is_last: bool = True,
    ) -> Outcome:
        prompts, text = self.config.prompts, view.text
        if is_last:
            text = prompts.result_text(view.text, self.item, self.remaining, self.perception.name)
        self.turns.append(Turn(action, text, self._refs(view), view.viewed, error, view.box, continues))
        return Outcome(Observation(text, self.remaining, view.frames, view.lines), error=error)

    def _attempt(self, action: ToolCall | Malformed) -> tuple[View, str | None]:
        if isinstance(action, Malformed):
            return View(self._hint(action.reason)), "malformed"
        try:
            return self._call(action), None
        except ToolError as reason:
            kind = "over_budget" if isinstance(reason, BudgetError) else "tool_error"
            return View(self.config.prompts.error_text(str(reason))), kind

    def _hint(self, reason: str) -> str:
        """Say what is wrong with a reply that could not be parsed, and what could be written."""
        lines = [tool.line for tool in self.tools]
        if not lines:
            return self.config.prompts.malformed_text(reason, ())
        arguments = self.tools[0].example(returned_text(self.item.question), self.video.duration_s)
        example = render_action(ToolCall(self.tools[0].name, arguments))
        return self.config.prompts.malformed_text(reason, lines, example)

    def _call(self, call: ToolCall) -> View:
        if self.item.shown:
            raise ToolError("no tool is offered for this question; answer from the frames beside it")
        tools = {tool.name: tool for tool in self.tools}
        tool = tools.get(call.name)
        if tool is None and call.name in self._unusable:
            raise ToolError(f"the clips of this video cannot be searched; the tools are {', '.join(tools)}")
        if tool is None:
            raise ToolError(f"no tool {show(call.name)}; the tools are {', '.join(tools)}")
        arguments = check_arguments(tool, call.arguments, self.video.duration_s, self.config.budget)
        view = _as_view(tool, tool.function(self, **arguments))
        # The built-in tools ask before they render; one of the caller's own may not.
        self._spending.check_view(view)
        return view

    def _end(self, action: Action, stop: StopReason, error: str | None) -> Outcome:
        self.answer = action if isinstance(action, Answer) else None
        self.turns.append(Turn(action, OVER, error=error))
        if self._gold is not None:
            self._result = score(self._finished(self._gold, stop), self._rewards)
        self.stop = stop
        return Outcome(Observation(OVER, self.remaining), self.reward, stop, error)

    def _finished(self, gold: Gold, stop: StopReason) -> FinishedEpisode:
        budget, turns = self.config.budget, tuple(self.turns)
        return FinishedEpisode(self.item, gold, budget, turns, self.reading, stop, self.remaining)

    def _refs(self, view: View) -> tuple[FrameRef, ...]:
        if view.frames is None:
            return ()
        handle, (height, width) = self.video.ref.handle, view.frames.data.shape[1:3]
        times_s = view.frames.pts_s.tolist()
        return tuple(FrameRef(handle, it, view.box, (width, height), view.stored_px) for it in times_s)

    @contextmanager
    def _invalid_on_failure(self) -> Generator[None]:
        """Mark the episode, and let the failure through: it must never look like a wrong answer."""
        try:
            yield
        except DataError as reason:
            self.invalid = str(reason)
            raise
        except Exception as reason:
            self.invalid = f"{type(reason).__name__}: {reason}"
            raise


def _joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Join what several calls of one reply led to."""
    results = tuple(it.observation for it in outcomes)
    batches = [it.frames for it in results if it.frames is not None]
    is_one_size = len({it.data.shape[1:] for it in batches}) == 1
    frames = None
    if is_one_size:
        frames = FrameBatch(np.concatenate([it.data for it in batches]), np.concatenate([it.pts_s for it in batches]))
    text = "\n\n".join(it.text for it in results)
    lines = tuple(line for it in results for line in it.lines)
    error = next((it.error for it in outcomes if it.error is not None), None)
    return Outcome(Observation(text, results[-1].remaining, frames, lines, results), error=error)


def _as_view(tool: Tool, result: object) -> View:
    if not isinstance(result, str | View):
        raise TypeError(f"tool {tool.name} returned {type(result).__name__}: need str or View")
    view = View(result) if isinstance(result, str) else result
    text = returned_text(view.text)
    return view if text == view.text else replace(view, text=text)
