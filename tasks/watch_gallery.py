"""The tasks of `watch_gallery`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from artbank.config import WatchConfig
from tasks.cancellation import should_stop
from tasks.events import send_event
from tasks.retries import STORE_RETRIES

if TYPE_CHECKING:
    from artbank.gallery.changes import Changes


@task(**STORE_RETRIES, name="await-changes", cache_policy=NO_CACHE)
def await_changes(config: WatchConfig) -> Changes:
    """Find what changed in a gallery, once it stays as it is; see `artbank.gallery.changes.await_changes`."""
    from artbank.gallery import changes as watching

    return watching.await_changes(config, should_stop)


@task(**STORE_RETRIES, name="tell-changes", cache_policy=NO_CACHE)
def report_changes(config: WatchConfig, changes: Changes) -> None:
    """Send the event `gallery.changed`, then note that it was sent: cut off between, it is sent again."""
    from artbank.gallery import changes as watching

    resource = {"prefect.resource.id": f"artbank.gallery.{config.gallery_uri}", "artbank.store-uri": config.store_uri}
    send_event(watching.EVENT, resource, watching.describe_changes(config, changes), changes.event_id)
    watching.mark_reported(config, changes)
