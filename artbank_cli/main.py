"""`artbank`: train banks, stylize archives, verify and compare outputs, list and export banks, check the installation.

Exit codes: 0 done, 1 something failed, 2 a parameter is wrong, 130 interrupted, 143 terminated. What scripts read goes
to standard output, everything else to standard error.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from artbank.config import RunConfig, StylizeConfig, TrainConfig
from artbank.errors import ArtbankError, ConfigError
from artbank.runs.outcome import StylizeForecast, TrainForecast
from artbank_cli import banks
from artbank_cli.compare import compare
from artbank_cli.doctor import SECONDS, examine
from artbank_cli.options import JsonOption, ParametersOption, StoreOption, add_options, build_config
from artbank_cli.server import start_server
from artbank_cli.votes import votes

_DEMO = Path("build/demo")
_INTERRUPTED = 130
_TERMINATED = 143

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(banks.app, name="banks", invoke_without_command=True)


def train(given: dict[str, Any], parameters: ParametersOption = None, as_json: JsonOption = False) -> None:
    """Train a bank for every collection of a gallery that needs one."""
    config = build_config(TrainConfig, given, parameters)
    quiet_prefect()
    from artbank.report.markdown import seconds_text
    from flows.train_banks import train_banks

    start_server()
    summary = train_banks(config)
    if isinstance(summary, TrainForecast):
        _print_training(summary, as_json)
        return
    if as_json:
        facts = {"trained": summary.trained, "current": list(summary.current), "device_seconds": summary.seconds}
        print(json.dumps(facts))
        return
    for name, version in summary.trained.items():
        print(f"{name}@{version} trained in {seconds_text(summary.seconds[name])} of device time")
    for name in summary.current:
        print(f"{name} is up to date")


def stylize(given: dict[str, Any], parameters: ParametersOption = None, as_json: JsonOption = False) -> None:
    """Stylize every photo of an archive that lacks a picture."""
    config = build_config(StylizeConfig, given, parameters)
    quiet_prefect()
    from artbank.report.markdown import number_text, seconds_text
    from flows.stylize_archive import stylize_archive

    start_server()
    outcome = stylize_archive(config)
    if as_json:
        print(json.dumps({name: value for name, value in asdict(outcome).items() if name != "text"}))
        return
    if isinstance(outcome, StylizeForecast):
        _print_forecast(outcome)
        return
    print(f"{number_text(outcome.num_done, 'picture')} done, {outcome.num_failed:,} failed")
    print(f"this run worked on {number_text(outcome.num_new, 'photo')}")
    for alarm in outcome.alarms:
        print(f"alarm: {alarm.text}")
    if outcome.cost is not None and outcome.cost.seconds_a_photo is not None:
        each = seconds_text(outcome.cost.seconds_a_photo)
        total = seconds_text(outcome.cost.tally.seconds)
        print(f"{total} of device time, {each} per photo; {seconds_text(outcome.cost.wall_seconds)} in all")
    for what, where in outcome.places.items():
        print(f"{what}: {where}")


app.command("train")(add_options(train, TrainConfig, ("gallery_uri",)))
app.command("stylize")(add_options(stylize, StylizeConfig, ("archive_uri", "output_uri")))
app.command()(banks.export)
app.command()(banks.site)
app.command()(compare)
app.command()(votes)


@app.command()
def verify(
    output_uri: Annotated[str, typer.Argument(metavar="OUTPUT_URI", help="Folder or prefix that `stylize` wrote to.")],
    quick: Annotated[bool, typer.Option("--quick", help="Compare names and sizes; read no picture.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Draw the wrong pictures again, and nothing else.")] = False,
    parameters: Annotated[
        Path | None,
        typer.Option(
            "--parameters", help="YAML or JSON file with the parameters for --repair, for styles whose runs left none."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that every picture, row and table of an output is as it was written. Do not use it during a run."""
    from artbank_cli.verify import check

    given = build_config(StylizeConfig, {"output_uri": output_uri}, parameters) if parameters else None
    quiet_prefect()
    if not check(output_uri, quick=quick, repair=repair, given=given, as_json=as_json):
        raise typer.Exit(1)


def _field(name: str) -> Any:
    """Return an option with the help text of a config's field."""
    return typer.Option(f"--{name.replace('_', '-')}", help=RunConfig.model_fields[name].description)


