"""One episode as the viewer shows it: JSON values with the places of its pictures, without any picture and any key."""

from collections.abc import Mapping, Sequence
from typing import Any

from vt_env.actions.parse import ActionReader
from vt_env.benchmarks.scoring.replies import reply_of
from vt_env.budget.remaining import Remaining
from vt_env.episode.trajectory import Trajectory, TurnRecord
from vt_env.prompts import read_lines
from vt_env.tools.builtin import tools_for
from vt_env.types import FrameRef, Interval


def episode_page(episode: Trajectory) -> dict[str, Any]:
    """Return an episode as JSON values; answer key and gold evidence are not part of it.

    Frames are numbered through the episode, those beside the question first: a picture's number is all that its address
    holds.
    """
    zoom = "caption_zoom" if episode.perception == "captions" else "frame_zoom"
    reader = ActionReader.for_tools(tools_for(episode.perception, "default"), zoom)
    shown = len(episode.prompt_frames)
    turns: list[dict[str, Any]] = []
    for turn in episode.turns:
        turns.append(_turn(turn, reader, shown))
        shown += len(turn.frames)
    return {
        "task_id": episode.task_id,
        "sample": episode.sample,
        "policy": episode.policy,
        "video": episode.video_handle,
        "duration_s": episode.duration_s,
        "perception": episode.perception,
        "question": episode.question,
        "options": list(episode.options),
        "prompt_text": episode.prompt_text,
        "prompt_frames": _frames(episode.prompt_frames, 0),
        "prompts": episode.prompts,
        "turns": turns,
        "cited": [[start_s, end_s] for start_s, end_s in reply_of(episode).cited],
        "remaining": _remaining(episode.remaining),
        "image_tokens": episode.image_tokens,
        "stop": str(episode.stop) if episode.stop else None,
        "limit": episode.limit,
        "invalid": episode.invalid,
        "answer": episode.answer,
        "correct": episode.correct,
        "reward": episode.reward,
        "reward_terms": dict(episode.reward_terms),
        "seed": episode.seed,
        "wall_s": episode.wall_s,
        "cost_usd": episode.cost_usd,
    }


def _turn(turn: TurnRecord, reader: ActionReader, first_frame: int) -> dict[str, Any]:
    call = turn.call
    return {
        "text": turn.text,
        "thought": reader.read(turn.text).thought,
        "call": None if call is None else {"name": call.name, "arguments": dict(call.arguments)},
        "observation": turn.observation_text,
        "frames": _frames(turn.frames, first_frame),
        "viewed": _spans(turn.viewed),
        "retrieved": _spans([line.interval for line in read_lines(turn.observation_text)])
        if call is not None and call.name.endswith("_retrieval")
        else [],
        "error": turn.error,
        "form": turn.form,
        "continues": turn.continues,
        "reply": None if turn.reply is None else _reply(turn),
        "gate": None
        if turn.gate is None
        else {"route": turn.gate.route, "text": turn.gate.text, "confidence": turn.gate.confidence,
              "tau": turn.gate.tau, "accepted": turn.gate.accepted},
    }  # fmt: skip


def _reply(turn: TurnRecord) -> Mapping[str, Any]:
    reply = turn.reply
    assert reply is not None
    return {
        "ended": str(reply.ended),
        "prompt_tokens": reply.prompt_tokens,
        "image_tokens": reply.image_tokens,
        "completion_tokens": reply.completion_tokens,
        "mean_logprob": reply.mean_logprob,
        "answer_logprob": reply.answer_logprob,
        "latency_s": reply.latency_s,
    }


def _frames(frames: Sequence[FrameRef], first: int) -> list[dict[str, Any]]:
    return [
        {"number": number, "time_s": frame.time_s, "box": None if frame.box is None else list(_corners(frame))}
        for number, frame in enumerate(frames, start=first)
    ]


def _corners(frame: FrameRef) -> tuple[float, float, float, float]:
    box = frame.box
    assert box is not None
    return box.left, box.top, box.right, box.bottom


def _spans(intervals: Sequence[Interval]) -> list[list[float]]:
    return [[it.start_s, it.end_s] for it in intervals]


def _remaining(remaining: Remaining) -> dict[str, int]:
    left = {"calls": remaining.calls, "frames": remaining.frames}
    return left if remaining.image_tokens is None else {**left, "image_tokens": remaining.image_tokens}
