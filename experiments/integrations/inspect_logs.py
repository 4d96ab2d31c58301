"""Evaluations as logs of inspect_ai, which `inspect view` opens: `vt-env report RUN --inspect FOLDER`.

Written with inspect_ai's own classes (0.3.285; package `inspect-ai`). It needs other versions of a library than the
tests of this repository ran with, so it is no extra: install it beside vt-env's core in an environment of its own
(`.ci/engines inspect` tests it there).

One log a run, one sample an episode: the conversation with pictures, tool calls and their errors; the answer and every
reward term as scores; tokens, seconds, tags. A log has no place for the system message of a prompt set; its name is in
the metadata.
"""

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from experiments.analysis.accuracy import summarise
from experiments.analysis.episode_facts import stream_journal
from experiments.analysis.finished_run import FinishedRun
from experiments.runs.read_run import CONFIG, JOURNAL
from experiments.runs.read_tags import read_tags
from vt_env.episode.trajectory import Trajectory, TurnRecord
from vt_env.errors import ConfigError
from vt_env.jsonl import replace_file
from vt_env.media.terminal import track
from vt_env.prompts.prompt_set import option_letter
from vt_env.valid_text import as_valid_text

DrawPicture = Callable[[Trajectory, int], bytes | None]
"""Takes an episode and the number of a frame; returns it as PNG, `None` where it cannot be drawn."""
FindKey = Callable[[str], int | None]
"""Takes a task id; returns the index of the right option, `None` where it is unknown."""
_SCORER = "vt_env"


@dataclass(frozen=True)
class LogSource:
    """An evaluation to write, with what its journal does not hold."""

    name: str
    run: FinishedRun
    draw: DrawPicture
    key_of: FindKey
    limit: int
    """Largest number of episodes."""


def write_inspect_log(source: LogSource, folder: Path) -> tuple[Path, int]:
    """Write the log of an evaluation.

    Args:
        source: The evaluation.
        folder: Where the log is written, named after the run.

    Returns:
        The file and the number of its episodes.

    Raises:
        ConfigError: inspect_ai is not installed.
        DataError: A line of the journal is damaged.
    """
    try:
        from inspect_ai.log import write_eval_log
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--inspect needs {error.name}: install inspect-ai beside vt-env in an environment of its own, since it "
            "pins other versions than vt-env's extras: pip install vt-env inspect-ai"
        ) from None
    path = folder / f"{source.name.replace('/', '-')}.eval"
    episodes = islice(stream_journal(source.run.path, is_tracked=False), source.limit)
    total = min(source.limit, len(source.run.facts))
    samples = [_sample(source, it) for it in track(episodes, str(path), total, unit="episode")]
    tags = read_tags(source.run.path)
    for sample in samples:
        sample.metadata["tags"] = tags.get((str(sample.id), sample.epoch - 1), [])
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as part:
        write_eval_log(_log(source, samples), part, format="eval")
    return path, len(samples)


def _log(source: LogSource, samples: Sequence[Any]) -> Any:
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalResults, EvalSpec, EvalStats

    config, provenance = source.run.config, source.run.provenance
    name = f"{config.get('tasks')}/{config.get('split')}"
    ids = list(dict.fromkeys(sample.id for sample in samples))
    started, ended = (_time(source.run.path / file) for file in (CONFIG, JOURNAL))
    spec = EvalSpec(
        created=started,
        eval_id=source.name,
        run_id=source.name,
        task=name,
        task_id=source.name,
        dataset=EvalDataset(name=name, samples=len(ids), sample_ids=ids),
        model=f"vt-env/{source.run.name}",
        task_args=dict(config),
        config=EvalConfig(epochs=max((sample.epoch for sample in samples), default=1)),
        packages={name: str(version) for name, version in provenance.get("versions", {}).items()},
        metadata={"provenance": dict(provenance)},
    )
    results = EvalResults(total_samples=len(samples), completed_samples=len(samples), scores=_totals(source))
    stats = EvalStats(started_at=started, completed_at=ended)
    return EvalLog(status="success", eval=spec, results=results, stats=stats, samples=list(samples))


def _totals(source: LogSource) -> list[Any]:
    """Return the accuracy over all episodes of the run, with its interval over videos."""
    from inspect_ai.log import EvalMetric, EvalScore

    row = summarise(source.run.name, source.run.facts)
    if row.accuracy is None or row.ci95 is None:
        return []
    values = {"accuracy": row.accuracy, "ci95_low": row.ci95[0], "ci95_high": row.ci95[1]}
    metrics = {name: EvalMetric(name=name, value=value) for name, value in values.items()}
    unscored = sum(row.status.values()) - row.n
    return [
        EvalScore(
            name="correct", scorer=_SCORER, scored_samples=row.n, unscored_samples=unscored, metrics=metrics,
            metadata={"interval": "95 % percentile bootstrap over videos"},
        )
    ]  # fmt: skip


