"""Outputs with a page, made of invented rows and plain pictures, and a record of a page's requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from http.server import SimpleHTTPRequestHandler

import numpy as np
from playwright.sync_api import Page

from artbank.images.codec import Picture, encode
from artbank.pages.outcome.page import COLUMNS, RunFacts, StyleFacts, write_outcome
from artbank.records.photo_records import Result
from artbank.report.summaries import SUMMARY_COLUMNS, results_summary
from artbank.results import ledger, tables
from artbank.scoring.spread import Ceiling, ScoreBounds
from artbank.store.objects import Store
from tests.support.rows import START, result

STYLES = ("monet", "hokusai")
HOSTILE = "x</script><script>alert(1)</script>/50% off? #1 für <b>.jpg"
NUM_PHOTOS = 40
CAPTIONS = {7: "غروب الشمس فوق الميناء", 8: "古い港の夕暮れ <b>"}
RETRY = "artbank stylize --parameters out/runs/r/config.json --retry-failed"


def plain(red: int, green: int, blue: int) -> bytes:
    return encode(Picture(np.full((48, 64, 3), (red, green, blue), np.uint8), None), ".jpg", quality=90)


def write_page(output: Store, archive: Store, rows: Sequence[Result], run_id: str = "r") -> None:
    """Commit rows as one more part, and write the page of all rows."""
    ledger.commit(output, f"{len(ledger.part_names(output)):05d}", rows)
    refresh_page(output, archive, run_id)


def refresh_page(output: Store, archive: Store, run_id: str = "") -> None:
    """Write the page of all rows, as a run does."""
    keys = ledger.read_ledger(output, ["key"])
    found = tables.update_tables_and_vacuum(output, keys, columns=tuple(dict.fromkeys((*COLUMNS, *SUMMARY_COLUMNS))))
    styles = [
        StyleFacts("monet", "monet, version 3", {"clip_style": ScoreBounds(0.3, Ceiling(0.8))}),
        StyleFacts("hokusai", "hokusai, version 1"),
    ]
    run = RunFacts("photos", run_id, [("Strength", "0.5")], styles, 1_000_000, RETRY)
    write_outcome(output, archive, found, results_summary(found, {}), run)


def rows_of(output: Store, archive: Store) -> list[Result]:
    """Write photos (red) and pictures (two colours) and return their rows, some of them failed."""
    keys = [f"roll {i % 2}/photo-{i:03d}.jpg" for i in range(NUM_PHOTOS - 2)] + [HOSTILE, "scan.tif"]
    archive.write_many({key: plain(200, 30, 30) for key in keys})
    rows = []
    for i, key in enumerate(sorted(keys)):
        for place, style in enumerate(STYLES):
            name = f"{style}/{key}" + (".png" if key.endswith(".tif") else "")
            if style == "hokusai" and i % 10 == 3:
                reason = f"cannot be read </td><img src=x onerror=alert(1)> {key}"
                facts = {"status": "failed", "failure": "unreadable", "reason": reason, "file_name": None}
            else:
                facts = {"file_name": name, "clip_style": i / NUM_PHOTOS, "ssim": 1 - i / NUM_PHOTOS, "width_px": 64}
                facts |= {"height_px": 48, "flags": ["flat"] if i == 5 else [], "caption": CAPTIONS.get(i)}
                facts["clip_style_recoloured"] = i / NUM_PHOTOS / 2
                output.write(name, plain(30, 60 + 100 * place, 200))
            created_at = START + timedelta(seconds=10 * i + place)
            rows.append(result(key, style, **{**facts, "created_at": created_at}))
    return rows


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        pass


class Watch:
    """Messages and requests of a page."""

    def __init__(self, page: Page):
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("dialog", lambda dialog: (self.said.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self.asked.append(request.url))

    def left(self, *roots: str) -> list[str]:
        """Return the requests for anything outside of some folders."""
        return [url for url in self.asked if not url.startswith((*roots, "data:"))]


OpenPage = Callable[..., tuple[Page, Watch]]
