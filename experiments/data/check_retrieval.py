"""Recall of clip retrieval on indexed videos, measured with planted queries of known answer.

There are two kinds of query. Words: clips of one plain colour each are added to the video's own, and the name of a
colour must find its clip; this tests whether texts and images share an embedding space. Frames: the embedding of a
clip's middle frame must find that clip; this tests whether the encoder distinguishes the clips of this video. Chance is
the expected recall of a random ranking.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.data.video_paths import video_ref
from vt_env.errors import ConfigError
from vt_env.media.library import Video, VideoLibrary
from vt_env.media.search.choose_encoder import HOW_TO_SEARCH
from vt_env.media.search.clip_index import ClipIndex
from vt_env.media.search.encoders import Vectors
from vt_env.types import FrameBatch

TOP_K = 3
MAX_FRAMES = 64
"""Maximum number of frame queries per video, spread evenly."""
COLOURS = {
    "red": (220, 20, 30), "orange": (250, 140, 20), "yellow": (250, 230, 30), "green": (30, 160, 50),
    "cyan": (20, 220, 230), "blue": (30, 60, 220), "purple": (130, 20, 150), "pink": (250, 110, 180),
}  # fmt: skip
_TIE = 1e-6
"""Scores closer than this are ties: float32 inner products of unit vectors differ by as much between builds."""


@dataclass(frozen=True)
class Recall:
    """Recall at `TOP_K` of the planted queries of one video."""

    kind: str
    """`words` or `frames`."""
    found: float
    """Queries whose clip is found; a tie counts with the probability of a fair draw."""
    planted: int
    """Number of queries."""
    chance: float
    """Expected recall of a random ranking."""

    @property
    def share(self) -> float:
        """Recall: found over planted."""
        return self.found / self.planted

    @property
    def is_near_chance(self) -> bool:
        """Whether recall is less than a quarter of the way from chance to 1."""
        return self.share < self.chance + (1 - self.chance) / 4


def check_clips(paths: Sequence[Path], library: VideoLibrary) -> bool:
    """Print the recall on each video; return whether all are clearly above chance.

    Raises:
        ConfigError: The pictures of a video are not searched.
    """
    is_above_chance = True
    for path in paths:
        for recall in plant(library.open(video_ref(path))):
            is_above_chance &= not recall.is_near_chance
            print(
                f"{path}: {recall.found:.3g} of {recall.planted} planted {recall.kind} found among the best {TOP_K} "
                f"(recall {recall.share:.2f}, chance {recall.chance:.2f})"
                + (": NEAR CHANCE, do not trust clip retrieval with this encoder here" * recall.is_near_chance)
            )
    return is_above_chance


def plant(video: Video) -> list[Recall]:
    """Measure recall of both kinds; of frames only with at least `2 * TOP_K` clips.

    Raises:
        ConfigError: The pictures of the video are not searched.
    """
    if video.index is None:
        raise ConfigError(f"{video.ref.path}: no encoder, so no retrieval by pictures to check; {HOW_TO_SEARCH}")
    recalls = [plant_words(video.index, video.store.frame_size_px)]
    if len(video.index.vectors) >= 2 * TOP_K:
        recalls.append(plant_frames(video, video.index))
    return recalls


def plant_words(index: ClipIndex, frame_size_px: tuple[int, int]) -> Recall:
    """Add one clip of each plain colour to the clips and search for it by name."""
    width, height = frame_size_px
    plain = np.empty((len(COLOURS), height, width, 3), dtype=np.uint8)
    plain[:] = np.array(list(COLOURS.values()), dtype=np.uint8)[:, None, None]
    planted = index.encoder.encode_frames(FrameBatch(plain, np.arange(len(plain), dtype=np.float64)))
    vectors = np.concatenate([index.vectors, planted])
    queries = [index.encoder.encode_texts([f"a plain {name} picture"])[0] for name in COLOURS]
    places = range(len(index.vectors), len(vectors))
    found = sum(_share_found(vectors, place, query) for place, query in zip(places, queries, strict=True))
    return Recall("words", found, len(COLOURS), TOP_K / len(vectors))


def plant_frames(video: Video, index: ClipIndex) -> Recall:
    """Search for clips by their middle frames."""
    clips = np.unique(np.linspace(0, len(index.vectors) - 1, min(MAX_FRAMES, len(index.vectors))).astype(int)).tolist()
    found = 0.0
    for clip in clips:
        end_s = min((clip + 1) * index.clip_s, index.duration_s)
        frames = video.frames_at([(clip * index.clip_s + end_s) / 2])
        found += _share_found(index.vectors, clip, index.encoder.encode_frames(frames)[0])
    return Recall("frames", found, len(clips), TOP_K / len(index.vectors))


def _share_found(vectors: Vectors, clip: int, query: Vectors) -> float:
    """Return the probability that `clip` is among the best `TOP_K` for `query`, with ties broken at random."""
    scores = vectors @ query
    better = int((scores > scores[clip] + _TIE).sum())
    ties = int((np.abs(scores - scores[clip]) <= _TIE).sum())
    return min(1.0, max(0.0, (TOP_K - better) / ties))
