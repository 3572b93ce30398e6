"""The presets of stylization: values for the settings that are not given."""

from __future__ import annotations

from typing import Any

PAPER = {"strength": 0.7, "steps": 50, "guidance": 10.0, "inversion": "stochastic", "solver": "ddim"}
"""The paper's settings. Source: ArtBank, section "Implementation details", and the authors' released settings."""

FIXED_BY_PAPER: dict[str, Any] = {**PAPER, "aligned": False, "structure": 0.0, "reach_style": None, "reuse": 1}
"""Settings that preset `paper` lets nobody change."""

_AS_DRAWN = {"colour": "free", "colour_strength": 1.0}

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {**FIXED_BY_PAPER, **_AS_DRAWN},
    "exact": {**PAPER, "structure": 0.0, **_AS_DRAWN},
    "balanced": {},
    "faithful": {"structure": 0.75},
    "bold": {"structure": 0.45},
    "fast": {"steps": 8},
    "turbo": {"steps": 4, "strength": 0.75, "guidance": 1.0, "solver": "euler"},
}
"""The settings of each preset that differ from the defaults; bench/compare_recipes.py measures them."""


GOVERNED = frozenset(name for settings in PRESETS.values() for name in settings)
"""Fields that some preset sets. They are empty in a form: a value there would replace the preset's."""


def follow_preset(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that were given, completed by those of their preset; unknown presets are left to the model.

    Raises:
        ValueError: Preset `paper` fixes a setting that was given another value.
    """
    name = values.get("preset", "balanced")
    if not isinstance(name, str) or name not in PRESETS:
        return values
    values = {field: value for field, value in values.items() if value is not None or field not in GOVERNED}
    if "colour" in values:
        values = {"colour_strength": 1.0, **values}
    contradicting = [field for field, value in FIXED_BY_PAPER.items() if field in values and values[field] != value]
    if contradicting and name == "paper":
        fixed = ", ".join(f"{field}={FIXED_BY_PAPER[field]}" for field in contradicting)
        raise ValueError(f"preset paper fixes {fixed}; leave out {', '.join(contradicting)}, or take preset exact")
    return {**PRESETS[name], **values}


def describe_presets(name: str, default: Any) -> str:
    """Return a governed field's value in each preset, such as `10; paper, exact 50; fast 8`.

    Args:
        name: The field.
        default: Its value in the presets that do not set it.
    """
    presets: dict[str, list[str]] = {}
    for preset, settings in PRESETS.items():
        value = settings.get(name, default)
        if value != default:
            presets.setdefault(_show(value), []).append(preset)
    return "; ".join([_show(default), *(f"{', '.join(names)} {value}" for value, names in presets.items())])


def _show(value: Any) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
