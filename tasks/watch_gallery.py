"""The tasks of `watch_gallery`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from artbank.config import WatchConfig
from artbank_prefect.tasks.cancellation import should_stop
from artbank_prefect.tasks.events import send_event
from artbank_prefect.tasks.retries import STORE_RETRIES

if TYPE_CHECKING:
    from artbank.gallery.changes import Changes


@task(**STORE_RETRIES, name="await-changes", cache_policy=NO_CACHE)
def await_changes(config: WatchConfig) -> Changes:
    """Wait until a gallery's changes have ended; see `artbank.gallery.changes.await_changes`."""
    from artbank.gallery import changes

    return changes.await_changes(config, should_stop)


@task(**STORE_RETRIES, name="report-changes", cache_policy=NO_CACHE)
def report_changes(config: WatchConfig, changed: Changes) -> None:
    """Send the event `gallery.changed`, then mark the changes as reported; cut off in between, it is sent again."""
    from artbank.gallery import changes

    resource = {"prefect.resource.id": f"artbank.gallery.{config.gallery_uri}", "artbank.store-uri": config.store_uri}
    send_event(changes.EVENT, resource, changes.describe_changes(config, changed), changed.event_id)
    changes.mark_reported(config, changed)
