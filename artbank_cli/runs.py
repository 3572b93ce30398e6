"""Runs of `artbank train` and `artbank stylize`: through a Prefect server, or in this process alone.

A dry run and `--local` need no Prefect. A private server costs its start, so a run that would start one looks ahead: a
wrong style, folder or device ends it at once, and a run with nothing to do never starts one. The run then plans from
what that look found, so that photos and artworks are read once.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from artbank.config import StylizeConfig, TrainConfig
from artbank.diffusion.device_kind import check_device
from artbank.errors import ConfigError
from artbank.runs.handover import open_handover
from artbank.runs.outcome import Outcome, StylizeForecast, TrainForecast, TrainSummary
from artbank.runtime.extras import is_installed, require_extra
from artbank.runtime.stages import show_stage
from artbank_cli.console_log import LINE_FORM
from artbank_cli.environment import TIME_FORM, quiet_prefect
from artbank_cli.output import say
from artbank_cli.server import needs_private_server, start_server

Config = TypeVar("Config", TrainConfig, StylizeConfig)
Forecast = TypeVar("Forecast")
Result = TypeVar("Result")

_HERE = ("auto", "threads")
_LOADING = "loading artbank"
_WITHOUT_PREFECT = (
    "Prefect is not installed: this command works in its own process, on one device; "
    "pip install 'artbank[prefect]' for a server, or 'artbank[dask]' for several GPUs"
)


class _Work(NamedTuple, Generic[Config, Forecast, Result]):
    """A kind of run.

    Attributes:
        forecast: Plans a run, and returns what it would do.
        look_ahead: Tells whether a run would do anything, and hands over to it what that took to find out.
        run_here: Runs in this process, without Prefect.
        import_flow: Imports the flow that runs through a Prefect server.
    """

    forecast: Callable[[Config], Forecast]
    look_ahead: Callable[[Config], bool]
    run_here: Callable[[Config], Result]
    import_flow: Callable[[], Callable[[Config], Any]]


def run_training(config: TrainConfig, *, is_local: bool) -> TrainSummary | TrainForecast:
    """Train the banks of a gallery, or forecast that.

    Raises:
        ConfigError: A local run was asked for with another runner than this process, or with a device that is not here.
        Exception: As `local_run.train_banks` does; or ServerError, from `start_server`.
    """
    show_stage(_LOADING)
    from artbank.gallery import local_run

    def import_flow() -> Callable[[TrainConfig], Any]:
        from artbank_prefect.flows.train_banks import train_banks

        return train_banks

    work = _Work(local_run.forecast_training, local_run.look_ahead, local_run.train_banks, import_flow)
    return _run(work, config, is_local=is_local)


def run_stylizing(config: StylizeConfig, *, is_local: bool) -> Outcome | StylizeForecast:
    """Stylize an archive, or forecast that.

    Raises:
        ConfigError: A local run was asked for with another runner than this process, or with a device that is not here.
        Exception: As `local_run.stylize_archive` does; or ServerError, from `start_server`.
    """
    show_stage(_LOADING)
    from artbank.archive import local_run

    def import_flow() -> Callable[[StylizeConfig], Any]:
        from artbank_prefect.flows.stylize_archive import stylize_archive

        return stylize_archive

    work = _Work(local_run.forecast_stylizing, local_run.look_ahead, local_run.stylize_archive, import_flow)
    return _run(work, config, is_local=is_local)


def _run(work: _Work[Config, Forecast, Result], config: Config, *, is_local: bool) -> Forecast | Result:
    """Forecast, run in this process, or run through a Prefect server: the private one only if there is work for it."""
    is_local = _choose_place(config, is_local)
    if config.dry_run:
        return work.forecast(config)
    check_device(config)
    with open_handover():
        if is_local or (_uses_private_server() and not work.look_ahead(config)):
            _log_to_console()
            return work.run_here(config)
        flow = work.import_flow()
        start_server()
        return flow(config)


def _choose_place(config: TrainConfig | StylizeConfig, is_local: bool) -> bool:
    """Return whether to work in this process alone: if that was asked for, or without Prefect."""
    if is_local and config.runner not in _HERE:
        raise ConfigError(f"--local works in this process, but --runner names {config.runner}; leave one of them out")
    if is_local or is_installed("prefect"):
        return is_local
    if config.runner not in _HERE:
        require_extra("prefect", "prefect", f"--runner {config.runner}")
    if not config.dry_run:
        say(f"artbank: {_WITHOUT_PREFECT}", to_stderr=True)
    return True


def _uses_private_server() -> bool:
    quiet_prefect()
    return needs_private_server()


def _log_to_console() -> None:
    """Log as runs through Prefect do: warnings at a terminal, else every event, with its time."""
    if not sys.stderr.isatty():
        logging.basicConfig(level=logging.WARNING, format=LINE_FORM, datefmt=TIME_FORM)
        logging.getLogger("artbank").setLevel(logging.INFO)
