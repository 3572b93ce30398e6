"""Options for the places that several commands take, each with its variable in the environment."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def _place(use: str, variable: str) -> Any:
    return typer.Option(help=f"Folder or prefix to {use}.", envvar=variable, rich_help_panel="Places")


GalleryOption = Annotated[str | None, _place("read", "ARTBANK_GALLERY")]
PhotosOption = Annotated[str | None, _place("read", "ARTBANK_PHOTOS")]
OutputOption = Annotated[str | None, _place("write", "ARTBANK_OUTPUT")]
