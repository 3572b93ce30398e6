"""Check what a deployment would hand to flows, before anything is put on the server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from prefect.client.schemas.schedules import CronSchedule
from pydantic import ValidationError

from artbank.config import StylizeConfig, TrainConfig, WatchConfig
from artbank.errors import ConfigError
from artbank.parameters.run_config import explain_entry
from artbank.runtime.style_names import parse_style
from artbank_cli.deployment.files import read_prefect_file, substitute

_CONFIGS = {"train-banks": TrainConfig, "watch-gallery": WatchConfig, "stylize-archive": StylizeConfig}
_WEB_ADDRESS = re.compile(r"https?://[^\s/]+(/\S*)?")


def check_parameters(variables: Mapping[str, str], parts: Iterable[str]) -> None:
    """Check the parameters of the deployments as their flows would.

    Args:
        variables: Variables of the environment that the files refer to; all needed ones are there.
        parts: `training`, `stylizing`, or both.

    Raises:
        ConfigError: One is wrong; says which.
    """
    quoted = {name: json.dumps(value)[1:-1] for name, value in variables.items()}
    for entry in read_prefect_file(variables, parts)["deployments"]:
        if kind := _CONFIGS.get(entry["name"]):
            _check_config(entry["name"], kind, json.loads(substitute(json.dumps(entry["parameters"]), quoted)))
        for schedule in entry.get("schedules", ()):
            _check_cron(schedule["cron"])


def check_notify(url: str | None) -> None:
    """Check the address of the webhook for alarms, which is a secret.

    Raises:
        ConfigError: It is no address.
    """
    if url and not _WEB_ADDRESS.fullmatch(url):
        raise ConfigError("--notify: expected an address that begins with https:// or http://; correct it")


def _check_config(name: str, kind: Any, parameters: Mapping[str, Any]) -> None:
    try:
        config = kind.model_validate(parameters["config"])
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, entry['loc']))}: {explain_entry(entry)}" for entry in error.errors())
        raise ConfigError(f"{name}: {'; '.join(wrong)}") from None  # the error quotes what may be secret
    for style in getattr(config, "styles", ()):
        parse_style(style)


def _check_cron(cron: str) -> None:
    try:
        CronSchedule(cron=cron)
    except ValidationError as error:
        raise ConfigError(
            f"--stylize-cron {cron!r}: expected five fields of cron, such as '0 6 * * *' for 6:00 UTC each day"
        ) from error
