"""The settings that the API takes by name, and how wrong ones are explained.

The typed dictionaries repeat the names and types of the recipes' and configs' fields, for editors and type checkers; a
test keeps them equal. The models check the values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, TypedDict, TypeVar

from pydantic import BaseModel, ValidationError

from artbank.errors import ConfigError
from artbank.parameters.bank_recipe import Attention, BankKind
from artbank.parameters.draw_config import DrawConfig
from artbank.parameters.run_config import Compiling, Device, Dtype, Offload, RunConfig, Uri, explain_entry
from artbank.parameters.stylize_recipe import (
    Alpha,
    Colour,
    Inversion,
    Mark,
    Metadata,
    OutputSize,
    Preset,
    Solver,
    Spacing,
)
from artbank.recipes import StylizeRecipe

Settings = TypeVar("Settings", bound=BaseModel)


class ModelSettings(TypedDict, total=False):
    """The models, the device and the limits of input files; see `artbank.config.RunConfig`."""

    base_model: Uri
    revision: str | None
    offline: bool
    device: Device
    dtype: Dtype
    compiling: Compiling
    offload: Offload
    scorer: Uri
    style_model: Uri | None
    max_megapixels: float
    max_megabytes: float


class TrainSettings(ModelSettings, total=False):
    """The settings of a training; see `artbank.recipes.BankRecipe` and `artbank.config.TrainConfig`."""

    kind: BankKind
    rank: int
    num_tokens: int
    attention: Attention
    init_word: str
    max_steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    num_crops: int
    caption_dropout: float
    min_snr_gamma: float | None
    max_strength: float
    holdout: float
    validate_every: int
    patience: int
    resolution_px: int | None
    warm_start: bool
    seed: int
    force: bool
    allow_missing: bool
    num_samples: int
    num_milestones: int
    checkpoint_every: int


class StylizeSettings(TypedDict, total=False):
    """The settings of a picture; see `artbank.recipes.StylizeRecipe`."""

    preset: Preset
    strength: float
    steps: int
    guidance: float
    guidance_from: float
    guidance_to: float
    inversion: Inversion
    solver: Solver
    spacing: Spacing
    aligned: bool
    reuse: int
    structure: float
    keep_structure: float | None
    reach_style: float | None
    candidates: int
    style_weight: float
    prompt: str
    photo_captions: bool
    negative_prompt: str
    colour: Colour
    colour_strength: float
    size: OutputSize
    detail: float
    resolution_px: int | None
    alpha: Alpha
    quality: int
    mark: Mark
    metadata: Metadata
    seed: int


class DrawSettings(StylizeSettings, total=False):
    """The settings of a picture, and the models that draw and score it; see `parameters.draw_config.DrawConfig`."""

    control: str | Sequence[str] | None
    lora: str | Sequence[str]
    depth_model: Uri | None
    structure_model: Uri | None
    texture: bool


_FIELDS = {
    **{"control": "controls", "lora": "loras"},
    **{name: name for name in ("depth_model", "structure_model", "texture")},
}
"""Fields of `DrawConfig` by the names that the API has for them."""
_NAMES = {field: name for name, field in _FIELDS.items()}

Owner = Literal["train", "stylize", "open_store", "load_bank"]


def read_settings(model: type[Settings], values: Mapping[str, Any], owner: Owner, names: Mapping[str, Any]) -> Settings:
    """Build a config or a recipe from settings.

    Args:
        model: Checks the settings.
        values: What the model is built from.
        owner: The function that took them, for errors.
        names: A typed dictionary's annotations: the settings that this function takes.

    Raises:
        ConfigError: A setting is unknown, with the nearest known one, or has a wrong value.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        texts = [_explain(entry, owner, names) for entry in error.errors(include_url=False)]
        raise ConfigError("; ".join(texts)) from None


def read_drawing(settings: Mapping[str, Any], config: RunConfig) -> DrawConfig:
    """Return how to draw: the recipe, and all models.

    Args:
        settings: Those of `DrawSettings`.
        config: The base model, device and scorer.

    Raises:
        ConfigError: A setting, a LoRA or a ControlNet is unknown or wrong.
    """
    recipe = {name: value for name, value in settings.items() if name not in _FIELDS}
    models = {field: settings[name] for name, field in _FIELDS.items() if name in settings}
    for field in ("controls", "loras"):
        if isinstance(models.get(field), str):
            models[field] = (models[field],)
    names = DrawSettings.__annotations__
    checked = read_settings(StylizeRecipe, recipe, "stylize", names)
    return read_settings(DrawConfig, {**config.model_dump(), **models, "recipe": checked}, "stylize", names)


def read_models(settings: Mapping[str, Any], owner: Owner, base_model: str | None = None) -> RunConfig:
    """Return the models and the device that a bank draws with.

    Args:
        settings: What was given by name.
        owner: The function that took it, for errors.
        base_model: The base model where none was given; None for that of `RunConfig`.

    Raises:
        ConfigError: A setting is unknown or wrong.
    """
    default = {} if base_model is None else {"base_model": base_model}
    return read_settings(RunConfig, {**default, **settings}, owner, ModelSettings.__annotations__)


def _explain(entry: Any, owner: Owner, names: Mapping[str, Any]) -> str:
    name = next((str(part) for part in reversed(entry["loc"]) if isinstance(part, str)), "")
    if entry["type"] == "extra_forbidden":
        return f"{owner}() has no setting {name}; {_suggest(name, names, _name_takers(name))}"
    message = explain_entry(entry)
    return message if isinstance(entry["input"], dict) else f"{_NAMES.get(name, name)}={entry['input']!r}: {message}"


def _name_takers(name: str) -> str:
    """Return which functions take a setting; empty if none does."""
    takers = {
        "stylize() or stylize_each()": DrawSettings,
        "train(), open_store() or load_bank()": ModelSettings,
        "train()": TrainSettings,
    }
    return next((taker for taker, settings in takers.items() if name in settings.__annotations__), "")


def _suggest(name: str, names: Mapping[str, Any], takers: str) -> str:
    """Say which setting was meant, or which other functions take this one."""
    near = get_close_matches(name, names, n=1, cutoff=0.6 if takers else 0.5)
    if near:
        return f"did you mean {near[0]}?" + (f" {name} is for {takers}" if takers else "")
    return f"give it to {takers}" if takers else f"it takes {', '.join(names)}"
