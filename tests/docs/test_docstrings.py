"""Docstrings of modules are as STYLE.md asks."""

from __future__ import annotations

import ast

from tests.support.paths import ROOT

PACKAGES = ("artbank", "artbank_cli", "flows", "tasks")
NOT_INSTALLED = ("artbank/mini/drawing", "artbank/pretraining")
QUESTIONS = ("What", "Whether", "How", "Where", "Which")


def test_the_docstring_of_a_module_begins_with_no_question_word() -> None:
    firsts = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            docstring = ast.get_docstring(ast.parse(path.read_text()))
            if docstring and not name.startswith(NOT_INSTALLED):
                firsts[name] = docstring.split()[0]
    assert len(firsts) > 300
    assert [name for name, word in firsts.items() if word in QUESTIONS] == []
