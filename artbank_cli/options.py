"""Options of the command line, made from the fields of the config models: none is written twice."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from artbank.errors import ConfigError
from artbank_cli.parameter_file import read_parameters

StoreOption = Annotated[
    str | None, typer.Option("--store", help="Folder or s3:// prefix of the catalog.", envvar="ARTBANK_STORE")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
LocalOption = Annotated[
    bool, typer.Option("--local", help="Work in this process alone, on one device, without Prefect and its server.")
]
ParametersOption = Annotated[
    Path | None, typer.Option("--parameters", help="YAML or JSON file with the flow's parameters; options win over it.")
]

Config = TypeVar("Config", bound=BaseModel)
_SPELLED = {"store_uri": "--store", "collections": "--collection", "styles": "--style", "failures": "--failure"}
_SHOWN = {"gallery_uri": "GALLERY_URI", "archive_uri": "PHOTOS_URI", "output_uri": "OUTPUT_URI"}  # no options


def add_options(
    command: Callable[..., None], model: type[BaseModel], arguments: tuple[str, ...]
) -> Callable[..., None]:
    """Give a command one option for each field of a model, nested models included.

    Args:
        command: Takes `given`, the values that were given by field name, and its own keyword options, if any.
        model: The config model of the command's flow.
        arguments: Fields that are arguments instead, in their order.
    """
    fields = _flatten(model)
    parameters = [_parameter(name, field, name in arguments) for name, field in fields.items()]
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "given"]
    order = {name: place for place, name in enumerate(arguments)}
    parameters.sort(key=lambda parameter: order.get(parameter.name, len(order)))

    def run(**values: Any) -> None:
        given = {name: values[name] for name in fields if values[name] not in (None, [])}
        command(given=given, **{p.name: values[p.name] for p in own})

    run.__signature__ = inspect.Signature([*parameters, *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own)])  # pyright: ignore[reportFunctionMemberAccess]
    run.__name__ = command.__name__
    run.__doc__ = command.__doc__
    return run


def build_config(model: type[Config], given: dict[str, Any], parameters: Path | None) -> Config:
    """Build a config from a parameter file and from what was given on the command line, which wins.

    Raises:
        ConfigError: Names each wrong option, its value and what is allowed.
    """
    values = read_parameters(parameters) if parameters else {}
    for name, value in given.items():
        where = values
        for owner in _owners(model, name):
            inner = _as_parameters(where.get(owner), owner)
            where[owner] = inner
            where = inner
        where[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(entry) for entry in error.errors())) from error


def _as_parameters(value: Any, owner: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise ConfigError(f"parameter file: expected the parameters of {owner} below its name, found {value!r}")
    return value or {}


def _flatten(model: type[BaseModel]) -> dict[str, FieldInfo]:
    fields: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        nested = _nested(field)
        fields |= _flatten(nested) if nested else {name: field}
    return fields


def _nested(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if inspect.isclass(kind) and issubclass(kind, BaseModel) else None


def _owners(model: type[BaseModel], name: str) -> list[str]:
    """Return the path of nested models that holds a field."""
    if name in model.model_fields:
        return []
    for outer, field in model.model_fields.items():
        nested = _nested(field)
        if nested and name in _flatten(nested):
            return [outer, *_owners(nested, name)]
    raise KeyError(name)


def _parameter(name: str, field: FieldInfo, is_argument: bool) -> inspect.Parameter:
    text = field.description or ""
    if is_argument:
        marker: Any = typer.Argument(help=text, metavar=_SHOWN[name], show_default=False)
    else:
        spelled = _SPELLED.get(name, f"--{name.replace('_', '-')}")
        default = field.get_default(call_default_factory=True)
        shown = "" if field.is_required() or default in (None, "", ()) else f" (default: {_plain(default)})"
        both = f"{spelled}/--no-{spelled[2:]}" if field.annotation is bool else spelled
        marker = typer.Option(both, help=text + shown, show_default=False, metavar=_metavar(field.annotation))
    kind = Annotated[_option_type(field.annotation), marker]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _option_type(kind: Any) -> Any:
    """Return what the parser reads: optional, since absent means the default; numbers are left to the model to read."""
    if get_origin(kind) is tuple:
        return list[str] | None
    return bool | None if kind is bool else str | None


def _metavar(kind: Any) -> str | None:
    """Return what help calls the value of an option; None leaves it to the parser."""
    if get_origin(kind) in (Union, UnionType):
        kind = next(inner for inner in get_args(kind) if inner is not NoneType)
    return f"<{kind.__name__}>" if kind in (int, float) else None


def _explain(entry: Any) -> str:
    name = next((str(part) for part in reversed(entry["loc"]) if isinstance(part, str)), "")
    spelled = _SHOWN.get(name) or _SPELLED.get(name) or (f"--{name.replace('_', '-')}" if name else "options")
    if entry["type"] == "missing":
        return f"{spelled} is missing"
    shown = "" if isinstance(entry["input"], dict) else f" {entry['input']}"
    return f"{spelled}{shown}: {entry['msg'].removeprefix('Value error, ')}"
