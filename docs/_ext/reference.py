"""Writes the reference out of the code: what is described there is described nowhere else.

A comment `<!-- generated: KIND NAME -->` in a page is replaced by Markdown when the site is built:

    config   a model of `artbank.config` or `artbank.recipes`, with its fields
    table    a row of `artbank.records`, with its columns
    commands the command line, every command and option
    errors   the tree of `artbank.errors`
    failures the kinds of failure that a row may name
    rules    the built-in rules of `artbank.parameters.skip_rules`
    skipped  the kinds of files that a listing leaves out
    api      the names that `artbank` exports, see `api_reference`
    notebook a notebook of `docs`, with its stored outputs
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import typer
from api_reference import api_lines, notebook_lines
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx

from artbank import config, errors, recipes
from artbank.parameters import skip_rules
from artbank.records import bank_records, photo_records
from artbank.records.row import Row
from artbank.store import skipped
from artbank_cli.main import app

DOCS = Path(__file__).parents[1]
_MARK = re.compile(r"^<!-- generated: (\w+) ?(\w*) -->$", re.MULTILINE)
_HASH = re.compile(r"(\[0-9a-f\])+")  # in a rule of `skip`, where a glob has a class for each digit
_LIMITS = {"minimum": "at least {}", "exclusiveMinimum": "above {}", "maximum": "at most {}"}


def setup(sphinx: Sphinx) -> dict[str, bool]:
    """Replace the comments of every page as it is read."""
    sphinx.connect("source-read", _fill)
    return {"parallel_read_safe": True}


def generate(kind: str, name: str = "") -> str:
    """Return the Markdown that takes the place of a comment."""
    if kind == "config":
        model = getattr(config, name, None) or getattr(recipes, name)
        return "\n".join(_config_lines(model))
    if kind == "notebook":
        return "\n".join(notebook_lines(DOCS / f"{name}.ipynb"))
    if kind == "table":
        return "\n".join(_table_lines(getattr(bank_records, name, None) or getattr(photo_records, name)))
    lines = {
        "api": api_lines,
        "commands": _command_lines,
        "errors": _error_lines,
        "failures": _failure_lines,
        "rules": _rule_lines,
        "skipped": _skipped_lines,
    }
    return "\n".join(lines[kind]())


def read_attributes(kind: type) -> dict[str, str]:
    """Return what the docstring of a class says of its attributes, by name."""
    _, _, section = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    found = re.findall(r"^ {4}(\w+): (.+(?:\n {8,}.+)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def list_commands() -> Iterator[tuple[str, Any]]:
    """Yield every command that does something, with all the words that call it."""
    yield from _below("artbank", typer.main.get_command(app))


def _fill(_: Sphinx, __: str, source: list[str]) -> None:
    source[0] = _MARK.sub(lambda found: generate(found[1], found[2]), source[0])


def _config_lines(model: type[BaseModel]) -> Iterator[str]:
    rows = []
    schema = model.model_json_schema()["properties"]
    for name, described in schema.items():
        field = model.model_fields[name]
        if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            text = f"see [{field.annotation.__name__}](#{field.annotation.__name__.lower()})"
            rows.append((f"`{name}`", "", "", text))
        else:
            rows.append((f"`{name}`", _allowed(schema[name]), _default(field), described["description"]))
    yield _first_line(model)
    yield ""
    yield from _table(("field", "values", "default", "what it does"), rows)


def _allowed(schema: dict[str, Any]) -> str:
    """Say which values a field takes, of its JSON schema."""
    if options := [inner for inner in schema.get("anyOf", ()) if inner.get("type") != "null"]:
        schema = schema | options[0]
    if schema.get("type") == "array":
        return f"list of {_allowed(schema['items']) or 'text'}"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = {"string": "text", "boolean": "true or false", "integer": "whole number", "number": "number"}
    limits = [text.format(f"{schema[name]:,}") for name, text in _LIMITS.items() if name in schema]
    return ", ".join([kind[schema["type"]], *limits])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True)
    if value in (None, ()):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _table_lines(row: type[Row]) -> Iterator[str]:
    described = read_attributes(row)
    yield _first_line(row)
    yield ""
    rows = [(f"`{column.name}`", _arrow(column.type), described[column.name]) for column in row.SCHEMA]
    yield from _table(("column", "type", "what it holds"), rows)


def _arrow(kind: pa.DataType) -> str:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return f"list of {plain.value_type}" if pa.types.is_list(plain) else str(plain)


def _command_lines() -> Iterator[str]:
    for words, command in list_commands():
        arguments = [one for one in command.params if one.param_type_name == "argument"]
        options = [one for one in command.params if one.param_type_name == "option" and one.name != "help"]
        shown = " ".join([words, *(_shown(one) for one in arguments)])
        yield f"## {words}\n"
        yield f"`{shown}{' [OPTIONS]' if options else ''}`\n"
        yield f"{' '.join((command.help or '').split())}\n"
        rows = [(f"`{_shown(one)}`", one.help or "") for one in arguments]
        rows += [(_spelled(one), _with_environment(one)) for one in options]
        if rows:
            yield from _table(("argument or option", "what it does"), rows)
        yield ""


def _below(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", {})
    if not inner or command.invoke_without_command:
        yield words, command
    for name, own in inner.items():
        yield from _below(f"{words} {name}", own)


def _shown(argument: Any) -> str:
    return argument.metavar or argument.name.upper()


def _spelled(option: Any) -> str:
    return ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])


def _with_environment(option: Any) -> str:
    text = option.help or ""
    return f"{text} Environment: `{option.envvar}`." if option.envvar else text


def _error_lines() -> Iterator[str]:
    tree = [line for line in (errors.__doc__ or "").splitlines() if line.startswith("    ")]
    yield "```text"
    yield from (line[4:] for line in tree)
    yield "```"
    yield ""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    yield from _table(("error", "what happened"), [(f"`{kind.__name__}`", _first_line(kind)) for kind in kinds])


def _failure_lines() -> Iterator[str]:
    names = get_args(errors.Failure)
    yield from _table(("failure", "what happened"), [(f"`{name}`", errors.FAILURES[name]) for name in names])


def _rule_lines() -> Iterator[str]:
    shown = {title: [_HASH.sub("HASH", rule) for rule in rules] for title, rules in skip_rules.DEFAULT_RULES.items()}
    rows = [(title, " ".join(f"`{rule}`" for rule in rules)) for title, rules in shown.items()]
    yield from _table(("what", "rules"), rows)


def _skipped_lines() -> Iterator[str]:
    yield from _table(("kind", "what it is"), [(f"`{kind}`", text) for kind, text in skipped.SKIP_KINDS.items()])


def _first_line(kind: type) -> str:
    return (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
