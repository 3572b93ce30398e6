"""A gallery that is watched: what changed is told of once, as an event, which has it trained."""

from __future__ import annotations

from prefect import flow, get_run_logger

from artbank.config import WatchConfig
from tasks.watch_gallery import await_changes, report_changes


@flow(name="watch-gallery", flow_run_name="watch-gallery {config.gallery_uri}")
def watch_gallery(config: WatchConfig) -> tuple[str, ...]:
    """Send one event `gallery.changed` with the collections that changed, when their uploads have ended.

    Nothing changed, or all was told of: it ends in seconds and sends nothing.

    Returns:
        The collections told of.

    Raises:
        CollectionError: The gallery holds no collection, or not one that was asked for.
    """
    changes, log = await_changes(config), get_run_logger()
    names = tuple(sorted(changes.fingerprints))
    if not names:
        log.info("nothing to tell of: all that changed was told of, or is trained")
        return ()
    report_changes(config, changes)
    log.info("told of %d collections that changed: %s", len(names), ", ".join(names))
    return names
