"""A preset replaces the settings that presets decide, where they come from a place that it wins over.

`--preset turbo` on the command line is no use if `artbank.toml` or the parameter file still decides the steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from artbank.parameters.presets import GOVERNED
from artbank_cli.parameter_fields import find_owner, flatten


def replace_by_preset(model: type[BaseModel], below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested parameters without the settings that a preset above them decides.

    Args:
        model: The model of the parameters.
        below: The parameters.
        above: The parameters that win over them; they decide only if they name a preset.
    """
    if "preset" not in flatten(model):
        return dict(below)
    owner = find_owner(model, "preset")
    if "preset" not in _find_inner(above, owner):
        return dict(below)
    return _without_governed(below, owner)


def list_replaced(
    model: type[BaseModel], merged: BaseModel, below: Mapping[str, Any], above: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings of `below` to which a preset of `above` has given other values, as they stand there.

    Args:
        model: The model of the parameters.
        merged: The parameters that result.
        below: The nested parameters that the preset wins over.
        above: The nested parameters that win over them; without a preset none is replaced.
    """
    if "preset" not in flatten(model):
        return {}
    owner = find_owner(model, "preset")
    winners = _find_inner(above, owner)
    if "preset" not in winners:
        return {}
    used: Any = merged
    for name in owner:
        used = getattr(used, name)
    undecided = {name: value for name, value in _find_inner(below, owner).items() if name in GOVERNED - winners.keys()}
    return {name: value for name, value in undecided.items() if value not in (None, getattr(used, name))}


def _find_inner(parameters: Mapping[str, Any], owner: list[str]) -> Mapping[str, Any]:
    inner: Any = parameters
    for name in owner:
        inner = inner.get(name)
        if not isinstance(inner, Mapping):
            return {}
    return inner


def _without_governed(parameters: Mapping[str, Any], owner: list[str]) -> dict[str, Any]:
    if not owner:
        return {name: value for name, value in parameters.items() if name not in GOVERNED}
    first, *rest = owner
    inner = parameters.get(first)
    return {**parameters, first: _without_governed(inner, rest)} if isinstance(inner, Mapping) else dict(parameters)
