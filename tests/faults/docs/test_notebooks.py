"""The notebook of the documentation runs as it stands there, and shows what its stored outputs show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.document_blocks import ROOT, check_said
from tests.support.notebooks import read_code, run_cells, text_of

NOTEBOOK = ROOT / "docs/python.ipynb"


def kinds(outputs: list[dict[str, Any]]) -> list[list[str]]:
    """Return the forms in which a cell shows its values."""
    return [sorted(one.get("data", [])) for one in outputs]


# CI runs the same calls in tests/unit/api
@pytest.mark.slow
@pytest.mark.usefixtures("full_samples")
def test_every_cell_runs_and_shows_what_is_stored(tmp_path: Path) -> None:
    cells = read_code(NOTEBOOK)
    assert len(cells) > 8
    for cell, outputs in zip(cells, run_cells(cells, tmp_path), strict=True):
        assert [sorted(one.get("data", [])) for one in outputs] == [
            sorted(one.get("data", [])) for one in cell["outputs"]
        ]
        check_said(text_of(cell["outputs"]), text_of(outputs))


def test_the_notebook_is_one_that_jupyter_reads() -> None:
    notebook = json.loads(NOTEBOOK.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    for cell in read_code(NOTEBOOK):
        assert cell.keys() == {"cell_type", "id", "execution_count", "metadata", "outputs", "source"}
