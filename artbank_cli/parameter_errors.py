"""Explain wrong parameters: by the option that gave them, or by the field and line of the parameter file."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from artbank.parameters.run_config import explain_entry
from artbank_cli.parameter_fields import find_nested, list_owners
from artbank_cli.parameter_file import ParameterFile


def explain_errors(
    model: type[BaseModel],
    error: ValidationError,
    given: Collection[str],
    file: ParameterFile | None,
    spell: Callable[[str], str],
    places: Mapping[str, str] | None,
) -> str:
    """Return one clause for each wrong parameter.

    Args:
        model: The model that refused the values.
        error: Its error.
        given: Names of the fields that options gave, which win over the file.
        file: The parameter file, if there is one.
        spell: Returns the option or argument of a field, as a person types it.
        places: Where `artbank.toml` sets a field, such as `artbank.toml: stylize.preset (line 4)`.
    """
    entries: Sequence[Any] = error.errors()
    return "; ".join(_explain(model, entry, given, file, spell, places or {}) for entry in entries)


def _explain(
    model: type[BaseModel],
    entry: Mapping[str, Any],
    given: Collection[str],
    file: ParameterFile | None,
    spell: Callable[[str], str],
    places: Mapping[str, str],
) -> str:
    names = [part for part in entry["loc"] if isinstance(part, str)]
    path = names[: _field_depth(model, names)]
    reason = explain_entry(entry)
    shown = _show(entry["input"])
    place = file.find_line(path) if file else None
    is_option = bool(path) and path[-1] in given
    if entry["type"] == "missing":
        return f"{spell(path[-1])} is missing"
    if place is not None and place[1] == len(path) and not is_option:
        field = f"{'.'.join(path)} (line {place[0]})"
        if entry["type"] == "extra_forbidden":
            return f"{field}: unknown{_advise(model, path)}"
        several = _name_places(reason, given, places) if find_nested(model, path) else ""
        return f"{field}{shown}: {reason}{several}"
    if path and path[-1] in places and not is_option:
        return f"{places[path[-1]]}{shown}: {reason}"
    if not path or find_nested(model, path):  # an error of several fields
        return f"options: {reason}{_name_places(reason, given, places)}"
    return f"{spell(path[-1])}{shown}: {reason}"


def _name_places(reason: str, given: Collection[str], places: Mapping[str, str]) -> str:
    """Return where `artbank.toml` sets the fields that an error of several fields names; empty if it sets none."""
    named = dict.fromkeys(re.findall(r"[a-z_]+", reason))
    found = [places[name] for name in named if name in places and name not in given]
    return f"; set in {', '.join(found)}" if found else ""


def _show(value: object) -> str:
    """Return a value as a person types it, behind a space; a repeated option's values with commas, a table's not."""
    if isinstance(value, dict):
        return ""
    return f" {', '.join(map(str, value)) or 'none'}" if isinstance(value, list | tuple) else f" {value}"


def _field_depth(model: type[BaseModel], names: Sequence[str]) -> int:
    """Return how many of the names lead to a field; pydantic names branches of a union below it."""
    for depth, _ in enumerate(names, start=1):
        if find_nested(model, names[:depth]) is None:
            return depth
    return len(names)


def _advise(model: type[BaseModel], path: Sequence[str]) -> str:
    """Say which field was probably meant by an unknown one, or where it belongs."""
    *owners, name = path
    for owner in list_owners(model):
        if name in (find_nested(model, owner) or model).model_fields:
            return f"; write it below {'.'.join(owner)}" if owner else f"; write it beside {owners[0]}, not below it"
    siblings = find_nested(model, owners) or model
    if meant := get_close_matches(name, siblings.model_fields, n=1):
        return f"; did you mean {meant[0]}?"
    return "; see `--help` for the fields, with - for _"
