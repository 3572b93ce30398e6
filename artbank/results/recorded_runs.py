"""The parameters that runs left in an output, and how much of them is believed.

Everybody who can write to an output can write these files. So they are data: they tell which pictures a run drew, and
how. Where photos, banks and models are, the operator says, or accepts what the output names. Runner, workers, device
and limits, which decide where the work is done and what it costs, are never taken from an output.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError, create_model, model_validator

from artbank.config import StylizeConfig
from artbank.errors import ConfigError
from artbank.parameters.run_config import Uri
from artbank.recipes import StylizeRecipe
from artbank.runtime.readable_text import escape_invisible
from artbank.runtime.style_names import style_folder

logger = logging.getLogger(__name__)

MOST_BYTES = 1_000_000
"""Size of the largest file of parameters that is read; they have a few kilobytes."""

PLACES = {
    "archive_uri": ("photos", "--photos"),
    "store_uri": ("banks", "--store"),
    "base_model": ("base model", "--base-model"),
    "loras": ("LoRA", "--lora"),
    "controls": ("ControlNet", "--control"),
    "depth_model": ("depth model", "--depth-model"),
    "scorer": ("scorer", "--scorer"),
    "structure_model": ("structure model", "--structure-model"),
    "style_model": ("style model", "--style-model"),
}
"""The parameters that name places: a word for people, and the option of `artbank verify`."""

_DRAWING = ("styles", "recipe", "format")  # given ones are meant for the given styles only
_TAKEN = (*_DRAWING, "skip", "checksum", "dtype")
_OWN_RUNNERS = ("auto", "threads")

_UNCHECKED: dict[str, Any] = {"_check_controls": model_validator(mode="after")(lambda self: self)}
"""The check that takes the recipe of the run, which is not known yet."""

OperatorParameters: type[StylizeConfig] = create_model(
    "OperatorParameters",
    __base__=StylizeConfig,
    archive_uri=(Uri | None, None),
    output_uri=(Uri | None, None),
    store_uri=(Uri | None, None),
    styles=(tuple[str, ...], ()),
    __validators__=_UNCHECKED,
)
"""The parameters of `stylize_archive`, none of them required."""


@dataclass(frozen=True)
class Operator:
    """The facts about an output's runs that come from the person or job that works on it.

    Attributes:
        given: The parameters that were given; only fields that were set count.
        trusts_output: Whether places that were not given may be those that the output names.
    """

    given: StylizeConfig = field(default_factory=lambda: OperatorParameters.model_validate({}))
    trusts_output: bool = False

    def draws(self, style: str) -> bool:
        """Return whether the operator gave how to draw a style, by the name of its folder."""
        return style in {style_folder(name) for name in self.given.styles}

    def choose(self, name: str, recorded: StylizeConfig | None) -> Any:
        """Return a parameter: the given one, else the recorded one; a recorded place only of a trusted output."""
        is_believed = self.trusts_output or name not in PLACES
        if recorded is not None and is_believed and name not in self.given.model_fields_set:
            return getattr(recorded, name)
        return getattr(self.given, name)

    def name_places(self, recorded: StylizeConfig) -> dict[str, str]:
        """Return the places of a run that are not the defaults and that the operator has not named, by field."""
        return {
            name: _describe(name, recorded)
            for name in PLACES
            if name not in self.given.model_fields_set
            and getattr(recorded, name) not in ((), StylizeConfig.model_fields[name].default)
        }

    def settle(self, recorded: StylizeConfig) -> StylizeConfig:
        """Return the parameters for drawing again what a run drew; call `check_named` first."""
        values = {name: getattr(recorded, name) for name in (*_TAKEN, *PLACES, "output_uri")}
        if "base_model" not in self.given.model_fields_set:
            values["revision"] = recorded.revision
        return StylizeConfig.model_validate(values | self._given_without(*_DRAWING))

    def settle_given(self, output_uri: str) -> StylizeConfig:
        """Return the parameters for the styles that the operator gave.

        Raises:
            ConfigError: A place is missing.
        """
        try:
            return StylizeConfig.model_validate(self._given_without() | {"output_uri": output_uri})
        except ValidationError as error:
            missing = {str(entry["loc"][0]) for entry in error.errors()}
            options = " and ".join(option for name, (_, option) in PLACES.items() if name in missing)
            raise ConfigError(f"expected {options} with the styles of the parameter file; name these places") from error

    def check_named(self, recorded: Sequence[StylizeConfig]) -> None:
        """Refuse to work in places that only the output names.

        Args:
            recorded: The parameters of the runs that are needed.

        Raises:
            ConfigError: There are such places, and the operator does not trust the output; the message names them.
        """
        places = self.describe_places(recorded)
        if not places or self.trusts_output:
            return
        options = dict.fromkeys(PLACES[name][1] for config in recorded for name in self.name_places(config))
        raise ConfigError(
            "expected you to name the places, found them only in the output, which others may have written: "
            f"{', '.join(places)}; name yours with {', '.join(options)}, or accept these with --trust-output"
        )

    def describe_places(self, recorded: Sequence[StylizeConfig]) -> tuple[str, ...]:
        """Return what `name_places` finds in the parameters of several runs, each place once, for people."""
        places = [place for config in recorded for place in self.name_places(config).items()]
        return tuple(dict.fromkeys(f"{PLACES[name][0]} {place}" for name, place in places))

    def _given_without(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self.given, name) for name in self.given.model_fields_set.difference(names)}


def is_foreign_runner(recorded: StylizeConfig) -> bool:
    """Return whether a run worked elsewhere than in its own process."""
    return recorded.runner not in _OWN_RUNNERS


def parse_config(run: str, data: bytes) -> StylizeConfig | None:
    """Read `config.json` or `summary.json` of a run; None, and a warning, if it cannot be read."""
    try:
        values = json.loads(data)
        return StylizeConfig.model_validate(_as_written(values.get("config", values)))
    except (ValueError, AttributeError, RecursionError) as error:  # a ValidationError is a ValueError
        logger.warning("the config of run %s cannot be read: %s", run, error)
        return None


def _as_written(values: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a run with what they meant at its time: older versions had fewer settings."""
    values = {"controls": (), **values}
    if not isinstance(values.get("recipe"), dict):
        return values
    of_older = {"mark": "none", "metadata": "none", **StylizeRecipe.ADDED_LATER}
    return {**values, "recipe": {**of_older, **values["recipe"]}}


def _describe(name: str, recorded: StylizeConfig) -> str:
    revision = f" (revision {recorded.revision})" if name == "base_model" and recorded.revision else ""
    value = getattr(recorded, name)
    return escape_invisible(f"{', '.join(value) if isinstance(value, tuple) else value}{revision}")
