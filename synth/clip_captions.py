"""Captions of a whole video, written clip by clip by a model that knows no question.

    video ──► clips of 10 s ──► frames of each ──► one request a clip ──► timed captions

The captions of VideoThinker (arXiv 2601.15724) are of 10-second clips; the paper conditions those of a look on the
question, these are written before any is asked.
"""

from dataclasses import dataclass
from math import ceil

from agents.backends.chat_wire import ChatReply, ChatRequest, Completer, ReplyStatus
from agents.backends.sampling import Sampling
from synth.captioner import caption_prompt
from vt_env.actions.thoughts import said_text
from vt_env.episode.messages import message
from vt_env.episode.perception import moments
from vt_env.errors import DataError
from vt_env.protocols import Video
from vt_env.timed_lines import Caption
from vt_env.types import Interval

_NO_CAPTION = (ReplyStatus.TRUNCATED, ReplyStatus.REFUSED)
"""Outcomes that leave a clip without a caption; others end the run, and the same command asks again."""


@dataclass(frozen=True)
class ClipCaptioning:
    """How clips are described."""

    clip_s: float = 10.0
    """Length of a clip in seconds; the last one of a video may be shorter."""
    frames: int = 8
    """Frames shown of a clip, at the middles of equal parts."""
    prompt: str = ""
    """What the model is asked; by default the plain prompt of `synth.captioner`."""
    max_tokens: int = 256
    """Length at which a caption is cut off; such a one is not used."""


def clips_of(duration_s: float, clip_s: float) -> list[Interval]:
    """Divide a video into clips of equal length, the last one shorter where it must be."""
    count = ceil(round(duration_s / clip_s, 9))
    return [Interval(clip_s * idx, min(clip_s * (idx + 1), duration_s)) for idx in range(count)]


def caption_clips(video: Video, completer: Completer, how: ClipCaptioning) -> list[Caption]:
    """Describe every clip of a video; a clip without a usable caption is left out.

    Raises:
        DataError: A request failed, or no clip has a caption.
    """
    clips = clips_of(video.duration_s, how.clip_s)
    replies = completer.complete_each(_request(video, clip, how) for clip in clips)
    texts = [_text(reply) for reply in replies]
    lines = [Caption(clip, text) for clip, text in zip(clips, texts, strict=True) if text]
    if not lines:
        raise DataError(
            f"video {video.ref.handle}: the model wrote no usable caption of {len(clips)} clips; "
            "raise --max-tokens or give another --model"
        )
    return lines


def _request(video: Video, clip: Interval, how: ClipCaptioning) -> ChatRequest:
    frames = video.frames_at(moments(clip, how.frames))
    prompt = how.prompt or caption_prompt(None, frames)
    sampling = Sampling(temperature=0.0, max_new_tokens=how.max_tokens)
    return ChatRequest([message("user", prompt, frames.data)], sampling=sampling)


def _text(reply: ChatReply) -> str:
    if reply.status is ReplyStatus.OK:
        return " ".join(said_text(reply.text).split())
    if reply.status in _NO_CAPTION:
        return ""
    raise DataError(f"captioner {reply.status}: {reply.error}; run the same command again to go on")
