"""inspect-ai (0.3.285): long-video question answering as a task.

    inspect eval vt_env/long_video -T tasks=lvbench --model openai/gpt-5

Samples are tasks; the solver is the episode: tools with pictures, budgets, and an answer in text. Accuracy has a
standard error clustered by video. Providers of chat APIs move the pictures of a tool's result into a turn of the user
(inspect-ai does, not this task), so figures of a checkpoint that was trained here differ from those of `vt-env eval`.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageSystem, ChatMessageTool, ChatMessageUser
from inspect_ai.scorer import CORRECT, INCORRECT, Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import Content, ContentImage, ContentText, ToolDef, ToolParams
from inspect_ai.util import JSONSchema

from vt_env.episode.serialisers import base64_pictures
from vt_env.errors import ConfigError
from vt_env.prompts import option_letter
from vt_env.session import Session, SessionSource
from vt_env.tasks.task_set import Task as VideoTask
from vt_env.types import Observation

_RESULT = "vt_env"
"""Key of the episode's result in a sample's metadata."""


@task
def long_video(tasks: str = "world", split: str = "test", **rules: Any) -> Task:
    """Make the task.

    Args:
        tasks: As `vt_env.load_tasks`.
        split: As `vt_env.load_tasks`.
        rules: Further keyword arguments of `vt_env.SessionSource` (`-T budget=paper -T prompts=default`).

    Raises:
        ConfigError: An argument is not allowed.
        DataError: The tasks cannot be read.
    """
    try:
        return video_task(SessionSource(tasks, split, **rules))
    except TypeError as reason:
        raise ConfigError(f"-T: {reason}; allowed are the arguments of vt_env.SessionSource") from reason


def video_task(source: SessionSource) -> Task:
    """Make the task of a session source."""
    samples = [_sample(it) for it in source.tasks]
    return Task(dataset=MemoryDataset(samples), solver=play_episode(source), scorer=episode_score(), version=1)


def _sample(video_task: VideoTask) -> Sample:
    item, gold = video_task.item, video_task.gold
    return Sample(
        id=item.task_id,
        input=item.question,
        choices=list(item.options),
        target="" if gold is None else option_letter(gold.answer_idx),
        metadata={"video": item.video.handle, "family": item.family or ""},
    )


@solver
def play_episode(source: SessionSource) -> Solver:
    """Play the episode of a sample; the reply that holds no call is read as text."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        session = await asyncio.to_thread(source.open, task_id=str(state.sample_id))
        system = source.config.prompts.system_text(has_tools=bool(session.tools))
        state.messages = [ChatMessageSystem(content=system), ChatMessageUser(content=_content(session.opening))]
        state.tools = [_tool(name, schema, source) for name, schema in source.wire_schemas.items()]
        while not session.is_over:
            state = await generate(state, tool_calls="none")
            await asyncio.to_thread(_apply, session, state)
        state.metadata[_RESULT] = _result(session)
        return state

    return solve


def _apply(session: Session, state: TaskState) -> None:
    """Apply the reply of a model and add what it led to."""
    reply = state.output.message
    if not reply.tool_calls:
        outcome = session.act(state.output.completion)
        if not session.is_over:
            state.messages.append(ChatMessageUser(content=_content(outcome.observation)))
        return
    for call in reply.tool_calls:
        outcome = session.call(call.function, call.arguments if call.parse_error is None else {})
        content = _content(outcome.observation)
        state.messages.append(ChatMessageTool(content=content, tool_call_id=call.id, function=call.function))


def _content(observation: Observation) -> list[Content]:
    pictures = [ContentImage(image=f"data:image/png;base64,{it}") for it in base64_pictures(observation)]
    return [*pictures, ContentText(text=observation.text)]


def _tool(name: str, schema: Mapping[str, Any], source: SessionSource) -> Any:
    async def execute(**arguments: Any) -> str:
        raise AssertionError(f"{name}({arguments}): the solver plays the calls")

    parameters = ToolParams(
        properties={key: JSONSchema.model_validate(it) for key, it in schema["properties"].items()},
        required=list(schema.get("required", ())),
    )
    description = next(it.description for it in source.tools if it.name == name)
    return ToolDef(execute, name, description, parameters).as_tool()


def _result(session: Session) -> dict[str, Any]:
    result = session.result
    assert result is not None
    return {
        "reward": result.reward,
        "terms": dict(result.terms),
        "stop": str(result.stop),
        "correct": result.correct,
        **session.measures,
    }


@scorer(metrics=[accuracy(), stderr(cluster="video")])
def episode_score() -> Scorer:
    """Score by the episode's own reading of the answer; the explanation names how it ended."""

    async def score(state: TaskState, target: Target) -> Score:
        result = state.metadata[_RESULT]
        value = CORRECT if result["correct"] else INCORRECT
        return Score(value=value, answer=state.output.completion, explanation=result["stop"], metadata=result)

    return score
