"""`artbank.toml`: defaults for places and options, below the command line and the environment.

The first of these files is read: the one that ARTBANK_CONFIG names, `artbank.toml` in the current folder, and
`artbank/artbank.toml` in the user's folder of settings (XDG_CONFIG_HOME, `~/.config`).
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from artbank.config import StylizeConfig, TrainConfig
from artbank.errors import ConfigError
from artbank.parameters.run_config import RunConfig
from artbank.store.explanations import explain
from artbank_cli.parameter_fields import find_owner, flatten

FILE_NAME = "artbank.toml"
VARIABLE = "ARTBANK_CONFIG"
PLACES = {"gallery": "gallery_uri", "store": "store_uri", "photos": "archive_uri", "output": "output_uri"}
"""Fields of the places by their names in the file."""
_SHARED = {**PLACES, "style": "styles"}
_TABLES: dict[str, type[BaseModel]] = {"train": TrainConfig, "stylize": StylizeConfig}
_HEADER = re.compile(r"\s*\[\s*([\w-]+)\s*\]")
_KEY = re.compile(r"\s*[\"']?([\w-]+)[\"']?\s*=")


@dataclass(frozen=True)
class SettingsFile:
    """The settings in a file.

    Attributes:
        path: The file; None without one.
        values: Its settings: by name, and in the tables `train` and `stylize`.
        lines: Line of each setting, from 1, by its table ("" at the top) and name.
    """

    path: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def list_settings(self) -> Iterator[tuple[str, str, Any, int]]:
        """Yield table, name, value and line of each setting."""
        for table, names in (("", self.values), *((name, self.values.get(name, {})) for name in _TABLES)):
            for name, value in names.items():
                if table or name not in _TABLES:
                    yield table, name, value, self.lines.get((table, name), 0)

    def find_fields(self, model: type[BaseModel]) -> dict[str, tuple[Any, str]]:
        """Return the value of each field of a model that the file sets, and its place: `stylize.preset (line 4)`.

        A command's own table wins over the top of the file.
        """
        known = flatten(model)
        found: dict[str, tuple[Any, str]] = {}
        for table, name, value, line in self.list_settings():
            key = _field_of(table, name)
            if key in known and (not table or _TABLES[table] is model):
                listed = [value] if key == "styles" and isinstance(value, str) else value
                found[key] = (listed, f"{self.path}: {_spell(table, name)} (line {line})")
        return found


def read_settings() -> SettingsFile:
    """Read the settings file, if there is one.

    Raises:
        ConfigError: It cannot be read, or has an unknown setting; names field and line.
    """
    path = _find_file()
    if path is None:
        return SettingsFile()
    try:
        text = path.read_text("utf-8")
        values = tomllib.loads(text)
    except (OSError, ValueError) as error:
        reason = explain(error) if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"{path} cannot be read: {reason}; expected TOML such as store = 's3://museum/store'"
        ) from error
    settings = SettingsFile(path, values, _find_lines(text))
    _check(settings)
    return settings


def find_defaults(parameters: Sequence[Any]) -> dict[str, Any]:
    """Return the file's places for the options of a command that the environment can set too, by the option's name."""
    variables = {f"ARTBANK_{name.upper()}": name for name in PLACES}
    wanted = {parameter.name: variables[parameter.envvar] for parameter in parameters if parameter.envvar in variables}
    values = read_settings().values if wanted else {}
    return {option: values[name] for option, name in wanted.items() if name in values}


def merge_fields(model: type[BaseModel], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields by name as the nested parameters of a model."""
    nested: dict[str, Any] = {}
    for name, value in fields.items():
        where = nested
        for owner in find_owner(model, name):
            where = where.setdefault(owner, {})
        where[name] = value
    return nested


def lay_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested parameters of which `above` wins, field by field."""
    both = dict(below)
    for name, value in above.items():
        old = below.get(name)
        both[name] = lay_over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return both


def _find_file() -> Path | None:
    if named := os.environ.get(VARIABLE):
        if not Path(named).is_file():
            raise ConfigError(f"{VARIABLE}={named}: there is no such file; correct or unset it")
        return Path(named)
    home = Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"))  # noqa: PTH111 - there may be no home
    return next((path for path in (Path(FILE_NAME), home / "artbank" / FILE_NAME) if path.is_file()), None)


def _find_lines(text: str) -> dict[tuple[str, str], int]:
    lines: dict[tuple[str, str], int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = header[1]
            lines.setdefault(("", table), number)
        elif key := _KEY.match(line):
            lines.setdefault((table, key[1]), number)
    return lines


def _check(settings: SettingsFile) -> None:
    """Check the names of all settings, and the kind of those that commands without a model take."""
    for table in _TABLES:
        if not isinstance(settings.values.get(table, {}), dict):
            raise ConfigError(f"{settings.path}: {table} (line {settings.lines.get(('', table), 0)}): expected a table")
    for table, name, value, line in settings.list_settings():
        allowed = _allowed(table)
        place = f"{settings.path}: {_spell(table, name)} (line {line})"
        if name.replace("-", "_") not in allowed:
            raise ConfigError(f"{place}: unknown{_advise(name, allowed)}")
        if name in PLACES and not (isinstance(value, str) and value):
            raise ConfigError(f"{place}: expected the text of a folder or address, found {value!r}")


def _allowed(table: str) -> Sequence[str]:
    if table:
        return [*flatten(_TABLES[table]), *_SHARED]
    return [*_SHARED, *flatten(RunConfig), *_TABLES]


def _advise(name: str, allowed: Sequence[str]) -> str:
    for table, model in _TABLES.items():
        if name.replace("-", "_") in flatten(model):
            return f"; write it below [{table}]"
    near = get_close_matches(name, allowed, n=1)
    return f"; did you mean {near[0]}?" if near else "; see `--help` for the options, without their dashes"


def _field_of(table: str, name: str) -> str:
    return _SHARED.get(name) or name.replace("-", "_")


def _spell(table: str, name: str) -> str:
    return f"{table}.{name}" if table else name
