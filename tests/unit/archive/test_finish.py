"""Runs on other styles of an output that end at the same time leave the tables and the page of all of them."""

from __future__ import annotations

import html
import re
from typing import Any

import pyarrow.parquet as pq
import pytest

from artbank.archive import finish
from artbank.archive.finish import finish_archive
from artbank.archive.plan import plan_archive
from artbank.archive.shard import stylize_shard
from artbank.config import StylizeConfig
from artbank.results import known_parts, layout, ledger, tables
from artbank.store.objects import Store
from tests.support.small_inputs import stylizing


def run(config: StylizeConfig) -> None:
    plan, shards, photos = plan_archive(config)
    for shard in shards:
        stylize_shard(config, plan, shard)
    finish_archive(config, plan, photos)


@pytest.mark.parametrize("place", [(tables, "_read_sources"), (finish, "write_outcome")], ids=["tables", "page"])
def test_what_a_run_on_another_style_adds_meanwhile_is_in_the_tables_and_on_the_page(
    photos: Store, shelf: str, monkeypatch: pytest.MonkeyPatch, place: tuple[Any, str]
) -> None:
    output = photos.uri + "-art"
    first, second = (stylizing(photos.uri, output, shelf, style, batch_size=2) for style in ("novak", "novak@1"))
    module, name = place
    call = getattr(module, name)
    written: list[set[str]] = []
    is_first = True

    def call_late(*args: Any, **options: Any) -> Any:
        nonlocal is_first
        is_first, was_first = False, is_first
        if was_first and module is finish:
            run(second)
        found = call(*args, **options)
        if was_first and module is tables:
            run(second)
        if module is finish:
            written.append(set(args[2]["style"].to_pylist()))
        return found

    monkeypatch.setattr(module, name, call_late)
    run(first)
    store = Store.open(output)
    for table in (layout.RESULTS, layout.METADATA):
        assert set(pq.read_table(f"{output}/{table}")["style"].to_pylist()) == {"novak", "novak@1"}
    assert not known_parts.has_new_parts(store, ledger.list_parts(store))
    if module is finish:
        assert written[-1] == {"novak", "novak@1"}, "the page that was written last"


def test_a_style_of_an_earlier_run_keeps_its_banks_and_its_ceiling_on_the_page(photos: Store, shelf: str) -> None:
    output = photos.uri + "-art"
    pages = []
    for style in ("novak", "novak@1:0.7+novak:0.3", "novak@1"):
        run(stylizing(photos.uri, output, shelf, style))
        pages.append(_read_style_table(output))
    last = pages[-1]
    for page, style in zip(pages, ("novak", "novak@1_0.7+novak_0.3"), strict=False):
        *_, ceiling, gain = page[style]
        assert float(ceiling) > 0
        assert last[style] == [f"{page[style][0]}, of an earlier run", *page[style][1:]]
        assert last[style][-1] == gain


def _read_style_table(output: str) -> dict[str, list[str]]:
    """Return the cells of the page's table of styles: banks, done, failed, seconds, mean, floor, ceiling, gain."""
    page = Store.open(output).read("report/index.html").decode()
    rows = re.findall(r'<tr><th scope="row"><bdi>(.*?)</bdi></th>(.*?)</tr>', page)
    return {html.unescape(name): re.findall("<td[^>]*>(.*?)</td>", cells) for name, cells in rows}
