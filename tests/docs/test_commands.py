"""Every command of the documents is run as it stands there, or says why it is not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from blocks import Block, all_blocks, check_said, read_blocks, run_block

SHORTEST_REASON = 10  # signs


def to_run() -> dict[tuple[str, str], list[Block]]:
    """Return the blocks that are run, by document and scenario."""
    found: dict[tuple[str, str], list[Block]] = defaultdict(list)
    for block in all_blocks():
        if block.is_code and block.scenario:
            found[block.document, block.scenario].append(block)
    return found


def test_every_block_of_commands_is_run_or_says_why_not() -> None:
    blocks = [block for block in all_blocks() if block.is_code]
    silent = [str(block) for block in blocks if not block.scenario and len(block.reason or "") < SHORTEST_REASON]
    assert len(blocks) > 20 and silent == []


@pytest.mark.parametrize(("document", "scenario"), to_run())
def test_the_commands_of_a_document_do_what_it_says(
    document: str, scenario: str, scenarios: Callable[[str], tuple[Path, dict[str, str]]]
) -> None:
    folder, env = scenarios(scenario)
    for block in to_run()[document, scenario]:
        run_block(block, folder, env)


def test_a_block_is_read_with_its_mark_and_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blocks.ROOT", tmp_path)
    path = tmp_path / "a.md"
    path.write_text(
        "x\n\n<!-- run: one -->\n\n```sh\nls\n```\n\n```text\na\n```\n\n"
        "<!-- not run: no GPU\nhere -->\n```python\n1\n```\n\n```{toctree}\nartbank\n```\n"
        "\n```\nmake x\n```\n\n```\njust words\n```\n"
    )
    first, _, second, directive, third, fourth = read_blocks(path)
    assert (first.scenario, first.reason, first.expected, first.line) == ("one", None, "a\n", 5)
    assert (second.scenario, second.reason, second.expected) == (None, "no GPU here", None)
    assert third.is_code and third.scenario is third.reason is None and not fourth.is_code
    assert not directive.is_code


def test_what_is_said_is_compared_but_for_figures_with_a_point_and_dots() -> None:
    check_said("a 0.1 b\n...\nlast ... word", "before\na 0.25 b\nx\ny\nlast and any word\nafter")
    for expected in ("a 0.1 c", "a 0.1 b\nlast", "1 b"):
        with pytest.raises(AssertionError, match="expected"):
            check_said(expected, "a 0.25 b\nx\nlast")
