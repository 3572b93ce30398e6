"""`artbank deploy`: put the flows, their schedules, triggers and alarms on a Prefect server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

import typer

from artbank.errors import ConfigError
from artbank.runtime.extras import require_extra
from artbank_cli.environment import quiet_prefect
from artbank_cli.options import StoreOption
from artbank_cli.place_options import GalleryOption, OutputOption, PhotosOption

_KINDS = ("process", "docker", "kubernetes")
_PARTS = ("training", "stylizing")


def deploy(
    gallery: GalleryOption = None,
    store: StoreOption = None,
    photos: PhotosOption = None,
    output: OutputOption = None,
    style: Annotated[
        list[str] | None,
        typer.Option(
            "--style",
            "-s",
            help="Style of stylize-archive; repeat it for several. Environment: ARTBANK_STYLE, with commas between.",
        ),
    ] = None,
    pools: Annotated[
        str, typer.Option(metavar="[process | docker | kubernetes]", help="Kind of the work pools.")
    ] = "process",
    gpus: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="INTEGER", help="Concurrent flow runs of the pool gpu; by default unchanged, or 1."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="[training | stylizing]", help="Deploy these flows alone; training needs no photos."),
    ] = None,
    stylize_cron: Annotated[
        str | None,
        typer.Option(
            metavar="CRON",
            envvar="ARTBANK_STYLIZE_CRON",
            help="When to stylize the archive, in UTC, such as '0 6 * * *'; by default when someone asks.",
        ),
    ] = None,
    notify: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="ARTBANK_NOTIFY",
            help="Send every alarm to this webhook, as a POST of {text: ...}; Prefect keeps it as a secret.",
        ),
    ] = None,
    create_buckets: Annotated[
        bool, typer.Option("--create-buckets", help="Create the missing buckets of s3:// places first.")
    ] = False,
) -> None:
    """Put flows, work pools, schedules, triggers and alarms on the Prefect server at PREFECT_API_URL.

    Run it again after any change: it updates them. Workers run the flows: `prefect worker start --pool artbank`, and
    `prefect worker start --pool gpu --limit 1` for each GPU.
    """
    _check_choices("--pools", [pools], _KINDS)
    _check_choices("--only", only or [], _PARTS)
    require_extra("prefect", "prefect", "artbank deploy")
    quiet_prefect()
    from artbank_cli.deployment.deploy import make_deployment

    places = {"ARTBANK_GALLERY": gallery, "ARTBANK_STORE": store, "ARTBANK_PHOTOS": photos, "ARTBANK_OUTPUT": output}
    given = {**places, "ARTBANK_STYLE": ",".join(style or []), "ARTBANK_STYLIZE_CRON": stylize_cron}
    variables = {**os.environ, **{name: value for name, value in given.items() if value}}
    deployment = make_deployment(pools, variables, only or [], gpus, notify)
    raise typer.Exit(deployment.put(with_buckets=create_buckets))


def _check_choices(option: str, given: Sequence[str], allowed: Sequence[str]) -> None:
    for value in given:
        if value not in allowed:
            raise ConfigError(f"{option} {value}: expected {' or '.join(allowed)}")
