"""Frames have the shape of their video, within a budget of pixels; no processor of the family resizes them."""

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from transformers import Qwen2VLImageProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from vt_env.config import MediaConfig
from vt_env.errors import ConfigError
from vt_env.media.frame_size import holds_picture

WORLD, QWEN2, QWEN3 = MediaConfig(), MediaConfig(32_768), MediaConfig(131_072, 256 * 256, 32)
NAMES = ["world", "qwen2", "qwen3"]
SIZES = st.tuples(st.integers(1, 8000), st.integers(1, 8000))
SHAPES = [(640, 360), (360, 640), (1920, 1080), (640, 480), (1280, 536), (854, 480), (641, 359), (1080, 1920)]


@st.composite
def settings(draw: st.DrawFn) -> MediaConfig:
    patch_px = draw(st.sampled_from([28, 32, 14]))
    patches = sorted(draw(st.tuples(st.integers(1, 400), st.integers(1, 400))))
    # More than 200 patches in one row are no picture, and a prime number of patches has no other.
    assume(holds_picture(*reversed(patches), 1))
    return MediaConfig(patches[1] * patch_px**2 + draw(st.integers(0, 500)), patches[0] * patch_px**2, patch_px)


@given(size_px=SIZES, media=settings())
@example(size_px=(4000, 1), media=MediaConfig(2_000_000))
@example(size_px=(1, 1), media=WORLD)
@example(size_px=(1080, 1080), media=WORLD)
@example(size_px=(640, 360), media=MediaConfig(65_536, 65_536, 32))
def test_any_picture_becomes_whole_patches_within_the_budget_which_a_processor_leaves_as_they_are(size_px, media):
    width, height = media.frame_size_px(size_px)
    assert width % media.patch_px == height % media.patch_px == 0
    assert media.min_pixels <= width * height <= media.max_pixels
    assert smart_resize(height, width, media.patch_px, media.min_pixels, media.max_pixels) == (height, width)
    assert media.frame_size_px((width, height)) == (width, height)


@given(size_px=SIZES)
def test_a_picture_is_not_enlarged_beyond_the_nearest_patches(size_px):
    assume(max(size_px) <= 200 * min(size_px) and min(size_px) >= 56)
    for shown, side in zip(QWEN2.frame_size_px(size_px), size_px, strict=True):
        assert shown <= round(side / 28) * 28


@pytest.mark.parametrize("media", [WORLD, QWEN2, QWEN3], ids=NAMES)
@pytest.mark.parametrize("size_px", SHAPES, ids=str)
def test_real_videos_have_the_size_that_qwens_rule_gives_them_and_their_aspect_ratio(size_px, media):
    width, height = media.frame_size_px(size_px)
    assert (height, width) == smart_resize(*size_px[::-1], media.patch_px, media.min_pixels, media.max_pixels)
    stretch = (width / height) / (size_px[0] / size_px[1])
    # The shorter side is two patches long or more, and loses less than one.
    assert 0.7 < stretch < 1.5


@pytest.mark.parametrize(("media", "patch_px"), [(WORLD, 14), (QWEN2, 14), (QWEN3, 16)], ids=NAMES)
def test_the_image_processors_of_qwen2_vl_and_qwen3_vl_leave_frames_as_they_are(media, patch_px):
    # The limits of the checkpoints Qwen/Qwen2.5-VL-7B-Instruct and Qwen/Qwen3-VL-8B-Instruct.
    limits = {
        14: {"shortest_edge": 3136, "longest_edge": 12_845_056},
        16: {"shortest_edge": 65_536, "longest_edge": 16_777_216},
    }
    processor = Qwen2VLImageProcessor(patch_size=patch_px, merge_size=2, size=limits[patch_px])
    for size_px in [*SHAPES, (64, 48), (20, 11), (4000, 21)]:
        width, height = media.frame_size_px(size_px)
        made = processor(images=[np.zeros((height, width, 3), np.uint8)], return_tensors="np")
        assert made["image_grid_thw"].tolist() == [[1, height // patch_px, width // patch_px]], size_px


@pytest.mark.parametrize("side_px", [112, 224, 448, 100])
def test_the_worlds_frames_and_closer_looks_have_the_size_they_always_had(side_px):
    assert WORLD.frame_size_px((side_px, side_px)) == (112, 112)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_pixels": 783}, r"media\.max_pixels=783: below one patch of 28 x 28 pixels; need 784 or more"),
        ({"max_pixels": 1000}, r"media\.min_pixels=3136, max_pixels=1000: no rectangle of patches of 784 pixels"),
        ({"max_pixels": 3500, "patch_px": 32}, "patches of 1024 pixels lies between; raise max_pixels"),
        ({"max_pixels": 211 * 784, "min_pixels": 211 * 784}, "no rectangle of patches of 784 pixels lies between"),
        ({"max_pixels": 1e5}, r"media\.max_pixels=100000\.0: need a whole number"),
        ({"backend": "decrod"}, r"media\.backend='decrod': allowed are pyav, .* did you mean 'decord'\?"),
    ],
)
def test_settings_that_hold_no_picture_are_refused_in_one_line(settings, said):
    with pytest.raises(ConfigError, match=said) as refusal:
        MediaConfig(**settings)
    assert "\n" not in str(refusal.value)
