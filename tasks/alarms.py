"""Quality alarms of a run, sent to Prefect as events. An automation notifies people."""

from __future__ import annotations

from dataclasses import asdict

import httpx
from prefect import get_run_logger

from artbank.config import StylizeConfig
from artbank.runs.outcome import Outcome
from artbank_prefect.tasks.events import send_event

EVENT = "artbank.quality-alarm"


def raise_alarms(config: StylizeConfig, outcome: Outcome) -> None:
    """Log each alarm of a run and send it as an event. A server error does not fail the finished run."""
    log = get_run_logger()
    for alarm in outcome.alarms:
        log.warning("%s", alarm.text)
        about = f"style.{alarm.style}" if alarm.style else f"archive.{config.archive_uri}"
        name = alarm.style or config.archive_uri
        labels = {"prefect.resource.id": f"artbank.{about}", "prefect.resource.name": name}
        labels["artbank.output-uri"] = config.output_uri
        places = {"archive_uri": config.archive_uri, "output_uri": config.output_uri, **outcome.places}
        try:
            send_event(EVENT, labels, {**asdict(alarm), "places": places})
        except httpx.HTTPError as error:
            log.warning("could not send this alarm to Prefect: %s", error)
