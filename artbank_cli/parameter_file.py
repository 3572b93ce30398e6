"""Read a YAML or JSON file with the parameters of a flow."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from artbank.errors import ConfigError
from artbank.store.explanations import explain

_MAX_BYTES = 10_000_000
_EXPECTED = "expected YAML or JSON with the parameters of a flow, such as config: ..."
# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}


@dataclass(frozen=True)
class ParameterFile:
    """The parameters in a file, and the places of its fields.

    Attributes:
        values: The parameters by field.
        root: The node of the file's text that holds them.
    """

    values: dict[str, Any]
    root: Any

    def find_line(self, path: Sequence[str | int]) -> tuple[int, int] | None:
        """Return the line of a field, from 1, and how many names of its path the file has; None without the first.

        Args:
            path: Names of nested fields, such as `("recipe", "steps")`.
        """
        node, found = self.root, None
        for depth, name in enumerate(path, start=1):
            pairs: list[Any] = list(node.value) if isinstance(node, yaml.MappingNode) else []
            pair = next(((key, value) for key, value in reversed(pairs) if key.value == name), None)
            if pair is None:
                break
            node, found = pair[1], (pair[0].start_mark.line + 1, depth)
        return found


def read_parameters(path: Path) -> ParameterFile:
    """Return the parameters in a file: UTF-8, or UTF-16 as some editors and PowerShell write it.

    Raises:
        ConfigError: The file cannot be read, or holds something else.
    """
    try:
        loader = yaml.SafeLoader(_read_text(path))
        root = loader.get_single_node()  # None of an empty file
        values: Any = None if root is None else loader.construct_document(root)
    except OSError as error:
        raise ConfigError(f"parameter file {path} cannot be read: {explain(error)}") from error
    except ConfigError:  # which is a ValueError
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: such as a date in a 13th month
        raise ConfigError(f"parameter file {path} cannot be read: {error}; {_EXPECTED}{_advise(path)}") from error
    if root is not None and isinstance(values, dict) and isinstance(values.get("config"), dict):
        values = values["config"]
        root = next(value for key, value in reversed(root.value) if key.value == "config")  # the last one counts
    if not isinstance(values, dict):
        found = "an empty file" if values is None else "a list" if isinstance(values, list) else "a text"
        raise ConfigError(f"parameter file {path}: {_EXPECTED}, found {found}{_advise(path)}")
    return ParameterFile(values, root)


def _advise(path: Path) -> str:
    """Return what to do with a file of another format."""
    return "; TOML is read from artbank.toml alone, see `artbank settings`" if path.suffix.lower() == ".toml" else ""


def _read_text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ConfigError(
            f"parameter file {path}: {_EXPECTED}, found more than {_MAX_BYTES // 10**6} MB; name another file"
        )
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"parameter file {path}: expected text in UTF-8 or UTF-16, found byte 0x{data[error.start]:02x} in line "
            f"{line} (in Windows-1252 {data[error.start : error.start + 1].decode('cp1252', 'replace')!r}); "
            "save the file as UTF-8"
        ) from error
