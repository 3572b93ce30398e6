"""Runs notebooks without Jupyter, and writes what their cells show into them.

`python -m tests.support.notebooks docs/python.ipynb` runs a notebook in an empty folder and renews its outputs.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import sys
import tempfile
from base64 import b64encode
from pathlib import Path
from typing import Any

_SHOWN = {"text/html": "_repr_html_", "image/png": "_repr_png_"}


def read_code(path: Path) -> list[dict[str, Any]]:
    """Return the code cells of a notebook."""
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def source_of(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def run_cells(cells: list[dict[str, Any]], folder: Path) -> list[list[dict[str, Any]]]:
    """Run code cells in order, in one namespace and one folder; returns the outputs of each, as a notebook has them."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.chdir(folder):
        return [_run_cell(source_of(cell), namespace, number) for number, cell in enumerate(cells, start=1)]


def text_of(outputs: list[dict[str, Any]]) -> str:
    """Return the text that a cell prints, and the plain form of what it shows."""
    printed = "".join("".join(one["text"]) for one in outputs if one["output_type"] == "stream")
    shown = "".join("".join(one["data"]["text/plain"]) for one in outputs if one["output_type"] == "execute_result")
    return printed + shown


def _run_cell(source: str, namespace: dict[str, Any], number: int) -> list[dict[str, Any]]:
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(ast.Module(body, []), f"cell {number}", "exec"), namespace)
        value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), namespace) if last else None
    outputs: list[dict[str, Any]] = []
    if out.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": out.getvalue().splitlines(keepends=True)})
    if value is not None:
        outputs.append(
            {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": _show(value)}
        )
    return outputs


def _show(value: Any) -> dict[str, Any]:
    """Return the richest form of a value that it has, as Jupyter would show it, and its plain one."""
    data: dict[str, Any] = {"text/plain": repr(value).splitlines(keepends=True)}
    for kind, method in _SHOWN.items():
        if hasattr(value, method):
            found = getattr(value, method)()
            data[kind] = b64encode(found).decode() if isinstance(found, bytes) else found.splitlines(keepends=True)
            break
    return data


def renew(path: Path) -> None:
    """Run a notebook in an empty folder and write the outputs into it."""
    notebook = json.loads(path.read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    with tempfile.TemporaryDirectory() as folder:
        found = run_cells(cells, Path(folder))
    for number, (cell, outputs) in enumerate(zip(cells, found, strict=True), start=1):
        cell |= {"execution_count": number, "outputs": outputs}
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    renew(Path(sys.argv[1]).resolve())
