"""The flow that watches a gallery: it reports each change once, as an event, which starts a training."""

from __future__ import annotations

from prefect import flow, get_run_logger

from artbank.config import WatchConfig
from artbank.runtime.counts import number_text
from artbank_prefect.tasks.watch_gallery import await_changes, report_changes


@flow(name="watch-gallery", flow_run_name="watch-gallery {config.gallery_uri}")
def watch_gallery(config: WatchConfig) -> tuple[str, ...]:
    """Send one event `gallery.changed` with the collections that changed, once their uploads have ended.

    If nothing changed, or every change was reported before, it ends in seconds and sends nothing.

    Returns:
        Names of the reported collections.

    Raises:
        CollectionError: The gallery has no collection, or not one that was asked for.
    """
    log = get_run_logger()
    changes = await_changes(config)
    names = tuple(sorted(changes.fingerprints))
    if not names:
        log.info("no new changes: every changed collection was reported before or has a bank")
        return ()
    report_changes(config, changes)
    log.info("sent gallery.changed for %s: %s", number_text(len(names), "collection"), ", ".join(names))
    return names
