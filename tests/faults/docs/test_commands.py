"""Every command of the documents is run as it stands there, or says why it is not."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.document_blocks import ROOT, Block, all_blocks, check_said, cut_commands, read_blocks, run_block
from tests.support.waiting import wait_for

SHORTEST_REASON = 10  # signs
READ_FIRST = ("README.md", "docs/tutorial.md", "docs/pages.md", "docs/howto/stores.md")


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


def mark_slow(document: str, scenario: str) -> Any:
    """Return the parameters of a test: CI runs the commands of the documents that are read first."""
    return pytest.param(document, scenario, marks=() if document in READ_FIRST else pytest.mark.slow)


@pytest.mark.usefixtures("full_samples")
@pytest.mark.parametrize(("document", "scenario"), [mark_slow(*where) for where in to_run()])
def test_the_commands_of_a_document_do_what_it_says(
    document: str, scenario: str, scenarios: Callable[[str], tuple[Path, dict[str, str]]]
) -> None:
    folder, env = scenarios(scenario)
    for block in to_run()[document, scenario]:
        run_block(block, folder, env)


def test_what_translates_a_stores_notifications_makes_events_of_them(
    prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [block] = [one for one in read_blocks(ROOT / "docs/operate.md") if one.kind == "python"]
    defined: dict[str, Any] = {}
    exec(compile(block.code, str(block), "exec"), defined)
    gallery, keys = f"s3://museum/{uuid4()}", {"gallery/monet/1.png", "gallery/monet/2.png"}
    monkeypatch.setenv("ARTBANK_GALLERY", gallery)
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    defined["handle"](message_of_sns(keys), None)
    wanted = {"resource": {"id": [f"artbank.gallery.{gallery}"]}, "event": {"name": ["gallery.uploaded"]}}
    assert {event["payload"]["key"] for event in wait_for_events(prefect_server, wanted, len(keys))} == keys


def message_of_sns(keys: set[str]) -> dict[str, Any]:
    """Return what SNS hands a Lambda of uploads to S3, as far as anything looks at it."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    puts = [{"eventTime": now, "eventName": "ObjectCreated:Put", "s3": {"object": {"key": key}}} for key in keys]
    return {"Records": [{"Sns": {"Message": json.dumps({"Records": [put]})}} for put in puts]}


def wait_for_events(server: str, wanted: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Return the events that a server has, which writes them a moment after it has taken them."""

    def look() -> list[dict[str, Any]]:
        found = httpx.post(f"{server}/events/filter", json={"filter": wanted}).json()["events"]
        return found if len(found) >= count else []

    return wait_for(look)


def test_a_block_is_read_with_its_mark_and_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.document_blocks.ROOT", tmp_path)
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


def test_what_is_said_is_compared_but_for_durations_figures_with_a_point_and_dots() -> None:
    check_said("in 3.78 s of 1 min 2 s, -0.1", "in 1 h 4 min of 9 s, 0.25")
    check_said("a 0.1 b\n...\nlast ... word", "before\na 0.25 b\nx\ny\nlast and any word\nafter")
    for expected in ("a 0.1 c", "a 0.1 b\nlast", "1 b", "a 2 s b"):
        with pytest.raises(AssertionError, match="expected"):
            check_said(expected, "a 0.25 b\nx\nlast")


def test_a_command_ends_where_its_line_does_unless_a_quote_or_a_backslash_goes_on() -> None:
    assert cut_commands("a \\\n b  # it's\nc 'd\ne' f\n") == ["a   b  # it's", "c 'd\ne' f"]
    with pytest.raises(AssertionError, match="a quote is open"):
        cut_commands("a\nb 'c\n")
