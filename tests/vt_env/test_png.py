"""PNG files of frames hold every pixel, whatever the frame."""

import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vt_env.episode.png import write_png


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.sampled_from([1, 4, 256]))
def test_pillow_reads_the_very_pixels(height: int, width: int, seed: int, values: int):
    drawn = np.random.default_rng(seed).integers(0, values, (height, width, 3))
    frame = (255 - drawn).astype(np.uint8)
    file = write_png(frame)
    Image.open(io.BytesIO(file)).verify()
    picture = Image.open(io.BytesIO(file))
    assert (picture.format, picture.mode) == ("PNG", "RGB")
    assert np.array_equal(np.asarray(picture), frame)


def test_a_part_of_a_frame_is_written_as_it_is_seen():
    frame = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    part = frame[1:5:2, ::-1]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(write_png(part)))), part)
