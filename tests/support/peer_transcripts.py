"""One episode as a checkpoint of each public video agent writes it; the texts are ours, the forms are theirs.

The sources are named in `vt_env.prompts.peers` and `docs/peers.md`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PeerTranscript:
    """Replies of a checkpoint and the calls that they are."""

    protocol: str
    replies: Sequence[str]
    calls: Sequence[tuple[str, Mapping[str, object]]]
    """Names and arguments of the calls as they are recorded."""
    shown: Sequence[str]
    """Tools that its chat template lists."""
    perception: str = "frames"


_CROP = (
    '<tool_call>\n{"name": "crop_video", "arguments": {"video_path": "video.mp4", "start_time": 320, "end_time": 330}}'
)
_ZOOM = ("frame_zoom", {"start_s": 320, "end_s": 330})

PEER_TRANSCRIPTS = (
    PeerTranscript(
        "longvt",
        (
            f"<think>The square may be near the middle.</think>\n{_CROP}\n</tool_call>",
            "<think>It shows 47.</think>\n<answer>B</answer>",
        ),
        (_ZOOM,),
        ("crop_video",),
    ),
    PeerTranscript(
        "paravt",
        (
            f"<think>Two parts.</think>\n{_CROP}\n</tool_call>\n<tool_call>\n"
            '{"name": "crop_video", "arguments": {"video_path": "video.mp4", "start_time": 90, "end_time": 100.5}}\n'
            "</tool_call>",
            '<think>Once more.</think>\n<tool_code>\ncrop_video(video_path="video.mp4", start_time=320, end_time=330)\n'
            "</tool_code>",
            "<think>It shows 47.</think>\n<answer>B. 47</answer>",
        ),
        (_ZOOM, ("frame_zoom", {"start_s": 90, "end_s": 100.5}), _ZOOM),
        ("crop_video",),
    ),
    PeerTranscript(
        "eva",
        (
            "Summary: nothing was seen. Plan: look at two parts.\n<tool_call>"
            '{"tool": "frame_select", "arguments": {"start_time": 0, "end_time": 60, "nframes": 8, "resize": 0.25}}\n'
            '{"tool": "frame_select", "parameters": {"start_time": 320, "end_time": 330, "nframes": 4, "resize": 1.0}}'
            "</tool_call>",
            "Reflection: the second part shows it.\n<answer>B</answer>",
        ),
        (("frame_zoom", {"start_s": 0, "end_s": 60}), _ZOOM),
        ("frame_select",),
    ),
    PeerTranscript(
        "videozoomer",
        (
            "<think>The motion is too fast to be seen.</think><video_zoom> "
            '{"segment": [320.0, 330.0], "fps": 1} </video_zoom>',
            "<think>It shows 47.</think>\n<answer>\\boxed{B}</answer>",
        ),
        (_ZOOM,),
        (),
    ),
    PeerTranscript(
        "framethinker",
        (
            "<think>When is 05:20?</think>\n<action>get frame number at time 05:20</action>",
            "<think>From 320 on.</think>\n<action>choose frames between 320 and 330</action>",
            "<think>It shows 47.</think>\n<action>output answer: B</action>",
        ),
        (("frame_number", {"time_s": 320}), _ZOOM),
        (),
    ),
    PeerTranscript(
        "video-mtr",
        (
            "<think>Hmm, the middle is missing.</think><retrieve>320,330</retrieve>",
            "<think>Once more.</think><retrive>320, 330</retrive>",
            "<think>It shows 47.</think><answer>B</answer>",
        ),
        (_ZOOM, _ZOOM),
        (),
    ),
    PeerTranscript(
        "longvideo-r1",
        (
            "<think>The third part.</think>\n<tool>get_caption((3,1))</tool>",
            '<think>More closely.</think>\n<tool>video_qa((3,1,2), "Which number is beside the red square?")</tool>',
            "<think>It shows 47.</think>\n<answer>B</answer>",
        ),
        (
            ("get_caption", {"segment": [3, 1]}),
            ("video_qa", {"segment": [3, 1, 2], "query": "Which number is beside the red square?"}),
        ),
        (),
        "captions",
    ),
)
"""One transcript an agent."""
