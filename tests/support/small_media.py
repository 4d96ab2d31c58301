"""Media settings of the 32 x 32 pictures of `vt_env.testing.FakeVideo`."""

from vt_env.config import MediaConfig

SMALL_MEDIA = MediaConfig(max_pixels=32 * 32, min_pixels=32 * 32, patch_px=32)
