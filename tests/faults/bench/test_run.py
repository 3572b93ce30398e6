"""The whole benchmark in small: without Prefect and without an installed package, by the path of the large shapes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

OPTIONS = ["--model", "tiny", "--budget", "600", "--rounds", "1", "--photo-px", "64", "--num-photos", "2"]
OPTIONS += ["--suites", "training,pictures,files,scaling"]
BARE = """
import importlib.metadata as metadata, runpy, sys

def find(context, find=metadata.MetadataPathFinder.find_distributions):
    return [one for one in find(context) if one.metadata["Name"] != "artbank"]

metadata.MetadataPathFinder.find_distributions = find
sys.modules["prefect"] = None
sys.argv = ["bench/run.py", *sys.argv[1:]]
runpy.run_path("bench/run.py", run_name="__main__")
assert sys.modules["artbank"].__version__ == "0+checkout"
"""


# Every contender, count and table of it is tested by itself in this folder.
@pytest.mark.slow
def test_it_runs_where_there_is_neither_prefect_nor_an_installed_artbank(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    command = [sys.executable, "-c", BARE, *OPTIONS, "--out", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    text, facts = page.read_text(), json.loads(page.with_suffix(".json").read_text())
    for heading in ("## A. As shipped", "## B. Equal work", "## Targets", "## Scaling", "## Notes"):
        assert heading in text and heading in done.stdout
    assert "| `balanced` | 0.9 | 19 | 15 |" in text
    measured = {name: set(suite) for name, suite in facts["suites"].items()}
    assert {name for suite in measured.values() for name in suite} >= {"released", "ours-exact", "kohya-16", "folder"}
    assert facts["suites"]["pictures"]["released"]["unet"] == 71
    assert len(facts["suites"]["files"]["strong"]["costs"]) == 1
