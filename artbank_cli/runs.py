"""Where a run of `artbank train` and `artbank stylize` works: through a Prefect server, or in this process alone.

A dry run and `--local` need no Prefect. A private server costs its start, so a run that would start one is planned
first: a wrong style or folder ends it at once, and a run with nothing to do never starts one.
"""

from __future__ import annotations

import logging
import sys

from artbank.config import RunConfig, StylizeConfig, TrainConfig
from artbank.errors import ConfigError
from artbank.runs.outcome import Outcome, StylizeForecast, TrainForecast, TrainSummary
from artbank.runtime.extras import is_installed, require_extra
from artbank.runtime.stages import show_stage
from artbank_cli.environment import quiet_prefect
from artbank_cli.output import say
from artbank_cli.server import needs_private_server, start_server

_HERE = ("auto", "threads")
_WITHOUT_PREFECT = (
    "Prefect is not installed: this command works in its own process, on one device; "
    "pip install 'artbank[prefect]' for a server, or 'artbank[dask]' for several GPUs"
)


def run_training(config: TrainConfig, *, is_local: bool) -> TrainSummary | TrainForecast:
    """Train the banks of a gallery, or forecast that.

    Raises:
        ConfigError: A local run was asked for with another runner than this process.
        Exception: As `local_run.train_banks` does; or ServerError, from `start_server`.
    """
    show_stage("loading artbank")
    from artbank.gallery import local_run

    is_local = _choose_place(config, is_local)
    if config.dry_run:
        return local_run.forecast_training(config)
    if is_local or (_uses_private_server() and not local_run.forecast_training(config).collections):
        _log_to_console()
        return local_run.train_banks(config)
    from artbank_prefect.flows.train_banks import train_banks

    start_server()
    return train_banks(config)


def run_stylizing(config: StylizeConfig, *, is_local: bool) -> Outcome | StylizeForecast:
    """Stylize an archive, or forecast that.

    Raises:
        ConfigError: A local run was asked for with another runner than this process.
        Exception: As `local_run.stylize_archive` does; or ServerError, from `start_server`.
    """
    show_stage("loading artbank")
    from artbank.archive import local_run

    is_local = _choose_place(config, is_local)
    if config.dry_run:
        return local_run.forecast_stylizing(config)
    if is_local or (_uses_private_server() and not local_run.forecast_stylizing(config).num_tasks):
        _log_to_console()
        return local_run.stylize_archive(config)
    from artbank_prefect.flows.stylize_archive import stylize_archive

    start_server()
    return stylize_archive(config)


def _choose_place(config: RunConfig, is_local: bool) -> bool:
    """Tell whether to work in this process alone: if that was asked for, or without Prefect."""
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
        form = "%(asctime)s | %(levelname)-7s | %(name)s - %(message)s"
        logging.basicConfig(level=logging.WARNING, format=form)
        logging.getLogger("artbank").setLevel(logging.INFO)
