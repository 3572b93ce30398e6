"""`artbank doctor`: whether this installation can do the work, for people and for scripts."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from artbank.config import RunConfig

if TYPE_CHECKING:
    from artbank.doctor.checks import Check, CheckResult

SECONDS = 15.0  # a server far away answers in one or two; S3's client gives up a connection after ten
_WIDTH = 100  # columns
_INPUTS, _OUTPUTS = ("gallery", "photos"), ("store", "output")


def examine(choice: RunConfig, uris: Mapping[str, str], *, seconds: float, as_json: bool) -> int:
    """Run all checks and print what they say; returns 1 where there is a problem, else 0.

    Args:
        choice: Of models and device.
        uris: Of the places that were given, by `gallery`, `photos`, `store` and `output`.
        seconds: For which what may not answer is waited for.
        as_json: Print JSON.
    """
    from artbank.doctor.checks import run_checks

    found = run_checks(list_checks(choice, uris, seconds), seconds)
    print(to_json(found) if as_json else to_text(found))
    code = int(any(verdict.level == "problem" for verdicts in found.values() for verdict in verdicts))
    sys.stdout.flush()
    if any(verdict.is_late for verdicts in found.values() for verdict in verdicts):
        os._exit(code)  # what was left behind may hold threads that an orderly end would wait for
    return code


def list_checks(choice: RunConfig, uris: Mapping[str, str], seconds: float) -> Sequence[Check]:
    """Return the checks of an installation, in the order in which they are shown."""
    from artbank.doctor import devices, disk_space, packages, stores, weights
    from artbank.doctor.checks import Check
    from artbank_cli import server

    looks = dict.fromkeys(_INPUTS, stores.check_input) | dict.fromkeys(_OUTPUTS, stores.check_output)
    local = {what: uris[what] for what in _OUTPUTS if what in uris}
    return [
        Check("packages", packages.check_packages),
        Check("device", partial(devices.check_devices, choice), reaches_out=True),
        Check("base model", partial(weights.check_base, choice, seconds), reaches_out=True),
        Check("scorer", partial(weights.check_scorer, choice, seconds), reaches_out=True),
        Check("memory", partial(weights.check_memory, choice), reaches_out=True),
        Check("disks", partial(disk_space.check_disks, choice, local), reaches_out=True),
        *(Check(what, partial(looks[what], uri), reaches_out=True) for what, uri in uris.items()),
        Check("Prefect", partial(server.check_server, seconds), reaches_out=True),
    ]


def to_json(found: Mapping[str, Sequence[CheckResult]]) -> str:
    """Return all that was found, for scripts."""
    rows = [{"subject": subject, **_facts(verdict)} for subject, verdicts in found.items() for verdict in verdicts]
    counts = {level: sum(row["level"] == level for row in rows) for level in ("problem", "warning")}
    return json.dumps({"num_problems": counts["problem"], "num_warnings": counts["warning"], "verdicts": rows})


def to_text(found: Mapping[str, Sequence[CheckResult]]) -> str:
    """Return all that was found, for people, in lines of at most 100 columns where no word is longer."""
    lines = []
    for subject, verdicts in found.items():
        lines.append(subject)
        for verdict in verdicts:
            lines += _wrap(f"{verdict.level:<7}  {verdict.text}")
            lines += _wrap(f"{'':<7}  -> {verdict.advice}", hanging=3) if verdict.advice else []
    levels = [verdict.level for verdicts in found.values() for verdict in verdicts]
    counts = {what: levels.count(what) for what in ("problem", "warning")}
    told = [f"{count} {what}{'' if count == 1 else 's'}" for what, count in counts.items() if count]
    return "\n".join([*lines, "", ", ".join(told) or "all is well"])


def _facts(verdict: CheckResult) -> dict[str, str]:
    return {name: value for name, value in asdict(verdict).items() if name != "is_late"}


def _wrap(text: str, hanging: int = 0) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="  ",
        subsequent_indent=" " * (11 + hanging),
        drop_whitespace=True,
        break_long_words=False,
        break_on_hyphens=False,
    )