def _sample(source: LogSource, episode: Trajectory) -> Any:
    from inspect_ai.log import EvalError, EvalSample
    from inspect_ai.model import ChatMessageUser, ModelOutput, ModelUsage

    draw = source.draw
    first = ChatMessageUser(content=_content(draw, episode, 0, len(episode.prompt_frames), episode.prompt_text))
    key, used = source.key_of(episode.task_id), episode.tokens
    usage = None if used is None else ModelUsage(
        input_tokens=used.read, output_tokens=used.replies, total_tokens=used.read + used.replies
    )  # fmt: skip
    output = ModelOutput.from_content(episode.policy, as_valid_text(episode.turns[-1].text if episode.turns else ""))
    output.usage = usage
    return EvalSample(
        id=episode.task_id,
        epoch=episode.sample + 1,
        input=as_valid_text(episode.question),
        choices=[as_valid_text(option) for option in episode.options],
        target="" if key is None else option_letter(key),
        messages=[first, *_turns(draw, episode)],
        output=output,
        scores=_scores(episode),
        metadata=_metadata(episode),
        model_usage={} if usage is None else {episode.policy: usage},
        total_time=episode.wall_s,
        error=None if episode.invalid is None else EvalError(message=episode.invalid, traceback="", traceback_ansi=""),
    )


def _scores(episode: Trajectory) -> dict[str, Any]:
    from inspect_ai.scorer import CORRECT, INCORRECT, Score

    scores = {"reward": Score(value=episode.reward)}
    scores |= {name: Score(value=value) for name, value in episode.reward_terms.items()}
    if episode.correct is None:
        return scores
    answer = None if episode.answer is None else as_valid_text(episode.answer)
    return {"correct": Score(value=CORRECT if episode.correct else INCORRECT, answer=answer), **scores}


def _metadata(episode: Trajectory) -> dict[str, Any]:
    return {
        "video": episode.video_handle,
        "duration_s": episode.duration_s,
        "family": episode.family,
        "split": episode.split,
        "perception": episode.perception,
        "prompts": episode.prompts,
        "stop": str(episode.stop) if episode.stop else None,
        "limit": episode.limit,
        "calls": episode.calls,
        "frames": len(episode.frames),
        "seed": episode.seed,
        "cost_usd": episode.cost_usd,
    }


def _turns(draw: DrawPicture, episode: Trajectory) -> Iterator[Any]:
    """Yield a message for each reply and for each result; the result of a turn without a call is the user's."""
    from inspect_ai.model import ChatMessageAssistant, ChatMessageTool, ChatMessageUser
    from inspect_ai.tool import ToolCall, ToolCallError

    shown, number = len(episode.prompt_frames), 0
    for turns in episode.by_reply:
        ids = [f"call-{number + place}" for place in range(len(turns))]
        number += len(turns)
        calls = [
            ToolCall(id=own, function=turn.call.name, arguments=dict(turn.call.arguments))
            for own, turn in zip(ids, turns, strict=True)
            if turn.call is not None
        ]
        text = as_valid_text(turns[0].text)
        yield ChatMessageAssistant(
            content=text, model=episode.policy, tool_calls=calls or None, metadata=_reply(turns[0])
        )
        for own, turn in zip(ids, turns, strict=True):
            content = _content(draw, episode, shown, len(turn.frames), turn.observation_text)
            shown += len(turn.frames)
            if turn.call is None:
                yield ChatMessageUser(content=content)
            else:
                error = None if turn.error is None else ToolCallError(type="unknown", message=turn.error)
                yield ChatMessageTool(content=content, tool_call_id=own, function=turn.call.name, error=error)


def _reply(turn: TurnRecord) -> dict[str, Any] | None:
    reply = turn.reply
    if reply is None:
        return None
    names = ("prompt_tokens", "image_tokens", "completion_tokens", "mean_logprob", "answer_logprob", "latency_s")
    return {"ended": str(reply.ended), **{name: getattr(reply, name) for name in names}}


def _content(draw: DrawPicture, episode: Trajectory, first: int, count: int, text: str) -> list[Any]:
    """Return pictures, then text, as the policy read them; a frame that cannot be drawn is named by its time."""
    from inspect_ai.model import ContentImage, ContentText

    content: list[Any] = []
    for number in range(first, first + count):
        drawn = draw(episode, number)
        if drawn is None:
            content.append(ContentText(text=f"[frame at {episode.frames[number].time_s:g} s: picture not there]"))
        else:
            content.append(ContentImage(image=f"data:image/png;base64,{base64.b64encode(drawn).decode()}"))
    return [*content, ContentText(text=as_valid_text(text))]


def _time(path: Path) -> str:
    written = path.stat().st_mtime if path.exists() else 0.0
    return datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds")
