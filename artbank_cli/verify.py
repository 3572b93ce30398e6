"""`artbank verify`: check an output of `stylize`, or a store of banks, and repair it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from artbank.config import StylizeConfig
from artbank.errors import ConfigError
from artbank_cli.environment import quiet_prefect
from artbank_cli.options import JsonOption, build_config

if TYPE_CHECKING:  # the command imports what it needs, so that `artbank --help` stays fast
    from artbank.results.recorded_runs import Operator


def verify(
    output_uri: Annotated[
        str | None, typer.Argument(metavar="[OUTPUT_URI]", help="Folder or prefix that `stylize` wrote to.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            help="Without OUTPUT_URI: check the catalog and banks of this store, and find files that killed runs left. "
            "With OUTPUT_URI: the banks that --repair draws with.",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Compare names and sizes; read no picture or bank.")] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Draw missing and damaged pictures again, no others; in a store, delete files that killed runs left.",
        ),
    ] = False,
    photos: Annotated[
        str | None, typer.Option("--photos", help="Folder or s3:// prefix of the photos that were stylized.")
    ] = None,
    base_model: Annotated[
        str | None, typer.Option("--base-model", help=StylizeConfig.model_fields["base_model"].description)
    ] = None,
    lora: Annotated[
        list[str] | None, typer.Option("--lora", help=StylizeConfig.model_fields["loras"].description)
    ] = None,
    control: Annotated[
        list[str] | None, typer.Option("--control", help=StylizeConfig.model_fields["controls"].description)
    ] = None,
    depth_model: Annotated[
        str | None, typer.Option("--depth-model", help=StylizeConfig.model_fields["depth_model"].description)
    ] = None,
    scorer: Annotated[
        str | None, typer.Option("--scorer", help=StylizeConfig.model_fields["scorer"].description)
    ] = None,
    structure_model: Annotated[
        str | None, typer.Option("--structure-model", help=StylizeConfig.model_fields["structure_model"].description)
    ] = None,
    style_model: Annotated[
        str | None, typer.Option("--style-model", help=StylizeConfig.model_fields["style_model"].description)
    ] = None,
    runner: Annotated[
        str | None,
        typer.Option(
            "--runner", help="Where --repair draws, as for `stylize`; the setting in the output is never used."
        ),
    ] = None,
    trust_output: Annotated[
        bool,
        typer.Option(
            "--trust-output",
            help="Use the photos, banks and models that the output names, where no option names others. Everybody who "
            "can write to the output then chooses what is read.",
        ),
    ] = False,
    parameters: Annotated[
        Path | None,
        typer.Option(
            "--parameters",
            "-f",
            metavar="FILE",
            help="YAML or JSON file with parameters for --repair; options win over it.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that every picture, row and table of an output is as it was written. Do not use it during a run.

    With --store alone, check that every bank of a store is as it was registered; runs may go on meanwhile.
    """
    if output_uri is None:
        if store is None:
            raise ConfigError("expected OUTPUT_URI or --store STORE_URI, found none; name the one to check")
        from artbank_cli.verify_store import check_store_uri

        is_well = check_store_uri(store, quick=quick, repair=repair, as_json=as_json)
    else:
        from artbank_cli.verify_output import check

        places = {"store_uri": store, "archive_uri": photos}
        models = {"base_model": base_model, "loras": tuple(lora or ()) or None, "scorer": scorer}
        optional = {"structure_model": structure_model, "style_model": style_model, "depth_model": depth_model}
        models["controls"] = tuple(control or ()) or None
        operator = _read_operator({**places, **models, **optional, "runner": runner}, parameters, trust_output)
        if repair:
            quiet_prefect()
        is_well = check(output_uri, operator, quick=quick, repair=repair, as_json=as_json)
    if not is_well:
        raise typer.Exit(1)


def _read_operator(
    options: dict[str, str | tuple[str, ...] | None], parameters: Path | None, trust_output: bool
) -> Operator:
    from artbank.results.recorded_runs import Operator, OperatorParameters

    given = {name: value for name, value in options.items() if value is not None}
    return Operator(build_config(OperatorParameters, given, parameters), trust_output)
