"""The miniature base model: a Stable Diffusion small enough to ship.

`weights` is the model with its scorer. `drawing` draws photographs and paintings by code: `artbank.pretraining` learned
from them, and they are a new bank's samples and the demo's gallery.
"""

from __future__ import annotations

from pathlib import Path

WEIGHTS: Path = Path(__file__).parent / "weights"
"""Folder of the shipped weights, in diffusers' layout; `WEIGHTS / "clip"` holds the scorer."""

LICENCE = "CC0-1.0"
"""Licence of these weights, see README.md."""
