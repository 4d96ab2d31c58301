"""inspect-ai's own `eval` plays episodes; runs where inspect-ai is installed (`.ci/engines inspect`)."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

pytest.importorskip("inspect_ai", reason="inspect-ai has an environment of its own: .ci/engines inspect")

from importlib.metadata import entry_points

from inspect_ai import eval as evaluate
from inspect_ai import task_with
from inspect_ai.log import EvalLog, resolve_sample_attachments
from inspect_ai.model import ChatMessage, ChatMessageTool, Model, ModelOutput, ModelUsage, get_model

from vt_env.episode.serialisers import decode_picture
from vt_env.errors import ConfigError
from vt_env.integrations.inspect_task import long_video, video_task
from vt_env.session import SessionSource
from vt_env.tasks.task_set import TaskSet
from vt_env.testing import Conversation, FakeLibrary, FakeVideo, Played, Received, integration_conformance, tiny_vlm

TINY = tiny_vlm()
Step = tuple[str, dict[str, Any]] | str
"""A call, or a text."""


def scripted(steps: Sequence[Step]) -> Callable[..., ModelOutput]:
    """Return what answers as a model: one step for each reply before."""

    def answer(messages: list[ChatMessage], tools: Any, choice: Any, config: Any) -> ModelOutput:
        turn = sum(it.role == "assistant" for it in messages)
        step = steps[turn] if turn < len(steps) else "I do not know."
        said = isinstance(step, str)
        output = ModelOutput.from_content("s", step) if said else ModelOutput.for_tool_call("s", step[0], step[1])
        # Without a usage the model would count tokens, for which it fetches a vocabulary from the network.
        output.usage = ModelUsage()
        return output

    return answer


def mock(steps: Sequence[Step]) -> Model:
    return get_model("mockllm/model", custom_outputs=scripted(steps), memoize=False)


def play(source: SessionSource, steps: dict[str, Sequence[Step]], tmp_path: Any) -> list[EvalLog]:
    """Evaluate each task with a model of its own, all at once."""
    made = []
    for number, (task_id, script) in enumerate(steps.items()):
        one = SessionSource(
            TaskSet((source.tasks.by_id(task_id),)),
            budget=source.config.budget,
            tools=[it.name for it in source.tools],
            prompts=source.config.prompts,
            library=source.library,
        )
        made.append(task_with(video_task(one), model=mock(script), name=f"task{number}"))
    logs = evaluate(made, log_dir=str(tmp_path), display="none", max_tasks=len(made), log_level="error")
    assert [it.status for it in logs] == ["success"] * len(made), [it.error for it in logs]
    return logs


def received(message: ChatMessage) -> Received:
    *pictures, text = message.content
    return Received(
        text.text,
        tuple(decode_picture(it.image) for it in pictures),
        message.model_dump_json(exclude={"id", "tool_call_id"}).encode(),
    )


def test_inspect_conforms(tmp_path):
    def adapter(source: SessionSource, conversations: Sequence[Conversation]) -> list[Played]:
        steps: dict[str, Sequence[Step]] = {
            it.task_id: [step for turn in it.turns for step in (turn.calls if turn.answer is None else turn.texts)]
            for it in conversations
        }
        logs = play(source, steps, tmp_path)
        return [played(log, len(script)) for log, script in zip(logs, steps.values(), strict=True)]

    # The loop ends with the episode: nothing is called behind it.
    integration_conformance(adapter, without={"over calls", "after the end"})


def played(log: EvalLog, steps: int) -> Played:
    sample = resolve_sample_attachments(log.samples[0], "full")
    _, opening, *rest = sample.messages
    results = [received(it) for it in rest if isinstance(it, ChatMessageTool)][:steps]
    over = [Received("The episode is over.")] * (steps - len(results))
    return Played(received(opening), (*results, *over), sample.metadata["vt_env"]["reward"], None)


def test_accuracy_is_clustered_by_video_and_samples_say_how_they_ended(tmp_path):
    steps = {"fake/0": ["<answer>B</answer>"], "fake/1": ["It may be 47.", "<answer>A</answer>"]}
    logs = play(TINY.source, steps, tmp_path)

    assert [it.results.scores[0].metrics["accuracy"].value for it in logs] == [1.0, 0.0]
    (second,) = logs[1].samples
    assert "Malformed" in second.messages[3].text
    assert second.scores["episode_score"].explanation == "answered"
    assert second.metadata["video"] == TINY.source.tasks[0].item.video.handle
    assert "stderr" in logs[0].results.scores[0].metrics


def test_a_video_that_cannot_be_read_is_an_error_and_no_wrong_answer(tmp_path):
    source = SessionSource(
        TINY.source.tasks, tools=["frame_zoom"], library=FakeLibrary((FakeVideo(broken_from_s=0),)), prompts="tiny"
    )
    task = video_task(source)
    looks = mock([("frame_zoom", {"start_s": 1, "end_s": 2})])
    (log,) = evaluate(task, model=looks, limit=1, log_dir=str(tmp_path), display="none", log_level="error")
    assert log.status == "error"
    assert "nothing can be decoded" in log.error.message


def test_inspect_finds_the_task_by_its_name():
    (found,) = entry_points(group="inspect_ai", name="vt_env")
    assert found.load().long_video is long_video


def test_an_argument_that_does_not_exist_is_named():
    with pytest.raises(ConfigError, match="frames_per_second"):
        long_video("world", frames_per_second=2)
