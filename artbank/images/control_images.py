"""The images of photos that ControlNets see, but for depth, which takes a model.

Shape legend: H' x W' the padded working image of a photo, uint8 sRGB.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from artbank.parameters.control_specs import CANNY_THRESHOLDS, ControlKind


def _find_edges(padded: np.ndarray) -> np.ndarray:
    return cv2.Canny(padded, *CANNY_THRESHOLDS)


def _take_luma(padded: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(padded, cv2.COLOR_RGB2GRAY)


_DRAWN: dict[ControlKind, Callable[[np.ndarray], np.ndarray]] = {"canny": _find_edges, "gray": _take_luma}


def is_drawn(kind: ControlKind) -> bool:
    """Return whether the image of a kind is computed by this module; `tile` is the photo itself."""
    return kind in _DRAWN


def draw_control_image(kind: ControlKind, padded: np.ndarray) -> np.ndarray:
    """Return the image of a padded working image [H', W', 3] for a kind, uint8 [H', W'].

    Args:
        kind: `canny`: white edges on black. `gray`: the luma.
        padded: The padded working image of a photo.
    """
    return _DRAWN[kind](padded)
