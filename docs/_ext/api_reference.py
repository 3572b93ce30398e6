"""Markdown of the Python API, of its docstrings; and of the notebook, of its cells and their stored outputs."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import artbank

_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises):\n((?:(?: {4}.*)?\n?)+)", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\*{0,2}[\w, ]+): (.+(?:\n {8,}.+)*)", re.MULTILINE)
_HEADS = {"Args": "argument", "Attributes": "attribute", "Raises": "error"}


def api_lines() -> Iterator[str]:
    """Yield a section for every name that `artbank` exports, and for the methods and properties of the classes."""
    for name in artbank.__all__:
        found = getattr(artbank, name)
        yield f"## {name}\n"
        if inspect.isclass(found) and not issubclass(found, Exception):
            yield from _describe(found)
            for own, member in _members(found):
                yield f"### {name}.{own}\n"
                yield from _signature(f"{_variable(name)}.{own}", member)
                yield from _describe(member)
        else:
            yield from _signature(f"artbank.{name}", found)
            yield from _describe(found)


def list_members() -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties of the classes of the API, by `Class.name`."""
    for name in artbank.__all__:
        found = getattr(artbank, name)
        if inspect.isclass(found) and not issubclass(found, Exception):
            yield from ((f"{name}.{own}", member) for own, member in _members(found))


def notebook_lines(path: Path) -> Iterator[str]:
    """Yield the cells of a notebook with their outputs."""
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield f"{source}\n"
            continue
        yield f"```python\n{source}\n```\n"
        for output in cell["outputs"]:
            yield from _output_lines(output)


def _output_lines(output: dict[str, Any]) -> Iterator[str]:
    data = output.get("data", {})
    if "text/html" in data:
        yield "".join(data["text/html"]) + "\n"
    elif "image/png" in data:
        yield f"<img src='data:image/png;base64,{data['image/png']}' alt=''>\n"
    else:
        yield f"```text\n{''.join(output.get('text') or data['text/plain']).rstrip()}\n```\n"


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    for name, member in vars(kind).items():
        is_shown = callable(member) or isinstance(member, property | classmethod) or hasattr(member, "attrname")
        if not name.startswith("_") and is_shown:
            yield name, member


def _variable(name: str) -> str:
    names = {"TrainedBank": "bank", "DrawnPicture": "picture", "BankStore": "store"}
    return {**names, "DrawingStyle": "style", "StyleMix": "mixed"}[name]


def _signature(called: str, member: Any) -> Iterator[str]:
    if inspect.isclass(member) or not (callable(member) or isinstance(member, classmethod)):
        return
    function = member.__func__ if isinstance(member, classmethod) else member
    signature = inspect.signature(function)
    empty = inspect.Parameter.empty
    own = [one.replace(annotation=empty) for one in signature.parameters.values() if one.name not in ("self", "cls")]
    shown = signature.replace(parameters=own, return_annotation=inspect.Signature.empty)
    yield f"```python\n{called}{shown}\n```\n"


def _describe(member: Any) -> Iterator[str]:
    text = inspect.getdoc(member) or ""
    first = _SECTION.search(text)
    yield f"{text[: first.start()] if first else text}\n"
    for title, body in _SECTION.findall(text):
        if title == "Returns":
            yield f"Returns: {' '.join(body.split())}\n"
            continue
        yield f"| {_HEADS[title]} | |\n|---|---|"
        for name, told in _ENTRY.findall(body):
            cell = " ".join(told.split()).replace("|", "\\|")
            yield f"| `{name}` | {cell} |"
        yield ""
