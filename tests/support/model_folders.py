"""Folders of models: changed, loaded, and seen by the doctor."""

from __future__ import annotations

import json
from pathlib import Path

from artbank.diffusion.base_model import BaseModel
from artbank.doctor.weights import check_base
from artbank.parameters.run_config import RunConfig


def edit_json(path: Path, **values: object) -> None:
    """Set values of a JSON object in a file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def load(source: Path | str) -> BaseModel:
    """Load a base model on the CPU, with nothing compiled."""
    return BaseModel.load(str(source), device="cpu", compiling="off")


def diagnose(folder: Path) -> list[str]:
    """Return the problems that the doctor sees in a base model."""
    return [found.text for found in check_base(RunConfig(base_model=str(folder)), 1) if found.level == "problem"]
