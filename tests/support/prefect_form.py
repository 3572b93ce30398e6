"""Fill in Prefect's form for a run, as the page Run -> Custom of its server does.

Source: the components SchemaFormProperty and SchemaFormProperties of Prefect 3.9's pages, which ask for the fields by
`position`, take every default, send a switch that has none as false, and leave out all else that has no value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]


def fill_form(schema: Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a form sends that opens with some values and is sent unchanged."""
    return _fill_fields(schema, given, schema["definitions"])


def list_fields(schema: Schema, name: str) -> list[str]:
    """Return the fields of a model in the order in which a form shows them."""
    fields = schema["definitions"][name]["properties"]
    return sorted(fields, key=lambda field: fields[field].get("position", 0))


def _fill_fields(schema: Schema, given: Mapping[str, Any], definitions: Schema) -> dict[str, Any]:
    return dict(_filled(schema["properties"], given, definitions))


def _filled(fields: Schema, given: Mapping[str, Any], definitions: Schema) -> Iterator[tuple[str, Any]]:
    for name, field in fields.items():
        reference = field.get("$ref", "")
        whole = {**definitions.get(reference.rpartition("/")[2], {}), **field}
        if name in given or "default" in whole:
            value = given.get(name, whole.get("default"))
        elif "properties" in whole:
            value = {}
        elif whole.get("type") == "boolean":
            value = False
        else:
            continue
        yield name, _fill_fields(whole, value, definitions) if "properties" in whole else value
