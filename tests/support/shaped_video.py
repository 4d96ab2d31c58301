"""A video in memory of any width and height, with media settings as for Qwen2.5-VL."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vt_env.config import MediaConfig
from vt_env.media.decode.video_file import cut_size_px
from vt_env.testing import FakeVideo
from vt_env.types import Box, FrameBatch

QWEN2_MEDIA = MediaConfig(100_352)
"""At most 128 image tokens a picture."""


@dataclass(frozen=True)
class ShapedVideo(FakeVideo):
    """A video whose frames tell their second by one grey level of 200."""

    native_px: tuple[int, int] = (640, 360)
    media: MediaConfig = QWEN2_MEDIA

    def frames_at(self, times_s: Sequence[float]) -> FrameBatch:
        seconds = np.floor(np.asarray(times_s, dtype=np.float64))
        width, height = self.picture_size_px()
        data = np.zeros((len(seconds), height, width, 3), np.uint8)
        data += (seconds % 200).astype(np.uint8)[:, None, None, None]
        return FrameBatch(data, seconds)

    def crop(self, time_s: float, box: Box) -> FrameBatch:
        width, height = self.picture_size_px(box)
        return FrameBatch(np.zeros((1, height, width, 3), np.uint8), np.array([time_s]))

    def picture_size_px(self, box: Box | None = None) -> tuple[int, int]:
        return self.media.frame_size_px(self.native_px if box is None else cut_size_px(self.native_px, box))
