"""The base of parameter models and of recipes, which are named by the digest of their settings."""

from __future__ import annotations

import json
from types import UnionType
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationInfo, field_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from artbank.parameters.groups import Groups, sort_fields
from artbank.runtime.hashing import short_hash


def _takes_numbers(annotation: Any) -> bool:
    """Return whether a field takes numbers, but not true and false."""
    kinds = _list_kinds(annotation)
    return bool(kinds & {int, float}) and bool not in kinds


def _list_kinds(annotation: Any) -> set[Any]:
    """Return the types of an annotation, those within unions and `Annotated` too."""
    parts = get_args(annotation)
    if get_origin(annotation) in (Union, UnionType):
        return set().union(*map(_list_kinds, parts))
    return _list_kinds(parts[0]) if get_origin(annotation) is Annotated else {annotation}


class Model(BaseModel):
    """Base of all parameter models: frozen, and unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    GROUPS: ClassVar[Groups] = {}
    """The order and the groups in which people meet the fields; without any, the order of their declarations."""

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false for a number, also YAML's `yes` and `no`: pydantic takes them for 1 and 0."""
        if isinstance(value, bool) and info.field_name and _takes_numbers(cls.model_fields[info.field_name].annotation):
            raise ValueError(f"expected a number, found {str(value).lower()}")
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Number the fields by `position`, which is the order of Prefect's form: its database keeps no other one."""
        schema = handler(core_schema)
        fields = handler.resolve_ref_schema(schema)
        names = sort_fields(cls.GROUPS, fields["properties"])
        fields["properties"] = {
            name: {**fields["properties"][name], "position": place} for place, name in enumerate(names)
        }
        return schema


class Recipe(Model):
    VERSION: ClassVar[int]
    """Version of the code behind a recipe. Raise it when the same recipe would give another bank or other pixels."""

    ADDED_LATER: ClassVar[dict[str, Any]] = {}
    """Fields of a later release, with the value that leaves banks or pictures as they were before it."""

    NOT_COUNTED: ClassVar[frozenset[str]] = frozenset({"preset"})
    """Fields that change no bank and no pixel."""

    @property
    def code_versions(self) -> dict[str, int]:
        """Versions of the code behind single settings, where it changed and `VERSION` did not."""
        return {}

    @property
    def without_effect(self) -> frozenset[str]:
        """Fields that change nothing, whatever their value, because of the values of others."""
        return frozenset()

    def digest(self) -> str:
        """Return 16 hex digits, equal exactly for recipes with equal settings.

        A field that was added later does not count while it changes nothing, so older results keep their names.
        """
        settings = self.model_dump(mode="json", exclude=set(self.NOT_COUNTED | self.without_effect))
        unchanged = {name for name, value in self.ADDED_LATER.items() if settings.get(name) == value}
        counted = {name: value for name, value in settings.items() if name not in unchanged}
        facts = {"version": self.VERSION, **self.code_versions, **counted}
        return short_hash(json.dumps(facts, sort_keys=True))