@app.command()
def doctor(
    store: StoreOption = None,
    gallery: Annotated[str | None, typer.Option(help="Folder or prefix to read.", envvar="ARTBANK_GALLERY")] = None,
    photos: Annotated[str | None, typer.Option(help="Folder or prefix to read.", envvar="ARTBANK_PHOTOS")] = None,
    output: Annotated[str | None, typer.Option(help="Folder or prefix to write.", envvar="ARTBANK_OUTPUT")] = None,
    base_model: Annotated[str | None, _field("base_model")] = None,
    revision: Annotated[str | None, _field("revision")] = None,
    scorer: Annotated[str | None, _field("scorer")] = None,
    device: Annotated[str | None, _field("device")] = None,
    dtype: Annotated[str | None, _field("dtype")] = None,
    seconds: Annotated[
        float, typer.Option(min=1, help="Longest wait for a device, store or server that may not answer.")
    ] = SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Check this installation: packages, device, models, free space, stores and Prefect server; say what to do."""
    chosen = {"base_model": base_model, "revision": revision, "scorer": scorer, "device": device, "dtype": dtype}
    given = {name: value for name, value in chosen.items() if value is not None}
    places = {"gallery": gallery, "store": store, "photos": photos, "output": output}
    quiet_prefect()
    raise typer.Exit(
        examine(
            build_config(RunConfig, given, None),
            {name: uri for name, uri in places.items() if uri},
            seconds=seconds,
            as_json=as_json,
        )
    )


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Folder for gallery, photos, store and output.")] = _DEMO,
) -> None:
    """Train banks on three painters and stylize photos with them, on the embedded model: 2 to 4 minutes."""
    quiet_prefect(folder.resolve() / "prefect")
    from artbank_cli.demo import run_demo

    print(run_demo(folder))


def quiet_prefect(home: Path | None = None) -> None:
    """Set Prefect up for a terminal, unless the environment says otherwise. Call it before importing Prefect."""
    level = "WARNING" if sys.stderr.isatty() else "INFO"
    settings = {
        "PREFECT_LOGGING_EXTRA_LOGGERS": "artbank",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_LOGGING_LEVEL": level,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",  # its first start on a busy machine takes over 20
        "DO_NOT_TRACK": "1",
        **({"PREFECT_HOME": str(home)} if home else {}),
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    for library in ("transformers", "diffusers"):
        os.environ.setdefault(f"{library.upper()}_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def main() -> None:
    """Run the command line."""
    if sys.stderr.isatty():  # else Prefect's own lines, with time, level and task, go into somebody's log
        logging.basicConfig(level=logging.WARNING, format="%(message)s")
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as it is under nohup
        signal.signal(signal.SIGHUP, _end)
    sys.exit(_run(partial(app, standalone_mode=False)))


def _run(command: Callable[[], Any]) -> int:
    """Run a command and return its exit code. Every error that a person can act on becomes one line."""
    try:
        code = command()
        if code == _INTERRUPTED:  # what the parser returns on Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except typer.Exit as error:
        return error.exit_code
    except ConfigError as error:
        return _complain(error, 2)
    except (ArtbankError, OSError) as error:
        return _complain(error, 1)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted; run the same command again to go on", _INTERRUPTED)
    except SystemExit as error:
        if error.code != _TERMINATED:
            raise
        return _complain("terminated; run the same command again to go on", _TERMINATED)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a usage error of the parser
            error.show()
            return error.exit_code
        raise


def _end(*_: object) -> None:
    """End as Ctrl-C does, so that claimed work is released; the same command goes on later."""
    raise SystemExit(_TERMINATED)


def _complain(error: object, code: int) -> int:
    text = " ".join(str(error).split()) or type(error).__name__
    print(f"artbank: {text}", file=sys.stderr)
    return code


def _print_forecast(forecast: StylizeForecast) -> None:
    from artbank.report.costs import device_text, pace_text
    from artbank.report.markdown import number_text

    print(f"photos: {forecast.num_photos:,}, to stylize: {forecast.num_tasks:,}")
    print(f"pictures to draw: {forecast.num_pictures:,}, in {number_text(forecast.num_shards, 'shard')}")
    print(f"UNet evaluations: {forecast.num_evaluations:,}")
    if forecast.seconds is not None and forecast.pace is not None:
        total = device_text(forecast.seconds, forecast.pace.device)
        print(f"about {total} on one worker, at {pace_text(forecast.pace, 'picture')}")
    elif forecast.num_pictures:
        print("time not known yet: stylize a few photos first, with --limit")
    for number, (num_photos, first, last) in enumerate(forecast.first_shards, start=1):
        print(f"shard {number}: {number_text(num_photos, 'photo')}, {first} to {last}")


def _print_training(forecast: TrainForecast, as_json: bool) -> None:
    from artbank.report.costs import training_cost
    from artbank.report.markdown import number_text

    if as_json:
        print(json.dumps({name: value for name, value in asdict(forecast).items() if name != "text"}))
        return
    for name, num_artworks in forecast.collections:
        print(f"{name}: {number_text(num_artworks, 'artwork')}, to train")
    for name in forecast.current:
        print(f"{name} is up to date")
    if forecast.collections:
        print(training_cost(forecast).replace("**", ""))


if __name__ == "__main__":
    main()
