"""The files of the deployments, which the wheel holds too, and the variables that they need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

import artbank_prefect
from artbank_cli.server import POOLS

FOLDER = Path(artbank_prefect.__file__).parent / "deployments"
PLACES = ("ARTBANK_GALLERY", "ARTBANK_STORE", "ARTBANK_PHOTOS", "ARTBANK_OUTPUT", "ARTBANK_STYLE")
DEPLOYMENTS = {"training": ("train-banks", "watch-gallery"), "stylizing": ("stylize-archive", "gpu")}
"""The deployments of each part of the work. Training alone needs no photos, output or style."""
NEEDED = {"training": PLACES[:2], "stylizing": PLACES[1:]}
"""The variables that a part cannot do without."""
_VARIABLE = re.compile(r"\{\{ \$(\w+) \}\}")  # as in Prefect's own file


def fill_variables(given: Mapping[str, str], kind: str) -> dict[str, str]:
    """Return the environment, with defaults for variables that the files need.

    Training uses a device in its own process, so it runs on the pool `gpu`; stylizing starts ranges of shards there.
    With a Dask cluster both only plan and wait. Flow runs of processes work in the current folder, so places may be
    relative to it.
    """
    dask = given.get("ARTBANK_DASK")
    defaults = {
        "ARTBANK_HOME": str(Path.cwd()) if kind == "process" else "/opt/artbank",
        "ARTBANK_IMAGE": "artbank:cpu",
        "ARTBANK_TRAIN_POOL": "artbank" if dask else "gpu",
        "ARTBANK_TRAIN_RUNNER": dask or "auto",
        "ARTBANK_STYLIZE_RUNNER": dask or "deployment:stylize-shards/gpu",
    }
    return defaults | {name: value for name, value in given.items() if value or name not in defaults}


def read_templates(kind: str, variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the base job template of each pool; an empty one means Prefect's default for that kind."""
    path = FOLDER / "pools" / f"{kind}.yaml"
    if not path.exists():
        return {name: {} for name in POOLS}
    return yaml.safe_load(substitute(path.read_text(), variables))


def substitute(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with the values of the variables that it refers to, as Prefect's own command fills them in."""
    return _VARIABLE.sub(lambda found: variables[found[1]], text)


def read_prefect_file(variables: Mapping[str, str], parts: Iterable[str]) -> dict[str, Any]:
    """Return `prefect.yaml` with the deployments of some parts, for Prefect's own command.

    Prefect can put a variable into a text alone. So the list of styles, of which ARTBANK_STYLE may name several between
    commas, and the schedule of ARTBANK_STYLIZE_CRON are filled in here.
    """
    content = yaml.safe_load((FOLDER / "prefect.yaml").read_text())
    wanted = {name for part in parts for name in DEPLOYMENTS[part]}
    content["deployments"] = [entry for entry in content["deployments"] if entry["name"] in wanted]
    for entry in content["deployments"]:
        if entry["name"] == "stylize-archive":
            entry["parameters"]["config"]["styles"] = split_styles(variables["ARTBANK_STYLE"])
            if cron := variables.get("ARTBANK_STYLIZE_CRON"):
                entry["schedules"][0] |= {"cron": cron, "active": True}
    return content


def split_styles(text: str) -> list[str]:
    """Return the styles of ARTBANK_STYLE; a collection with a comma in its name is named by its id."""
    return [style for style in (part.strip() for part in text.split(",")) if style]
