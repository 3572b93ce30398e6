"""`artbank settings`: show the places and options that commands use by default, and where each comes from."""

from __future__ import annotations

import os
from collections.abc import Iterator

from artbank_cli.options import JsonOption
from artbank_cli.output import say, say_json
from artbank_cli.settings_file import PLACES, SettingsFile, read_settings


def settings(as_json: JsonOption = False) -> None:
    """Show the defaults of places and options, and where each comes from: the environment or artbank.toml."""
    rows = list(list_sources(read_settings()))
    if as_json:
        say_json([dict(zip(("name", "value", "source"), row, strict=True)) for row in rows])
        return
    for name, value, source in rows:
        say(f"{name}: not set" if value is None else f"{name}: {value} ({source})")


def list_sources(found: SettingsFile) -> Iterator[tuple[str, object, str | None]]:
    """Yield name, value and source of each place, and of each option that the file sets; None without a value.

    The environment wins over the file, and an option of a command over both.
    """
    in_file = {
        (table, name): (value, f"{found.path}, line {line}") for table, name, value, line in found.list_settings()
    }
    for name in PLACES:
        variable = f"ARTBANK_{name.upper()}"
        if os.environ.get(variable):
            in_file.pop(("", name), None)
            yield name, os.environ[variable], f"environment, {variable}"
        else:
            value, source = in_file.pop(("", name), (None, None))
            yield name, value, source
    for (table, name), (value, source) in in_file.items():
        yield f"{table}.{name}" if table else name, value, source
