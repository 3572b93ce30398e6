"""An output with its page, a server for it, and windows of a browser."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page

from artbank.store.objects import Store
from tests.support.output_pages import OpenPage, Quiet, Watch, rows_of, write_page


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos` and `output`, with its page; tests leave it as it is."""
    root = tmp_path_factory.mktemp("made")
    output, archive = Store.open(str(root / "output")), Store.open(str(root / "photos"))
    write_page(output, archive, rows_of(output, archive))
    return root


@pytest.fixture(scope="module")
def served(made: Path) -> Iterator[str]:
    """The URL of that folder, served on loopback."""
    handler = functools.partial(Quiet, directory=str(made))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def open_page(browser) -> Iterator[OpenPage]:
    """Opens a page in a window of its own and records its requests."""
    contexts = []

    def open_it(url: str, width: int = 1280, scheme: str = "light", **options) -> tuple[Page, Watch]:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        watch = Watch(page)
        page.goto(url)
        return page, watch

    yield open_it
    for context in contexts:
        context.close()
