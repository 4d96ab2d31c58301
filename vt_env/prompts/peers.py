"""Prompt sets in which public video agents play: their tools, tags, times and answers, in our own words.

Each speaks the protocol that its agent was trained on, read from the repository that is named; no text is theirs.
Tools are shown with the names and arguments that the checkpoint knows, and its calls are read by
`vt_env.actions.dialects`. A checkpoint's own prompt, word for word, is given as a file with `base`
(`vt_env.prompts.load`).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vt_env.prompts.default import DEFAULT
from vt_env.prompts.prompt_set import PromptSet

_UNREAD = "Your reply could not be parsed: {problem}."
_THINK = "Write your reasoning between <think> and </think>"
_ANSWER = "the letter of the option between <answer> and </answer>"
_ROLE = "You answer a multiple-choice question about a long video from frames of it."


def _schema(name: str, description: str, properties: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """Make a JSON schema whose arguments are all required; `properties` has a type and a description by name."""
    described = {key: {"type": kind, "description": text} for key, (kind, text) in properties.items()}
    parameters = {"type": "object", "properties": described, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


_CROP = _schema(
    "crop_video",
    "Look at frames of a part of the video.",
    {
        "video_path": ("string", "Path of the video file."),
        "start_time": ("number", "Start in seconds."),
        "end_time": ("number", "End in seconds."),
    },
)
_SELECT = _schema(
    "frame_select",
    "Look at frames of a part of the video.",
    {
        "start_time": ("number", "Start in seconds."),
        "end_time": ("number", "End in seconds."),
        "nframes": ("integer", "Number of frames."),
        "resize": ("number", "Size of the frames as a share of the video's."),
    },
)


def _peer(name: str, system: str, unread: str, role: str = _ROLE, **changes: Any) -> PromptSet:
    """Make a set: the role and how to reply in the system message, the question, then results one after the other."""
    texts = {
        "system": f"{role} {system}",
        "system_without_tools": f"{role} {_THINK}, then {_ANSWER}.",
        "opening": (
            "Question: {question}\nOptions:\n{options}\nThe video is {duration} (mm:ss), {seconds} seconds, long. "
            "{budget}"
        ),
        "result": "{result}\n{budget}",
        "budget_spent": "No look is left. Write your final answer now.",
        "malformed": f"{_UNREAD} {unread}",
        "malformed_without_tools": f"{_UNREAD} Write {_ANSWER}.",
    }
    return replace(DEFAULT, name=name, version=1, **{**texts, **changes})


_IN_JSON = f"{_THINK}; then either call the tool or write {_ANSWER}."

LONGVT = _peer(
    "longvt",
    f"The path of the video is video.mp4. {_IN_JSON}",
    f"Call crop_video, or write {_ANSWER}.",
    frames="Frames at these seconds: {times}.",
    times="seconds",
    tool_schemas={"frame_zoom": _CROP},
)
"""LongVT (arXiv 2511.20785), EvolvingLMMs-Lab/LongVT at 08d755b, `examples/eval/single_inference.py`."""

PARAVT = replace(
    LONGVT,
    name="paravt",
    system=(
        f"{_ROLE} The path of the video is video.mp4. You may call the tool several times in one reply, for parts of "
        f"the video that you look at side by side. {_IN_JSON}"
    ),
)
"""ParaVT (arXiv 2605.20342), EvolvingLMMs-Lab/ParaVT at cf55249, `paravt/eval/driver.py`."""

EVA = _peer(
    "eva",
    f"Before each look, plan what to look at, when, and how closely. {_IN_JSON}",
    f"Call frame_select, or write {_ANSWER}.",
    tool_schemas={"frame_zoom": _SELECT},
)
"""EVA (arXiv 2603.22918), wangruohui/EfficientVideoAgent at 758ad8d, `eval-eva.py`."""

VIDEOZOOMER = _peer(
    "videozoomer",
    "To see a part of the video at a higher rate, write its start and end in seconds and a rate as JSON, such as "
    '<video_zoom> {{"segment": [4.0, 6.0], "fps": 2}} </video_zoom>, and nothing behind it. '
    f"{_THINK}; then either zoom, or answer with the letter of the option in \\boxed{{{{}}}} between <answer> and "
    "</answer>.",
    'Zoom, such as <video_zoom> {{"segment": [4.0, 6.0], "fps": 2}} </video_zoom>, or answer with the letter of the '
    "option in \\boxed{{}} between <answer> and </answer>.",
    frames="The frames of the clip, at these seconds: {times}.",
    opening_frames="The frames of the whole video, at these seconds: {times}.",
    calls="text",
    times="seconds",
)
"""VideoZoomer (arXiv 2512.22315), zsgvivo/VideoZoomer at 5638153, `scripts/video_eval/tool_call_infer.py`."""

FRAMETHINKER = _peer(
    "framethinker",
    f"{_THINK}, then one action between <action> and </action>: `choose frames between START and END` with two frame "
    "numbers, `get frame number at time MM:SS`, or `output answer: X` with the letter of the option. Frames are "
    "numbered by the second.",
    "Write one action between <action> and </action>: choose frames between START and END, get frame number at time "
    "MM:SS, or output answer: and the letter of the option.",
    frames="frame {times}",
    opening_frames="frame {times}",
    budget_spent="No look is left. Output your answer now.",
    system_without_tools=f"{_ROLE} {_THINK}, then `output answer: X` between <action> and </action>.",
    calls="text",
    times="seconds",
)
"""FrameThinker (arXiv 2509.24304), lcqysl/FrameThinker-RL at 3c917f3, `examples/agent/infer.py`."""

VIDEO_MTR = _peer(
    "video-mtr",
    f"{_THINK} first in every turn. Then either ask for more frames of a range, as two frame numbers such as "
    f"<retrieve>5,10</retrieve>, or write {_ANSWER}. Frames are numbered by the second.",
    f"Write two frame numbers such as <retrieve>5,10</retrieve>, or {_ANSWER}.",
    frames="frame_idx: {times}",
    opening_frames="frame_idx: {times}",
    calls="text",
    times="seconds",
)
"""Video-MTR, Xyuan13/Video-MTR at b7d1234, `vagen/env/video/prompt.py`."""

LONGVIDEO_R1 = _peer(
    "longvideo-r1",
    "The video is divided into high-level segments, each of these into as many medium-level ones, and each of those "
    f"into as many low-level ones, all numbered from 1. {_THINK}; then either read the captions of a segment by its "
    "numbers, such as <tool>get_caption((2,3))</tool> or <tool>get_caption((2,3,1))</tool>, or ask about a low-level "
    f'segment, such as <tool>video_qa((2,3,1), "What is on the table?")</tool>, or write {_ANSWER}.',
    f"Write a call such as <tool>get_caption((2,3))</tool>, or {_ANSWER}.",
    role="You answer a multiple-choice question about a long video from captions of its segments.",
    calls="text",
)
"""LongVideo-R1 (arXiv 2602.20913), qiujihao19/LongVideo-R1 at 77c87ec, `eval/constant.py`."""

PEERS: tuple[PromptSet, ...] = (LONGVT, PARAVT, EVA, VIDEOZOOMER, FRAMETHINKER, VIDEO_MTR, LONGVIDEO_R1)
"""One set for each public agent."""
