"""`artbank`: train banks, stylize archives, verify and compare outputs, list and export banks, check the installation.

Exit codes: 0 done, 1 something failed, 2 a parameter is wrong, 130 interrupted, 143 terminated. Results for scripts go
to standard output, everything else to standard error.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from artbank import __version__
from artbank.config import RunConfig, StylizeConfig, TrainConfig
from artbank.errors import ConfigError, ResultsError, TrainBanksError
from artbank.parameters.control_specs import ControlSpec, list_named, read_controls
from artbank.runs.outcome import Outcome, TrainForecast, TrainSummary
from artbank.runtime.cores import share_cores
from artbank.runtime.readable_text import escape_log_messages
from artbank_cli import banks
from artbank_cli.compare import compare
from artbank_cli.dataset import dataset
from artbank_cli.deploy import deploy
from artbank_cli.doctor import SECONDS, examine
from artbank_cli.ending import end_children, heed_signals, run
from artbank_cli.environment import DEBUG, quiet_prefect
from artbank_cli.export_picks import export_picks
from artbank_cli.exporting import export
from artbank_cli.help_pages import HelpedCommand, HelpedGroup
from artbank_cli.options import SHORT, JsonOption, LocalOption, ParametersOption, StoreOption, add_options, build_config
from artbank_cli.output import accept_all_characters, say, say_lines
from artbank_cli.place_options import GalleryOption, OutputOption, PhotosOption
from artbank_cli.run_results import print_stylizing, print_training
from artbank_cli.runs import run_stylizing, run_training
from artbank_cli.settings import settings
from artbank_cli.sign import sign
from artbank_cli.stage_display import show_stages
from artbank_cli.verify import verify
from artbank_cli.votes import votes

_DEMO = Path("build/demo")
_MANY_STEPS = 1000  # so that every interval has a step

app = typer.Typer(
    cls=HelpedGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=__doc__,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        say(f"artbank {__version__}")
        raise typer.Exit


@app.callback(help=__doc__)
def _take_options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error too; so does ARTBANK_DEBUG=1.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """The options of every command; `main` has taken them from the command line."""


def train(
    given: dict[str, Any],
    parameters: ParametersOption = None,
    is_local: LocalOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a bank for every collection of a gallery that needs one."""
    started = time.monotonic()
    config = build_config(TrainConfig, given, parameters)

    def show_result(result: TrainSummary | TrainForecast) -> None:
        print_training(result, config, time.monotonic() - started, is_local=is_local, as_json=as_json)

    try:
        with show_stages():
            result = run_training(config, is_local=is_local)
    except TrainBanksError as error:
        if isinstance(error.result, TrainSummary | TrainForecast):
            show_result(error.result)
        raise
    show_result(result)


def stylize(
    given: dict[str, Any],
    parameters: ParametersOption = None,
    is_local: LocalOption = False,
    as_json: JsonOption = False,
) -> None:
    """Redraw every photo of an archive that has no picture yet."""
    config = build_config(StylizeConfig, given, parameters)
    try:
        with show_stages():
            outcome = run_stylizing(config, is_local=is_local)
    except ResultsError as error:
        if isinstance(error.result, Outcome):
            print_stylizing(error.result, as_json=as_json)
        raise
    print_stylizing(outcome, as_json=as_json)
    if isinstance(outcome, Outcome):
        outcome.check_made(config.output_uri)


def _field(name: str, spelled: str = "") -> Any:
    """Return an option with the help text of a config's field."""
    short = [SHORT[name]] if name in SHORT else []
    text = StylizeConfig.model_fields[name].description
    return typer.Option(
        *short, spelled or f"--{name.replace('_', '-')}", help=text, rich_help_panel="Models and device"
    )


def doctor(
    store: StoreOption = None,
    gallery: GalleryOption = None,
    photos: PhotosOption = None,
    output: OutputOption = None,
    base_model: Annotated[str | None, _field("base_model")] = None,
    revision: Annotated[str | None, _field("revision")] = None,
    offline: Annotated[bool | None, _field("offline")] = None,
    scorer: Annotated[str | None, _field("scorer")] = None,
    structure_model: Annotated[str | None, _field("structure_model")] = None,
    style_model: Annotated[str | None, _field("style_model")] = None,
    control: Annotated[list[str] | None, _field("controls", "--control")] = None,
    depth_model: Annotated[str | None, _field("depth_model")] = None,
    device: Annotated[str | None, _field("device")] = None,
    dtype: Annotated[str | None, _field("dtype")] = None,
    seconds: Annotated[
        float,
        typer.Option(min=1, metavar="NUMBER", help="Longest wait for a device, store or server that may not answer."),
    ] = SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Check this installation: packages, device, models, free space, stores and Prefect server; say what to do."""
    models = {"base_model": base_model, "revision": revision, "scorer": scorer, "style_model": style_model}
    chosen = {**models, "offline": offline, "device": device, "dtype": dtype}
    given = {name: value for name, value in chosen.items() if value is not None}
    places = {"gallery": gallery, "store": store, "photos": photos, "output": output}
    quiet_prefect()
    raise typer.Exit(
        examine(
            build_config(RunConfig, given, None),
            {name: uri for name, uri in places.items() if uri},
            seconds=seconds,
            as_json=as_json,
            structure_model=structure_model,
            controls=_read_controls(control or (), depth_model),
            depth_model=depth_model,
        )
    )


def _read_controls(texts: Sequence[str], depth_model: str | None) -> tuple[ControlSpec, ...]:
    try:
        return read_controls(list_named(texts), depth_model, _MANY_STEPS)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def demo(
    folder: Annotated[Path, typer.Argument(help="Folder for gallery, photos, store and output.")] = _DEMO,
) -> None:
    """Train banks on three painters and stylize photos with them, on the embedded model: 3 to 5 minutes."""
    if folder.is_file():
        raise ConfigError(f"expected a folder for the demo, found the file {folder}; name another")
    quiet_prefect(folder.resolve() / "prefect")
    from artbank_cli.demo import run_demo

    with show_stages():
        text = run_demo(folder)
    say_lines(text)


_COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    "Styles and pictures": {
        "train": add_options(train, TrainConfig, ("gallery_uri",)),
        "stylize": add_options(stylize, StylizeConfig, ("archive_uri", "output_uri")),
    },
    "Banks": {"export": export, "site": banks.site},
    "Outputs": {
        **{"verify": verify, "compare": compare, "votes": votes},
        **{"export-picks": export_picks, "sign": sign, "dataset": dataset},
    },
    "This machine": {"doctor": doctor, "settings": settings, "demo": demo},
    "A Prefect server": {"deploy": deploy},
}
"""The commands by the title of their panel in `--help`."""

for _panel, _members in _COMMANDS.items():
    for _name, _command in _members.items():
        app.command(_name, cls=HelpedCommand, rich_help_panel=_panel)(_command)
app.add_typer(banks.app, name="banks", invoke_without_command=True, rich_help_panel="Banks")


def main() -> None:
    """Run the command line."""
    share_cores()
    accept_all_characters()
    escape_log_messages()
    if sys.stderr.isatty():  # else Prefect's own lines, with time, level and task, go into somebody's log
        logging.basicConfig(level=logging.WARNING, format="%(message)s")
    heed_signals()
    end_children()
    _take_debug_option()
    sys.exit(run(partial(app, standalone_mode=False)))


def _take_debug_option() -> None:
    """Accept `--debug` before and after the name of the command."""
    if "--debug" in sys.argv[1:]:
        sys.argv = [word for word in sys.argv if word != "--debug"]
        os.environ[DEBUG] = "1"


if __name__ == "__main__":
    main()
