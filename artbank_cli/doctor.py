"""`artbank doctor`: check that this installation is fit for the work, for people and for scripts."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from artbank.parameters.run_config import RunConfig
from artbank_cli.output import say_lines

if TYPE_CHECKING:
    from artbank.doctor.checks import Check, CheckResult
    from artbank.parameters.control_specs import ControlSpec

SECONDS = 15.0  # a distant server answers in one or two; S3's client gives up a connection after ten
_WIDTH = 100  # columns
_INPUTS = ("gallery", "photos")
_OUTPUTS = ("store", "output")


def examine(
    config: RunConfig,
    uris: Mapping[str, str],
    *,
    seconds: float,
    as_json: bool,
    structure_model: str | None = None,
    controls: Sequence[ControlSpec] = (),
    depth_model: str | None = None,
) -> int:
    """Run all checks and print the results of each as it ends; returns 1 if there is a problem, else 0.

    Args:
        config: Names models and device.
        uris: The given places, by `gallery`, `photos`, `store` and `output`.
        seconds: Time limit for checks that may hang.
        as_json: Print JSON.
        structure_model: Source of the structure model; None for none.
        controls: The ControlNets.
        depth_model: Source of the model that estimates depth; None for none.
    """
    from artbank.doctor.checks import run_checks

    checks = list_checks(config, uris, seconds, structure_model, controls, depth_model)
    if as_json:
        found = run_checks(checks, seconds)
        say_lines(to_json(found))
    else:
        found = run_checks(checks, seconds, _print_subject)
        say_lines(f"\n{to_totals(found)}")
    sys.stdout.flush()
    results = [result for of_subject in found.values() for result in of_subject]
    exit_code = int(any(result.level == "problem" for result in results))
    if any(result.is_late for result in results):
        os._exit(exit_code)  # an orderly end would wait for the threads of checks that hang
    return exit_code


def list_checks(
    config: RunConfig,
    uris: Mapping[str, str],
    seconds: float,
    structure_model: str | None,
    control_specs: Sequence[ControlSpec],
    depth_model: str | None,
) -> Sequence[Check]:
    """Return the checks of an installation, in the order in which they are shown."""
    from artbank.diffusion.model_files import DEPTH_MODEL, STRUCTURE_MODEL, STYLE_MODEL
    from artbank.doctor import controls, devices, disk_space, packages, scoring_models, stores, weights
    from artbank.doctor.checks import Check
    from artbank_cli import server

    local = {name: uris[name] for name in _OUTPUTS if name in uris}
    places = []
    for name, uri in uris.items():
        check = stores.check_input if name in _INPUTS else stores.check_output
        places.append(Check(name, partial(check, uri), may_hang=True))
    given = ((STRUCTURE_MODEL, structure_model), (STYLE_MODEL, config.style_model))
    check_optional = partial(scoring_models.check_optional_model, is_offline=config.offline)
    optional = [(kind, source) for kind, source in given if source is not None]
    models = [
        Check(kind.name, partial(check_optional, kind, source, seconds), may_hang=True) for kind, source in optional
    ]
    of_run = [
        (f"control {spec.kind}", partial(controls.check_control_net, config, spec, seconds)) for spec in control_specs
    ]
    if depth_model is not None:
        of_run.append(
            (DEPTH_MODEL.name, partial(controls.check_depth, depth_model, seconds, is_offline=config.offline))
        )
        optional.append((DEPTH_MODEL, depth_model))
    models += [Check(subject, check, may_hang=True) for subject, check in of_run]
    sources = [spec.source for spec in control_specs]
    return [
        Check("packages", packages.check_packages),
        Check("device", partial(devices.check_devices, config), may_hang=True),
        Check("base model", partial(weights.check_base, config, seconds), may_hang=True),
        Check("scorer", partial(scoring_models.check_scorer, config, seconds), may_hang=True),
        *models,
        Check("memory", partial(weights.check_memory, config, optional, sources), may_hang=True),
        Check("disks", partial(disk_space.check_disks, config, local), may_hang=True),
        *places,
        *([Check("places", partial(stores.check_apart, uris), may_hang=True)] if len(uris) > 1 else []),
        Check("Prefect", partial(server.check_server, seconds), may_hang=True),
    ]


def to_json(found: Mapping[str, Sequence[CheckResult]]) -> str:
    """Return all results as JSON, for scripts."""
    rows = []
    for subject, results in found.items():
        for result in results:
            facts = {name: value for name, value in asdict(result).items() if name != "is_late"}
            rows.append({"subject": subject, **facts})
    counts = {level: sum(row["level"] == level for row in rows) for level in ("problem", "warning")}
    return json.dumps({"num_problems": counts["problem"], "num_warnings": counts["warning"], "verdicts": rows})


def to_lines(subject: str, results: Sequence[CheckResult]) -> str:
    """Return the results of one subject for people, in lines of at most 100 columns unless a word is longer."""
    lines = [subject]
    for result in results:
        lines += _wrap(f"{result.level:<7}  {result.text}")
        if result.advice:
            lines += _wrap(f"{'':<7}  -> {result.advice}", hanging=3)
    return "\n".join(lines)


def to_totals(found: Mapping[str, Sequence[CheckResult]]) -> str:
    """Return the numbers of problems and warnings as text."""
    levels = [result.level for results in found.values() for result in results]
    counts = {level: levels.count(level) for level in ("problem", "warning")}
    totals = [f"{count} {level}{'' if count == 1 else 's'}" for level, count in counts.items() if count]
    return ", ".join(totals) or "everything is fine"


def _print_subject(subject: str, results: Sequence[CheckResult]) -> None:
    """Print the results of a check as soon as it has ended; a slow one does not hold up the others."""
    say_lines(to_lines(subject, results))
    sys.stdout.flush()


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
