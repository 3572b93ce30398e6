"""The frame of a photo: its working size, and its padding to a multiple."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artbank.images.framing import Frame


@given(width=st.integers(1, 5000), height=st.integers(1, 5000), short=st.sampled_from([32, 128, 512]))
def test_a_frame_keeps_the_aspect_ratio_and_pads_to_the_models_multiple(width: int, height: int, short: int) -> None:
    frame = Frame.for_photo(width, height, short_px=short, multiple_px=16)
    scale = frame.width_px / width if width > height else frame.height_px / height
    assert abs(frame.width_px - max(width * scale, 1)) <= 1 and abs(frame.height_px - max(height * scale, 1)) <= 1
    if max(width, height) <= 3 * min(width, height):
        assert min(frame.width_px, frame.height_px) == short
    else:
        assert frame.width_px * frame.height_px < 4 * short**2 or min(frame.width_px, frame.height_px) == 1
    for padded, side in ((frame.padded_width_px, frame.width_px), (frame.padded_height_px, frame.height_px)):
        assert padded % 16 == 0 and 0 <= padded - side < 16


@pytest.mark.parametrize(("width", "height"), [(1, 1), (33, 47), (500, 20), (3, 200)])
def test_cutting_undoes_the_padding(width: int, height: int) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    frame = Frame.for_photo(width, height, short_px=32, multiple_px=16)
    working = frame.apply(photo)
    assert working.shape == (frame.padded_height_px, frame.padded_width_px, 3)
    assert frame.cut(working).shape == (frame.height_px, frame.width_px, 3)
