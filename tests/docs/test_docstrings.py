"""Docstrings are as STYLE.md asks, as far as a program can see."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.support.paths import ROOT

PACKAGES = ("artbank", "artbank_cli", "flows", "tasks", "bench")
NOT_INSTALLED = ("artbank/mini/drawing", "artbank/pretraining")
QUESTIONS = ("What", "How", "Where", "Which", "Who", "Whoever", "Whatever")
CLAUSE = "a clause as the subject"
SECTION = re.compile(r"^ *(?:Args|Attributes|Returns|Yields|Raises|Source):$")
ITEM = re.compile(r"^ *[\w, *]+: ")
BANNED = {
    CLAUSE: re.compile(r"(?:^|[.:;] )(?:What|Who|Whoever|Whatever) "),
    "a fragment that begins with Of": re.compile(r"(?:^|[.:] )Of "),
    "likewise": re.compile(r"\blikewise\b"),
    "lacks for is missing": re.compile(r"\blacks?\b"),
    "is told of": re.compile(r"\b(?:is|are|was|be) told of\b"),
    "came to": re.compile(r"\bcame to\b"),
    "is at for works on": re.compile(r"\bthat (?:they are|it is|a run is|\w+ (?:is|are)) at\b"),
    "in vain": re.compile(r"\bin vain\b"),
    "tell whether for return whether": re.compile(r"\bTell whether\b"),
}
"""Patterns of sentences that only their author understands, by what STYLE.md calls them."""


@cache
def parse(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text())


@cache
def docstrings(name: str) -> list[tuple[int, str, bool]]:
    """Return line and text of each string that stands alone in a file, and whether it is that of an attribute.

    Those of modules, classes and functions are sentences; that of an attribute may only name it.
    """
    tree = parse(name)
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    own = {id(node.body[0]) for node in ast.walk(tree) if isinstance(node, owners) and node.body}
    return [
        (node.lineno, node.value.value, id(node) not in own)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]


def paragraphs(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each paragraph of a docstring in one line, and whether it is about a parameter, attribute or result."""
    part: list[str] = []
    is_item = False
    for line in [*text.splitlines(), ""]:
        begins_item = line.startswith(" ") and ITEM.match(line) is not None
        if begins_item or not line.strip() or SECTION.match(line):
            yield " ".join(" ".join(part).split()), is_item
            part, is_item = [], begins_item or bool(SECTION.match(line))
        if not SECTION.match(line):
            part.append(ITEM.sub("", line) if begins_item else line)


def names() -> list[str]:
    return [path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")]


def test_no_docstring_of_a_module_class_or_function_begins_with_a_question_word() -> None:
    firsts = {
        f"{name}:{line}": text.split()[0]
        for name in names()
        if not name.startswith(NOT_INSTALLED)
        for line, text, is_attribute in docstrings(name)
        if not is_attribute
    }
    assert len(firsts) > 3000
    assert [place for place, word in firsts.items() if word in QUESTIONS] == []


def test_no_docstring_of_a_module_is_a_question() -> None:
    firsts = {name: text.partition("\n")[0] for name in names() for line, text, _ in docstrings(name) if line == 1}
    assert len(firsts) > 300
    assert [name for name, first in firsts.items() if "?" in first or first.startswith("Whether")] == []


def find_banned(text: str, pattern: str, *, is_attribute: bool = False) -> list[str]:
    """Return the paragraphs of a docstring in which a pattern is found."""
    is_for_sentences = pattern == CLAUSE
    return [
        paragraph
        for paragraph, is_item in paragraphs(text)
        if BANNED[pattern].search(paragraph) and not (is_for_sentences and (is_item or is_attribute))
    ]


@pytest.mark.parametrize("pattern", BANNED)
def test_no_docstring_has_a_banned_pattern(pattern: str) -> None:
    found = [
        f"{name}:{line}: {paragraph[:150]}"
        for name in names()
        for line, text, is_attribute in docstrings(name)
        for paragraph in find_banned(text, pattern, is_attribute=is_attribute)
    ]
    assert found == []


def test_no_message_says_that_something_lacks() -> None:
    found = [
        f"{name}:{node.lineno}: {node.value}"
        for name in names()
        for node in ast.walk(parse(name))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if BANNED["lacks for is missing"].search(node.value)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("Keep rows. What is done stays.", CLAUSE),
        ("Draw.\n\n    Args:\n        size: Of the picture.", "a fragment that begins with Of"),
        ("The photo lacks a row.", "lacks for is missing"),
        ("The stage that a run is at.", "is at for works on"),
    ],
)
def test_the_patterns_find_what_they_ban(text: str, pattern: str) -> None:
    assert find_banned(text, pattern)
