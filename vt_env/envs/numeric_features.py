"""Feature vector of an episode for policies without language: a fixed number of values from tool results.

Computed from the question, the options, and the texts and frames of observations, which a language model gets too, so
they hold no more information: nothing here sees an episode, a video or an answer key.
Vectors come from encoders; matches are shares of words, which cost microseconds. All of it is our choice: the paper's
policies are language models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from hashlib import blake2b
from itertools import accumulate
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vt_env.config import at_least
from vt_env.errors import ConfigError
from vt_env.media.search.encoders import ClipEncoder, ColourNameEncoder, TextEncoder, Vectors
from vt_env.media.text.bm25 import FUNCTION_WORDS, words_of
from vt_env.types import Interval, Observation, TimedLine

KINDS = ("start", "clips", "subtitles", "summary", "candidate", "neighbour", "around", "failed")
"""Kinds of the last action, one-hot."""

ActionForm = Literal["discrete", "multi_discrete"]

_CANDIDATE_SIZE = 7
_OPTION_SIZE = 5


@dataclass(frozen=True)
class HashedWords:
    """Counts words in hashed places: it knows no meaning, needs no model and is the same on every machine.

    Source: signed feature hashing, Weinberger et al., "Feature Hashing for Large Scale Multitask Learning" (2009).
    """

    dim: int = 32
    """Length of the vectors; words share places where it is small."""

    @property
    def key(self) -> str:
        """Identifier of the encoder and its version."""
        return f"hashed-words-1-{self.dim}"

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return float32[N, dim], rows of length 1; all 0 for a text without a word."""
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word in words_of(text):
                place, sign = _hashed(word)
                vector[place % self.dim] += sign
            vector /= max(1e-6, float(np.linalg.norm(vector)))
        return vectors


@cache
def _hashed(word: str) -> tuple[int, int]:
    number = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
    return number >> 1, 1 if number & 1 else -1


