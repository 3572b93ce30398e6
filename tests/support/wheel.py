"""The wheel of the checkout, built as an index would build it, and unpacked as pip would install it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.support.paths import ROOT

SOURCES = ("artbank", "artbank_cli", "artbank_prefect", "flows", "tasks", "deployments")
_BUILD = "import sys, setuptools.build_meta as backend; print(backend.build_wheel(sys.argv[1]))"


def build_wheel(folder: Path) -> Path:
    """Build the wheel of a copy of the checkout, so that no leftovers of older builds get into it."""
    copy = folder / "checkout"
    hidden = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=hidden)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-c", _BUILD, str(folder)]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / done.stdout.split()[-1]


def unpack(wheel: Path, folder: Path) -> Path:
    """Unpack a wheel; returns the folder, which stands in for site-packages."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def make_user_project(folder: Path) -> Path:
    """Make the folder of a Prefect project that has packages `flows` and `tasks` of its own, as most have."""
    for name in ("flows", "tasks"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise SystemExit('the {name} of the user were imported')\n")
    return folder


def call_installed(installed: Path, folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder with the unpacked wheel, whose packages come before those of the checkout."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("ARTBANK_")}
    variables |= {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1", **env}
    return subprocess.run([sys.executable, *words], cwd=folder, env=variables, capture_output=True, text=True)
