"""Grounding: the actions of a caption-space trajectory are played again with frames.

VideoThinker (arXiv 2601.15724) swaps each caption for the frames of its interval. Here the swap is a replay on a fresh
episode with its own budgets. Every difference is recorded as a divergence: the turn, the expected result and the result
with frames. `unseen_caption` is an extension: the teacher's next text repeats a
caption of which no frame was shown, so it speaks of what a policy with frames has not seen. The test is literal (all
words of the caption occur in the text) and misses a paraphrase. `unsupported`, an extension too, is a model's verdict:
shown the frames, it says that they do not support the teacher's next thought.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from synth.captioner import NoCaption
from synth.filters import FilterMode
from synth.frame_files import read_pictures
from vt_env.actions.parse import ActionReader, render_actions
from vt_env.episode.episode import Episode
from vt_env.episode.perception import CaptionPerception, FramePerception
from vt_env.episode.trajectory import Trajectory, TurnRecord, record_episode
from vt_env.errors import DataError
from vt_env.prompts import PromptSet
from vt_env.protocols import Video
from vt_env.types import FrameBatch, SubtitleLine

SupportCheck = Callable[[Video, FrameBatch, str], str]
"""Judges whether frames support a thought: `"yes"`, `"no"` or `"unclear"`; `synth.captioner.Captioner.supports` is
one."""

_NOT_REPRODUCED = ("invalid", "broken_off", "error", "out_of_budget", "other_result", "other_end")
FATAL: Mapping[FilterMode, Collection[str]] = {
    "default": (*_NOT_REPRODUCED, "unseen_caption", "unsupported"),
    "paper": _NOT_REPRODUCED,
}
"""The kinds of divergence for which each filter mode drops a trajectory; the paper has no check of captions."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """Difference between a replay and its source."""

    turn_idx: int
    kind: str
    """`error` (of the action), `out_of_budget`, `fewer_frames` (the budget left fewer than a look shows),
    `other_result` (of a tool that does not look), `unseen_caption`, `unsupported`, `broken_off` (the replay ended
    earlier), `other_end` (other stop or score) or `invalid` (the data failed)."""
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the frames of a turn support the thought that follows."""

    turn_idx: int
    """The turn that showed the frames."""
    verdict: str
    """`"yes"`, `"no"`, `"unclear"`, or why there is none."""


@dataclass(frozen=True, slots=True)
class Grounded:
    """A replayed trajectory, its divergences from the source in the order of turns, and verdicts if asked for."""

    trajectory: Trajectory
    divergences: tuple[Divergence, ...]
    support: tuple[Verdict, ...] = ()

    def reason(self, mode: FilterMode) -> str | None:
        """Return the kind of the first divergence for which `mode` drops the trajectory; `None` keeps it."""
        return next((it.kind for it in self.divergences if it.kind in FATAL[mode]), None)


def ground(source: Trajectory, episode: Episode, check: SupportCheck | None = None) -> Grounded:
    """Replay a caption-space trajectory.

    Args:
        source: What the teacher did.
        episode: A fresh episode of the same task that sees frames.
        check: Judges each thought by the frames before it; `None` asks nobody.
    """
    reader = replace(episode.reader, zoom_tool=CaptionPerception.zoom_tool)
    texts = [_with_frames(turn.text, reader) for turn, *_ in source.by_reply]
    # Where the data fails, the episode keeps the reason, and with it the record is marked invalid.
    with suppress(DataError):
        episode.start()
        for text in texts:
            if episode.stop is None:
                episode.apply(*episode.actions(text))
    replayed = record_episode(episode, texts, policy=source.policy, seed=source.seed, sample=source.sample)
    support = () if check is None or replayed.invalid else tuple(_verdicts(replayed, episode, check))
    unsupported = (
        Divergence(it.turn_idx, "unsupported", "frames that support the next thought", it.verdict)
        for it in support
        if it.verdict == "no"
    )
    found = [*_divergences(source, replayed, episode), *unsupported]
    return Grounded(replayed, tuple(sorted(found, key=lambda it: it.turn_idx)), support)


def ground_unopened(source: Trajectory, reason: str) -> Grounded:
    """Record a trajectory whose video can no longer be opened for the replay."""
    replayed = replace(source, perception=FramePerception.name, turns=(), stop=None, correct=None, invalid=reason)
    return Grounded(replayed, (Divergence(0, "invalid", "a readable video", reason),))


