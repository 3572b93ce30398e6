"""The miniature base model: a Stable Diffusion small enough to ship, with the corpus and pretraining that made it."""

from __future__ import annotations

from pathlib import Path

WEIGHTS: Path = Path(__file__).parent / "weights"
"""Folder of the shipped weights, in diffusers' layout; `WEIGHTS / "clip"` holds the scorer."""
