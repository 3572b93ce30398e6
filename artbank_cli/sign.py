"""`artbank sign`: write signed copies of an output's pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from artbank.errors import ConfigError
from artbank_cli.options import JsonOption
from artbank_cli.output import say, say_json

_EXAMPLES = 5


def sign(
    output_uri: Annotated[str, typer.Argument(help="Folder or prefix that `stylize` wrote to.")],
    signed_uri: Annotated[str, typer.Argument(help="Folder or s3:// prefix for the signed copies.")],
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate",
            metavar="FILE",
            envvar="ARTBANK_C2PA_CERTIFICATE",
            help="PEM file with the certificate and its chain.",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", metavar="FILE", envvar="ARTBANK_C2PA_KEY", help="PEM file with the unencrypted private key."
        ),
    ] = None,
    timestamp_url: Annotated[
        str | None,
        typer.Option(
            "--timestamp-url",
            help="Address of a time stamp authority (RFC 3161); without one, signatures have no time stamp.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Sign copies of an output's pictures with C2PA, unless they are signed already; needs the extra artbank[c2pa].

    The output stays as it is. Signatures differ each time, so copies are not compared byte for byte.
    """
    from artbank.images.content_credentials import CredentialSigner
    from artbank.report.markdown import plain
    from artbank.results.signed_copies import sign_output
    from artbank.runtime.counts import number_text
    from artbank.store.objects import Store

    if certificate is None or key is None:
        raise ConfigError(
            "expected a certificate and a key; pass --certificate and --key, or set ARTBANK_C2PA_CERTIFICATE and "
            "ARTBANK_C2PA_KEY to their files"
        )
    signer = CredentialSigner.open(certificate, key, timestamp_url)
    outcome = sign_output(Store.open(output_uri), Store.open(signed_uri), signer)
    if as_json:
        say_json({"signed": outcome.num_signed, "current": outcome.num_current, "failed": outcome.failed})
    else:
        say(
            f"{number_text(outcome.num_signed, 'picture')} signed, {outcome.num_current:,} signed before, "
            f"{len(outcome.failed):,} failed"
        )
        for text in outcome.failed[:_EXAMPLES]:
            say(f"failed: {plain(text)}")
    if outcome.failed:
        raise typer.Exit(1)
