"""`import artbank` loads nothing but itself; the names of the API are there for programs and type checkers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import artbank

SHOW = "print(sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names) - known))"


def test_importing_artbank_loads_no_other_library() -> None:
    code = f"import sys; known = {{name.partition('.')[0] for name in sys.modules}}; import artbank; {SHOW}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("['artbank']", "")


def test_opening_a_store_loads_no_model_and_no_prefect(tmp_path: Path) -> None:
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog/x").touch()
    unwanted = ("torch", "diffusers", "transformers", "prefect")
    code = (
        f"import sys, artbank; print(list(artbank.open_store({str(tmp_path)!r})), "
        f"[name for name in {unwanted} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[] []", "")


@pytest.mark.parametrize("name", artbank.__all__)
def test_every_name_of_the_api_is_there_and_type_checkers_see_it(name: str) -> None:
    assert getattr(artbank, name).__name__ == name and name in dir(artbank)
    tree = ast.parse(Path(artbank.__file__).read_text())
    [hints] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        f"{node.module}.{alias.name}" for node in hints.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert f"artbank.{artbank._MODULES[name]}.{name}" in seen


def test_another_name_is_told_what_there_is() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'trane'; it has .*train"):
        artbank.trane  # noqa: B018
