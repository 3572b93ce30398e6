"""The pages of banks and their index in a browser: from a disk and from a bucket, by keyboard, in light and dark."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import boto3
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from artbank.pages.banks.build import build
from artbank.pages.banks.entries import page_key
from artbank.records.bank_records import BankRecord
from artbank.store.objects import Store
from artbank_cli.main import main
from tests.support import rgw
from tests.support.bank_stores import HOSTILE, add_bank

Scheme = Literal["light", "dark"]


@dataclass
class Visit:
    """A page that was opened, what its console said, and what it asked for."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Shelf:
    """A store with four banks in three collections, one of them retired and one with a hostile text everywhere."""

    store: Store
    banks: dict[str, BankRecord]

    def url(self, name: str = "") -> str:
        key = page_key(self.banks[name]) if name else "index.html"
        return Path(self.store.uri, key).as_uri()


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    store = Store.open(str(tmp_path_factory.mktemp("shelf") / "store"))
    texts = {"texts": HOSTILE, "base_model": HOSTILE, "scorer": HOSTILE, "warnings": [HOSTILE]}
    banks = {
        "novak": add_bank(store, "novak", 1, clip_style_gain=0.2),
        "novak@2": add_bank(store, "novak", 2, clip_style_gain=None, recipe='{"max_steps": 25}'),
        "adler": add_bank(store, "adler", 3, clip_style_gain=0.9, validation_loss=0.4),
        "hostile": add_bank(store, "hostile", 4, clip_style_gain=0.5, **texts),
    }
    build(store)
    return Shelf(store, banks)


@pytest.fixture
def visit(browser: Browser) -> Iterator[object]:
    pages: list[Page] = []

    def open_page(url: str, *, width: int = 1280, scheme: Scheme = "light", scripts: bool = True) -> Visit:
        page = browser.new_page(
            viewport={"width": width, "height": 800}, color_scheme=scheme, java_script_enabled=scripts
        )
        pages.append(page)
        visited = Visit(page)
        page.on("console", lambda message: visited.said.append(message.text))
        page.on("pageerror", lambda error: visited.said.append(str(error)))
        page.on("request", lambda request: visited.asked.append(request.url))
        page.goto(url, wait_until="load")
        return visited

    yield open_page
    for page in pages:
        page.close()


def names(page: Page) -> list[str]:
    """The banks that are shown, in order; not by `innerText`, which is empty until a moved card was laid out."""
    return [" ".join(text.split()) for text in page.locator("#banks > li:visible h2").all_text_contents()]


@pytest.mark.parametrize("name", ["", "hostile"])
def test_a_page_is_quiet_accessible_and_fits_in_light_and_dark_on_desk_and_phone(
    visit, shelf: Shelf, name: str
) -> None:
    for width in (1280, 390):
        for scheme in ("light", "dark"):
            visited = visit(shelf.url(name), width=width, scheme=scheme)
            assert visited.said == []
            assert visited.asked and all(url.startswith(("file:", "data:")) for url in visited.asked)
            assert visited.page.evaluate("document.documentElement.scrollWidth") <= width
            found = Axe().run(visited.page, options={"preload": False}).response["violations"]
            assert [
                (one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")
            ] == []


def test_hostile_text_is_shown_as_text(visit, shelf: Shelf) -> None:
    page = visit(shelf.url("hostile")).page
    assert page.locator("script").count() == 0 and page.locator("img[src=x]").count() == 0
    told = page.locator("#words").inner_text()
    assert "<script>alert(1)</script>" in told and "{{ 7 * 7 }}" in told


def test_banks_are_sorted_and_searched_by_keyboard(visit, shelf: Shelf) -> None:
    page = visit(shelf.url()).page
    by_name = ["adler, version 1", "hostile, version 1", "novak, version 2", "novak, version 1"]
    assert names(page) == by_name
    page.keyboard.press("Tab")  # the skip link
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    page.keyboard.type("novak")
    assert names(page) == by_name[2:]
    assert page.get_by_role("status").inner_text() == "2 of 4 banks"
    for _ in range(5):
        page.keyboard.press("Backspace")
    page.keyboard.press("Tab")
    page.keyboard.type("gain")
    assert names(page) == ["adler, version 1", "hostile, version 1", "novak, version 1", "novak, version 2"]
    page.keyboard.press("ArrowUp")
    assert names(page)[0] == "hostile, version 1"
    page.keyboard.press("Tab")
    page.keyboard.type("available")
    assert names(page) == ["novak, version 1"]
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/novak/*/index.html")
    assert page.locator("h1").inner_text() == "novak, version 1"


def test_without_a_script_the_index_is_a_list_of_links(visit, shelf: Shelf) -> None:
    page = visit(shelf.url(), scripts=False).page
    assert len(names(page)) == 4 and not page.locator("form").is_visible()
    page.get_by_role("link", name="adler, version 1").click()
    assert page.locator("h1").inner_text() == "adler, version 1"


def test_versions_lead_to_each_other_and_the_numbers_of_a_chart_open_by_keyboard(visit, shelf: Shelf) -> None:
    page = visit(shelf.url("novak@2")).page
    assert page.locator("tr[aria-current]").inner_text().startswith("2, this page")
    numbers = page.locator("#training summary").first
    numbers.focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("rowheader", name="10", exact=True).is_visible()
    page.locator("a[rel=prev]").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{shelf.banks['novak'].bank_id}/index.html")
    assert "version 2" in page.locator(".lead").inner_text()
    page.get_by_role("link", name="All banks").click()
    assert page.locator("h1").inner_text() == "Banks"


def test_the_command_builds_a_site_on_a_disk(
    visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.open(str(tmp_path / "store"))
    add_bank(store, "monet")
    built = json.loads(call(monkeypatch, capsys, "site", store.uri, "--out", str(tmp_path / "web"), "--json"))
    assert built["num_written"] == 2
    visited = visit(Path(built["index_uri"]).as_uri())
    visited.page.get_by_role("link", name="monet, version 1").click()
    pictures = visited.page.evaluate(
        "[...document.images].map(i => { i.loading = 'eager'; return i.decode().then(() => i.naturalWidth); })"
        ".reduce(async (all, one) => [...await all, await one], [])"
    )
    assert len(pictures) > 6 and all(pictures)


def test_the_command_builds_a_site_in_a_bucket(
    visit,
    s3_store: str,
    s3_endpoint: rgw.Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = Store.open(f"{s3_store}/store")
    record = add_bank(store, "monet")
    assert call(monkeypatch, capsys, "site", store.uri).splitlines()[0] == "2 of 2 pages written"
    bucket = s3_store.removeprefix("s3://")
    keys = {"aws_access_key_id": s3_endpoint.access_key, "aws_secret_access_key": s3_endpoint.secret_key}
    client = boto3.client("s3", endpoint_url=s3_endpoint.url, region_name="us-east-1", **keys)
    policy = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [policy]}))
    visited = visit(f"{s3_endpoint.url}/{bucket}/store/index.html")
    visited.page.get_by_role("link", name="monet, version 1").click()
    visited.page.wait_for_url(f"**/store/{page_key(record)}")
    assert visited.said == [] and visited.page.locator("h1").inner_text() == "monet, version 1"
    assert all(url.startswith((s3_endpoint.url, "data:")) for url in visited.asked)


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run `artbank WORDS` in this process; returns what it printed."""
    monkeypatch.setattr(sys, "argv", ["artbank", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    return capsys.readouterr().out
