"""The deployments of prefect.yaml, and Prefect's own command."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from typing import Any

import yaml
from prefect import Flow

from tests.support.paths import ROOT

FILE = "deployments/prefect.yaml"
PLACES = {
    "ARTBANK_HOME": str(ROOT),
    "ARTBANK_GALLERY": "s3://art/gallery",
    "ARTBANK_STORE": "s3://art/store",
    "ARTBANK_PHOTOS": "s3://art/photos",
    "ARTBANK_OUTPUT": "s3://art/output",
    "ARTBANK_STYLE": "monet",
    "ARTBANK_TRAIN_POOL": "artbank",
    "ARTBANK_TRAIN_RUNNER": "auto",
    "ARTBANK_STYLIZE_RUNNER": "threads",
}


def deployments() -> dict[str, dict[str, Any]]:
    """Return the deployments of the file by name."""
    text = re.sub(r"\{\{ \$(\w+) \}\}", lambda found: PLACES[found[1]], (ROOT / FILE).read_text())
    return {entry["name"]: entry for entry in yaml.safe_load(text)["deployments"]}


def read_flow(entry: dict[str, Any]) -> Flow[Any, Any]:
    """Import the flow of a deployment."""
    module, name = entry["entrypoint"].rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def call_prefect(server: str, *words: str) -> str:
    """Run Prefect's command in the checkout; returns its output."""
    env = os.environ | PLACES | {"PREFECT_API_URL": server}
    done = subprocess.run([sys.executable, "-m", "prefect", *words], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
