"""Options of the command line, made from the fields of the config models: none is written twice."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from artbank.errors import ConfigError
from artbank.parameters.groups import find_group, sort_fields
from artbank.parameters.presets import FIXED_BY_PAPER, GOVERNED, describe_presets
from artbank_cli.help_pages import REQUIRED, HelpAllOption
from artbank_cli.output import say
from artbank_cli.parameter_errors import explain_errors
from artbank_cli.parameter_fields import find_owner, flatten
from artbank_cli.parameter_file import ParameterFile, read_parameters
from artbank_cli.preset_precedence import list_replaced, replace_by_preset
from artbank_cli.settings_file import lay_over, merge_fields, read_settings

StoreOption = Annotated[
    str | None, typer.Option("--store", "-S", help="Folder or s3:// prefix of the catalog.", envvar="ARTBANK_STORE")
]
JsonOption = Annotated[bool, typer.Option("--json", "-j", help="Print JSON, for scripts.")]
LocalOption = Annotated[
    bool, typer.Option("--local", help="Work in this process alone, on one device, without Prefect and its server.")
]
ParametersOption = Annotated[
    Path | None,
    typer.Option(
        "--parameters", "-f", metavar="FILE", help="YAML or JSON file with the flow's parameters; options win over it."
    ),
]

Config = TypeVar("Config", bound=BaseModel)
_SPELLED = {
    "store_uri": "--store",
    "collections": "--collection",
    "styles": "--style",
    "failures": "--failure",
    "loras": "--lora",
    "controls": "--control",
}
_SHOWN = {"gallery_uri": "GALLERY_URI", "archive_uri": "PHOTOS_URI", "output_uri": "OUTPUT_URI"}  # no options
SHORT = {
    **{"store_uri": "-S", "styles": "-s", "collections": "-c", "preset": "-p", "limit": "-l", "dry_run": "-n"},
    **{"base_model": "-m", "device": "-d"},
}
"""Short forms of options, by field."""
ENVIRONMENT = {
    "gallery_uri": "ARTBANK_GALLERY",
    "store_uri": "ARTBANK_STORE",
    "archive_uri": "ARTBANK_PHOTOS",
    "output_uri": "ARTBANK_OUTPUT",
}
"""Variables for places that are neither in the parameter file nor on the command line, by field."""
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_KINDS = {int: "INTEGER", float: "NUMBER"}


def add_options(
    command: Callable[..., None], model: type[BaseModel], arguments: tuple[str, ...]
) -> Callable[..., None]:
    """Give a command one option for each field of a model, nested models included.

    Args:
        command: Takes `given`, the values that were given by field name, and its own keyword options, if any.
        model: The config model of the command's flow.
        arguments: Fields that are arguments instead, in their order.
    """
    fields = flatten(model)
    groups = getattr(model, "GROUPS", {})
    names = sort_fields(groups, fields)
    names.sort(key=lambda name: arguments.index(name) if name in arguments else len(arguments))
    parameters = [_parameter(name, fields[name], name in arguments, find_group(groups, name)) for name in names]
    own_options = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "given"]
    keywords = [p.replace(kind=_KEYWORD) for p in own_options]
    if groups:
        keywords.append(inspect.Parameter("help_all", _KEYWORD, default=False, annotation=HelpAllOption))

    def run(**values: Any) -> None:
        given = {name: values[name] for name in fields if values[name] not in (None, [])}
        command(given=given, **{p.name: values[p.name] for p in own_options})

    run.__signature__ = inspect.Signature([*parameters, *keywords])  # pyright: ignore[reportFunctionMemberAccess]
    run.__name__ = command.__name__
    run.__doc__ = command.__doc__
    return run


def build_config(model: type[Config], given: Mapping[str, Any], parameters: Path | None) -> Config:
    """Build a config from the command line, a parameter file, the environment and `artbank.toml`; the first wins.

    A preset wins over the settings that presets decide, in all places below its own; each that it replaces is printed.

    Raises:
        ConfigError: Names each wrong option, its value and what is allowed; of a file, field and line.
    """
    file = read_parameters(parameters) if parameters else None
    set_fields = read_settings().find_fields(model)
    from_settings = merge_fields(model, {name: value for name, (value, _) in set_fields.items()})
    from_file = {**_read_environment(model), **(file.values if file else {})}
    values = lay_over(replace_by_preset(model, from_settings, from_file), from_file)
    values = replace_by_preset(model, values, merge_fields(model, given))
    for name, value in given.items():
        where = values
        for owner in find_owner(model, name):
            inner = dict(_as_parameters(where.get(owner), owner))
            where[owner] = inner
            where = inner
        where[name] = value
    places = {name: place for name, (_, place) in set_fields.items() if not os.environ.get(ENVIRONMENT.get(name, ""))}
    try:
        config = model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain_errors(model, error, given, file, _spell, places)) from error
    _tell_replaced(config, given, from_settings, from_file, file, places)
    return config


def _tell_replaced(
    config: BaseModel,
    given: Mapping[str, Any],
    from_settings: Mapping[str, Any],
    from_file: Mapping[str, Any],
    file: ParameterFile | None,
    places: Mapping[str, str],
) -> None:
    """Print a line for each setting of a file that a preset replaces: one that wins over the file."""
    model = type(config)
    typed = merge_fields(model, given)
    if "preset" in given:
        replaced = list_replaced(model, config, lay_over(from_settings, from_file), typed)
    else:
        replaced = list_replaced(model, config, from_settings, lay_over(from_file, typed))
    for name, value in replaced.items():
        path = [*find_owner(model, name), name]
        line = file.find_line(path) if file else None
        is_in_file = line is not None and line[1] == len(path)
        place = f"{'.'.join(path)} (line {line[0]})" if line and is_in_file else places.get(name, name)
        option = f"--{'' if value else 'no-'}{name}" if isinstance(value, bool) else f"{_spell(name)} {value}"
        preset = f"--preset {given['preset']}" if "preset" in given else "the preset of the parameter file"
        is_fixed = given.get("preset") == "paper" and name in FIXED_BY_PAPER
        advice = "preset exact lets you choose it" if is_fixed else f"type {option} to keep it"
        say(f"artbank: {preset} replaces {place}; {advice}", to_stderr=True)


def _read_environment(model: type[BaseModel]) -> dict[str, Any]:
    return {
        field: os.environ[name]
        for field, name in ENVIRONMENT.items()
        if field in model.model_fields and os.environ.get(name)
    }


def _as_parameters(value: Any, owner: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise ConfigError(f"parameter file: expected the parameters of {owner} below its name, found {value!r}")
    return value or {}


def _spell(name: str) -> str:
    """Return the option or argument of a field."""
    return _SHOWN.get(name) or _SPELLED.get(name) or f"--{name.replace('_', '-')}"


def _parameter(name: str, field: FieldInfo, is_argument: bool, group: str | None) -> inspect.Parameter:
    text = _help(name, field)
    if is_argument:
        marker: Any = typer.Argument(help=text, metavar=_SHOWN[name], show_default=False, rich_help_panel=group)
    else:
        spelled = _SPELLED.get(name, f"--{name.replace('_', '-')}")
        both = f"{spelled}/--no-{spelled[2:]}" if field.annotation is bool else spelled
        short = [SHORT[name]] if name in SHORT else []
        marker = typer.Option(
            *short,
            both,
            help=text,
            show_default=False,
            metavar=_metavar(field.annotation),
            rich_help_panel=group,
            autocompletion=_complete(_list_choices(field.annotation)),
        )
    kind = Annotated[_option_type(field.annotation), marker]
    return inspect.Parameter(name, _KEYWORD, default=None, annotation=kind)


def _help(name: str, field: FieldInfo) -> str:
    """Return a field's description with its default, its variable in the environment, and whether it must be given."""
    default = field.get_default(call_default_factory=True)
    parts = [field.description or ""]
    if name in GOVERNED and default is not None:
        parts.append(f"(default: {describe_presets(name, default)})")
    elif not field.is_required() and default not in (None, "", (), False):
        parts.append(f"(default: {_plain(default)})")
    if name in ENVIRONMENT:
        parts.append(f"Environment: {ENVIRONMENT[name]}.")
    if field.is_required():
        parts.append(REQUIRED)
    return " ".join(parts)


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _option_type(kind: Any) -> Any:
    """Return what the parser reads: optional, since absent means the default; numbers are left to the model to read."""
    if get_origin(_without_none(kind)) is tuple:
        return list[str] | None
    return bool | None if kind is bool else str | None


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        return next(inner for inner in get_args(kind) if inner is not NoneType)
    return kind


def _unwrap(kind: Any) -> Any:
    """Return the type of a value: of a list's item, and without None."""
    kind = _without_none(kind)
    return get_args(kind)[0] if get_origin(kind) is tuple else kind


def _list_choices(kind: Any) -> list[str]:
    """Return the values that a field can have, if they can be listed."""
    kind = _unwrap(kind)
    return list(get_args(kind)) if get_origin(kind) is Literal else []


def _complete(choices: Sequence[str]) -> Callable[[str], list[str]] | None:
    """Return what the shell asks for the values that begin with a text; None without choices."""
    return (lambda incomplete: [choice for choice in choices if choice.startswith(incomplete)]) if choices else None


def _metavar(kind: Any) -> str | None:
    """Return what help calls the value of an option: its kind, or its choices; None for a switch."""
    if kind is bool:
        return None
    choices = _list_choices(kind)
    return f"[{' | '.join(choices)}]" if choices else _KINDS.get(_unwrap(kind), "TEXT")
