"""The fields of a config model, with those of its nested models."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def flatten(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model by name, those of nested models in their place."""
    fields: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        nested = _nested(field)
        fields |= flatten(nested) if nested else {name: field}
    return fields


def list_owners(model: type[BaseModel]) -> list[list[str]]:
    """Return the paths of the nested models; the first is empty and stands for the model itself."""
    owners: list[list[str]] = [[]]
    for name, field in model.model_fields.items():
        nested = _nested(field)
        if nested:
            owners += [[name, *inner] for inner in list_owners(nested)]
    return owners


def find_owner(model: type[BaseModel], name: str) -> list[str]:
    """Return the path of the nested model that holds a field."""
    for owner in list_owners(model):
        found = find_nested(model, owner)
        if found is not None and name in found.model_fields:
            return owner
    raise KeyError(name)


def find_nested(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel] | None:
    """Return the model at a path of names; None if a value is there, or nothing."""
    for name in path:
        field = model.model_fields.get(name)
        nested = _nested(field) if field else None
        if nested is None:
            return None
        model = nested
    return model


def _nested(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if inspect.isclass(kind) and issubclass(kind, BaseModel) else None