def _verdicts(replayed: Trajectory, episode: Episode, check: SupportCheck) -> Iterator[Verdict]:
    for turn_idx, turn in enumerate(replayed.turns):
        thought = episode.reader.read(_next_text(replayed.turns, turn_idx)).thought
        if turn.frames and thought:
            pictures = np.stack(read_pictures(episode.video, turn.frames))
            frames = FrameBatch(pictures, np.array([frame.time_s for frame in turn.frames], dtype=np.float64))
            try:
                yield Verdict(turn_idx, check(episode.video, frames, thought))
            except NoCaption as reason:
                yield Verdict(turn_idx, str(reason))


def _with_frames(text: str, reader: ActionReader) -> str:
    """Rewrite the looks at captions of a reply as looks at frames; thoughts stay."""
    calls = reader.read(text).calls
    if not any(call.name == CaptionPerception.zoom_tool for call in calls):
        return text
    zoom = FramePerception.zoom_tool
    return render_actions(replace(it, name=zoom) if it.name == CaptionPerception.zoom_tool else it for it in calls)


def _next_text(turns: Sequence[TurnRecord], turn_idx: int) -> str:
    """Return the reply that was written after a turn's result was seen; empty behind the last."""
    return next((turn.text for turn in turns[turn_idx + 1 :] if not turn.continues), "")


def _divergences(source: Trajectory, replayed: Trajectory, episode: Episode) -> Iterator[Divergence]:
    captions, frames_per_zoom = episode.video.captions or (), episode.config.budget.frames_per_zoom
    prompts = episode.config.prompts
    left = replayed.remaining.frames + len(replayed.frames) - len(replayed.prompt_frames)
    for turn_idx, (expected, got) in enumerate(zip(source.turns, replayed.turns, strict=False)):
        if got.error != expected.error:
            kind = "out_of_budget" if got.error == "over_budget" else "error"
            yield Divergence(turn_idx, kind, expected.error or expected.observation_text, got.observation_text)
        elif not got.frames and got.error is None and _result(got, prompts) != _result(expected, prompts):
            yield Divergence(turn_idx, "other_result", _result(expected, prompts), _result(got, prompts))
        elif got.frames and len(got.frames) == left < (wanted := _frames_wanted(got, frames_per_zoom)):
            yield Divergence(turn_idx, "fewer_frames", f"{wanted} frames", f"{left}, all that was left")
        left -= len(got.frames)
        next_text = _next_text(replayed.turns, turn_idx)
        for line in _unseen(got, captions):
            if set() < _words(line.text) <= _words(next_text):
                times = " ".join(f"{frame.time_s:g}" for frame in got.frames)
                yield Divergence(turn_idx, "unseen_caption", f"{line.interval} {line.text}", f"frames at {times} s")
    yield from _end_divergences(source, replayed)


def _frames_wanted(turn: TurnRecord, frames_per_zoom: int) -> int:
    """Return how many frames a look asked for; only adaptive zooms say it."""
    said = None if turn.call is None else turn.call.arguments.get("frames")
    return int(said) if isinstance(said, int | float) else frames_per_zoom


def _end_divergences(source: Trajectory, replayed: Trajectory) -> Iterator[Divergence]:
    end_idx = len(replayed.turns)
    if replayed.invalid is not None:
        yield Divergence(end_idx, "invalid", "a readable video", replayed.invalid)
    elif end_idx < len(source.turns):
        yield Divergence(end_idx, "broken_off", source.turns[end_idx].text, str(replayed.stop))
    elif (source.stop, source.correct) != (replayed.stop, replayed.correct):
        ends = [f"{it.stop}, correct={it.correct}" for it in (source, replayed)]
        yield Divergence(end_idx - 1, "other_end", *ends)


def _unseen(turn: TurnRecord, captions: Sequence[SubtitleLine]) -> list[SubtitleLine]:
    """Return the captions of the intervals that a turn looked at, less those on screen in a frame it was shown."""
    if not turn.frames:
        return []
    read = [line for line in captions if any(line.interval.overlap_s(viewed) > 0 for viewed in turn.viewed)]
    return [line for line in read if not any(line.interval.contains(frame.time_s) for frame in turn.frames)]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def _result(turn: TurnRecord, prompts: PromptSet) -> str:
    """Return what a tool returned, without the words on what is left: budgets differ between captions and frames."""
    return prompts.without_budget(turn.observation_text)