@dataclass(frozen=True)
class NumericConfig:
    """Number of macro-actions and encoders of their results."""

    candidates: int = 4
    """Results of a search that can be looked at, each by its own action."""
    actions: ActionForm = "discrete"
    """Whether an action is one number, or two: what to do, and which result or option to do it to."""
    text_encoder: TextEncoder = HashedWords()
    """Encodes the question and the texts that were read."""
    frame_encoder: ClipEncoder = field(default_factory=ColourNameEncoder)
    """Encodes frames, and question and options for comparison with frames. The default knows colour names alone."""

    def __post_init__(self) -> None:
        at_least(self, "numeric.candidates", 1)
        for name in ("text_encoder", "frame_encoder"):
            if getattr(type(getattr(self, name)), "__hash__", None) is None:
                raise ConfigError(f"numeric.{name}: it cannot be hashed; if it is a dataclass, make it frozen")
        if self.actions not in get_args(ActionForm):
            raise ConfigError(f"numeric.actions={self.actions!r}: allowed are {', '.join(get_args(ActionForm))}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place that the last search named."""

    interval: Interval
    is_line: bool
    """Whether it is a subtitle; else it is a clip."""
    score: float
    """A clip's score; a subtitle's reciprocal rank, since its score is not shown."""
    match: float
    """Share of the question's words in the subtitle; 0 for a clip."""
    found: float = 0.0
    """The most of the question's words in one line that was read there."""
    looked: bool = False


class Features:
    """Feature vector of one episode, updated with every observation.

    Args:
        question: As the policy is shown it.
        options: As the policy is shown them.
        config: Encoders and the number of candidates.
        option_count: Options of the task that has the most.
    """

    def __init__(self, question: str, options: Sequence[str], config: NumericConfig, option_count: int) -> None:
        self.candidates: tuple[Candidate, ...] = ()
        """Of the last search, the best first."""
        self._config = config
        self._question = question
        words = dict.fromkeys(words_of(question))
        self._wanted = tuple(word for word in words if word not in FUNCTION_WORDS) or tuple(words)
        self._options = [tuple(dict.fromkeys(words_of(option))) for option in options]
        self._option_vectors = np.array([_encoded(config.frame_encoder, option) for option in options])
        self._vector = np.zeros(feature_count(config, option_count), dtype=np.float32)
        self._at = feature_slices(config, option_count)
        self._texts, self._views = 0, 0
        self._vector[self._at["question_text"]] = _encoded(config.text_encoder, question)
        self._vector[self._at["question_frames"]] = _encoded(config.frame_encoder, question)
        self._table("options")[: len(options), 0] = 1.0

    def vector(self) -> NDArray[np.float32]:
        """Return all features, float32[D] in [-1, 1]; the caller may write to it."""
        return np.clip(self._vector, -1.0, 1.0)

    def see(self, kind: str, observation: Observation, left: tuple[float, float], looked_at: int | None = None) -> None:
        """Take in what an action led to.

        Args:
            kind: One of `KINDS`.
            observation: What came back.
            left: Share of calls and of frames that is left.
            looked_at: The candidate that was looked at.
        """
        self._vector[self._at["budget"]] = left
        last = np.zeros(len(KINDS), dtype=np.float32)
        last[KINDS.index(kind)] = 1.0
        self._vector[self._at["last_kind"]] = last
        # The question and the words of an error are not what a tool has found.
        lines = () if kind in ("start", "failed") else observation.lines
        is_search = kind in ("clips", "subtitles", "summary")
        if is_search:
            self.candidates = self._found(lines, kind == "clips")
        # A clip's line holds no word of the video.
        self._read(() if kind == "clips" else lines, looked_at)
        self._look(observation)
        self._write_candidates()

    def _found(self, lines: Sequence[TimedLine], are_clips: bool) -> tuple[Candidate, ...]:
        found: list[Candidate] = []
        for rank, line in enumerate(lines[: self._config.candidates], start=1):
            score = (line.score or 0.0) if are_clips else 1 / rank
            found.append(Candidate(line.interval, not are_clips, score, 0.0 if are_clips else self._match(line.text)))
        return tuple(found)

    def _read(self, lines: Sequence[TimedLine], looked_at: int | None) -> None:
        """Compare each line with the question and the options."""
        place = None if looked_at is None else self.candidates[looked_at]
        options = self._table("options")
        options[:, 1] = 0.0
        best = 0.0
        for line in lines:
            said = set(words_of(line.text))
            match = _share(self._wanted, said)
            best = max(best, match)
            # A line that a subtitle led to answers what the subtitle was found for.
            relevance = match if place is None else max(match, place.match)
            for idx, words in enumerate(self._options):
                share = _share(words, said)
                options[idx, 1] = max(options[idx, 1], share)
                options[idx, 2] = max(options[idx, 2], share)
                options[idx, 3] = max(options[idx, 3], share * relevance)
        self._vector[self._at["last_match"]] = best
        text = _encoded(self._config.text_encoder, " ".join(line.text for line in lines))
        self._texts = self._averaged("last_text", "all_texts", text, self._texts, is_new=bool(lines))
        if looked_at is not None and place is not None:
            seen = replace(place, looked=True, found=max(place.found, best))
            self.candidates = (*self.candidates[:looked_at], seen, *self.candidates[looked_at + 1 :])

    def _look(self, observation: Observation) -> None:
        """Compare the frames with the question and the options."""
        frames, encoder = observation.frames, self._config.frame_encoder
        view = np.zeros(encoder.dim, dtype=np.float32)
        if frames is not None:
            view = encoder.encode_frames(frames).mean(axis=0)
            options = self._table("options")[: len(self._options), 4]
            np.maximum(options, self._option_vectors @ view, out=options)
        self._vector[self._at["last_frames_match"]] = view @ self._vector[self._at["question_frames"]]
        self._views = self._averaged("last_frames", "all_frames", view, self._views, is_new=frames is not None)

    def _averaged(self, last: str, average: str, vector: Vectors, count: int, *, is_new: bool) -> int:
        """Write a vector and the running average of all of its kind; return how many there are now."""
        self._vector[self._at[last]] = vector
        if is_new:
            count += 1
            self._vector[self._at[average]] += (vector - self._vector[self._at[average]]) / count
        return count

    def _write_candidates(self) -> None:
        table = self._table("candidates")
        table[:] = 0.0
        for row, it in zip(table, self.candidates, strict=False):
            # An hour is as far as this feature tells times apart.
            place = min(1.0, it.interval.start_s / 3600)
            row[:] = (1.0, float(it.is_line), it.score, it.match, float(it.looked), it.found, place)

    def _match(self, text: str) -> float:
        return _share(self._wanted, set(words_of(text)))

    def _table(self, name: str) -> NDArray[np.float32]:
        """Return a view of the features with a row a candidate or an option."""
        width = {"candidates": _CANDIDATE_SIZE, "options": _OPTION_SIZE}[name]
        return self._vector[self._at[name]].reshape(-1, width)


def feature_slices(config: NumericConfig, option_count: int) -> Mapping[str, slice]:
    """Tell where in the vector each group of features lies, in order."""
    text_dim, frame_dim = config.text_encoder.dim, config.frame_encoder.dim
    sizes = {
        "question_text": text_dim,
        "question_frames": frame_dim,
        "last_kind": len(KINDS),
        "last_match": 1,
        "last_frames_match": 1,
        "last_text": text_dim,
        "all_texts": text_dim,
        "last_frames": frame_dim,
        "all_frames": frame_dim,
        "candidates": _CANDIDATE_SIZE * config.candidates,
        "options": _OPTION_SIZE * option_count,
        "budget": 2,
    }
    ends = accumulate(sizes.values())
    return {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}


def feature_count(config: NumericConfig, option_count: int) -> int:
    """Length of the vector."""
    return feature_slices(config, option_count)["budget"].stop


@lru_cache(maxsize=4096)
def _encoded(encoder: TextEncoder, text: str) -> Vectors:
    """Encode a text, or read what it was encoded to: the attempts at one question see the same texts."""
    vector = np.array(encoder.encode_texts([text])[0], dtype=np.float32)
    vector.flags.writeable = False
    return vector


def _share(wanted: Sequence[str], said: set[str]) -> float:
    return sum(word in said for word in wanted) / max(1, len(wanted))
