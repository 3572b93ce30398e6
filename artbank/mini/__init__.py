"""The miniature base model: a Stable Diffusion small enough to ship, and the code that made it.

`weights` is the model with its scorer, `drawing` draws photographs and paintings by code, and `pretraining` trains the
model on them. An installed package has no `pretraining`; it keeps `drawing`, which draws the photographs of a new
bank's samples and the demo's gallery.
"""

from __future__ import annotations

from pathlib import Path

WEIGHTS: Path = Path(__file__).parent / "weights"
"""Folder of the shipped weights, in diffusers' layout; `WEIGHTS / "clip"` holds the scorer."""

LICENCE = "CC0-1.0"
"""Licence of these weights, see README.md."""
