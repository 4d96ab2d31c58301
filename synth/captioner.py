"""Captions of what a look shows, by a vision-language model: the paper's `CaptionZoom`.

A caption is of the very frames that `frame_zoom` would return, so a replay with frames shows what was described. Each
is made once for a video, its frames, a model and a prompt, and kept on disk; a run that goes on, and every other run,
reads it there.
"""

import threading
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from agents.backends.chat_wire import ChatRequest, Complete, ReplyStatus, Usage
from agents.backends.sampling import Sampling
from synth.frame_files import picture_hash
from vt_env.actions.thoughts import said_text
from vt_env.episode.messages import message
from vt_env.errors import DataError
from vt_env.jsonl import append_line, decode_record, drop_torn_line, encode_record, read_jsonl
from vt_env.media.cache.build_once import cache_key, content_hash
from vt_env.prompts import frame_time
from vt_env.protocols import Video
from vt_env.types import Box, FrameBatch

CaptionStyle = Literal["question", "plain"]

_QUESTION_PROMPT = (
    "These are frames of a video at {times}.\nQuestion: {question}\nDescribe the visual evidence in them that helps to "
    "answer the question. If there is none, sum up objectively what they show. Do not answer the question."
)
_PLAIN_PROMPT = (
    "These are frames of a video at {times}. Sum up objectively what they show, with every text you can read."
)
_SUPPORT_PROMPT = (
    "These are frames of a video at {times}.\nSomeone who was shown them writes: {thought}\nLeave aside what the text "
    "says about earlier looks and plans. Does what these frames show support it? Answer yes or no."
)
PROMPT_VERSION = 1
"""Counts up with every change of the wording above; part of every key."""


def caption_prompt(question: str | None, frames: FrameBatch) -> str:
    """Write what a captioner is asked.

    Args:
        question: Conditions the caption, as in the paper; the question alone, without options. `None` asks for a plain
            one.
        frames: What is described; their times are named.
    """
    times = " ".join(frame_time(time_s) for time_s in frames.pts_s)
    return (
        _PLAIN_PROMPT.format(times=times)
        if question is None
        else _QUESTION_PROMPT.format(times=times, question=question)
    )


class NoCaption(DataError):
    """The captioner gave no usable reply: to an episode, a video that cannot be looked at."""


@dataclass(frozen=True, slots=True)
class CaptionCounts:
    """Number of captions, and token usage of those that were made."""

    made: int = 0
    cached: int = 0
    used: Usage = field(default_factory=Usage)


class Captioner:
    """Describes frames with a model, and remembers.

    Args:
        complete: Asks the model.
        model: Its name, part of every key.
        folder: Where captions are kept.
        style: `"question"` conditions captions on the question, as in the paper; `"plain"` does not.
        max_tokens: Length at which a caption is cut off; such a one is not used.
    """

    def __init__(
        self, complete: Complete, model: str, folder: Path, style: CaptionStyle = "question", max_tokens: int = 256
    ) -> None:
        self.model, self.style = model, style
        self._complete, self._folder, self._max_tokens = complete, folder, max_tokens
        self._lock = threading.Lock()
        self._making: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._files: dict[Path, dict[str, str]] = {}
        self.counts = CaptionCounts()
        """Counts of this captioner in this process."""

    def caption(self, video: Video, frames: FrameBatch, question: str, box: Box | None = None) -> str:
        """Describe frames of a video.

        Args:
            video: Whose they are.
            frames: What was looked at, uint8[N, H, W, 3].
            question: The question of the episode; not used by the plain style.
            box: The part of the frame that they show.

        Raises:
            NoCaption: The model gave no usable one.
        """
        prompt = caption_prompt(question if self.style == "question" else None, frames)
        text = self._ask(video, frames, prompt, box)
        if not text:
            raise NoCaption("captioner wrote nothing besides thoughts: raise --captions.max-tokens or turn them off")
        return text

    def supports(self, video: Video, frames: FrameBatch, thought: str) -> str:
        """Ask whether frames support what was written after them.

        Returns: `"yes"`, `"no"`, or `"unclear"` for any other reply.

        Raises:
            NoCaption: The model gave no usable reply.
        """
        times = " ".join(frame_time(time_s) for time_s in frames.pts_s)
        reply = self._ask(video, frames, _SUPPORT_PROMPT.format(times=times, thought=thought), None)
        word = "".join(letter for letter in reply.split()[0].casefold() if letter.isalpha()) if reply.split() else ""
        return word if word in ("yes", "no") else "unclear"

    def _ask(self, video: Video, frames: FrameBatch, prompt: str, box: Box | None) -> str:
        path = self._folder / f"{self._video_key(video)}.jsonl"
        key = cache_key(
            prompt=prompt,
            times_s=frames.pts_s.tolist(),
            pixels=picture_hash(frames.data),
            box=None if box is None else asdict(box),
        )
        with self._making_of(f"{path.name}/{key}"):
            known = self._captions(path).get(key)
            if known is None:
                text, used = self._make(frames, prompt)
                if text:
                    self._keep(path, key, prompt, text, used)
            else:
                text, used = known, Usage()
        with self._lock:
            before = self.counts
            is_new = known is None
            self.counts = CaptionCounts(before.made + is_new, before.cached + (not is_new), before.used + used)
        return text

    def _make(self, frames: FrameBatch, prompt: str) -> tuple[str, Usage]:
        sampling = Sampling(temperature=0.0, max_new_tokens=self._max_tokens)
        reply = self._complete(ChatRequest([message("user", prompt, frames.data)], sampling=sampling))
        if reply.status is not ReplyStatus.OK:
            raise NoCaption(f"captioner {reply.status}: {reply.error}")
        return " ".join(said_text(reply.text).split()), reply.usage

    def _making_of(self, name: str) -> threading.Lock:
        # Two attempts that look at the same frames at once pay once.
        with self._lock:
            return self._making[name]

    def _video_key(self, video: Video) -> str:
        return cache_key(
            video=content_hash(Path(video.ref.path)) if Path(video.ref.path).exists() else video.ref.handle,
            model=self.model,
            prompt=PROMPT_VERSION,
            max_tokens=self._max_tokens,
        )

    def _captions(self, path: Path) -> dict[str, str]:
        with self._lock:
            if path not in self._files:
                self._files[path] = _read(path)
            return self._files[path]

    def _keep(self, path: Path, key: str, prompt: str, text: str, used: Usage) -> None:
        with self._lock:
            path.parent.mkdir(parents=True, exist_ok=True)
            append_line(path, encode_record(_KeptCaption(key, prompt, text, used)))
            self._files[path][key] = text


@dataclass(frozen=True, slots=True)
class _KeptCaption:
    """One line of a file of captions."""

    key: str
    prompt: str
    text: str
    used: Usage


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    drop_torn_line(path)
    decode = partial(decode_record, kind=_KeptCaption)
    kept = read_jsonl(path, decode, remedy="delete the file to caption anew")
    # Earlier versions kept thoughts, and captions without a word.
    return {it.key: it.text for it in kept if it.text and it.text == said_text(it.text)}
