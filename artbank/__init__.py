"""Galleries into reusable painting styles, photo archives into art; without an orchestrator.

`artbank.train("paintings/van_gogh").stylize("photo.jpg", preset="fast").save("art.png")` is the whole of it in Python.
The names in `__all__` are that API. They are imported when they are first used, so `import artbank` loads no other
library.

The modules and packages, lowest first. Each imports only from those before it, except that the two stories, `gallery`
and `archive`, never import each other. `tests/test_layers.py` reads this list.

    errors         the tree of errors
    credentials    keep secrets out of logs and errors
    runtime        prefetching, telemetry, processes, names by content, what a process loads once
    parameters     what runs, banks and pictures are asked to be: recipes, presets, configurations, rules
    recipes        both recipes, for programs
    config         the parameters of the flows, for programs
    records        the rows on disk
    store          objects and tables in folders and buckets
    images         bytes to pixels and back
    captions       captions of artworks and photos, from files beside them
    runs           forecasts, costs and outcomes of runs
    results        the output dataset on disk; knows no model
    mini           the embedded base model
    diffusion      the frozen base model
    bank           the method, first half: a bank and how it learns
    stylization    the method, second half: a photo and a bank become a picture
    scoring        CLIP scores
    pretraining    how the embedded base model was made and measured; only in a checkout
    report         Markdown, bank cards and bank previews
    catalog        the registered banks
    comparison     blinded pairs of pictures, and the votes on them
    pages          HTML for people
    gallery        story 1: a gallery becomes registered banks
    archive        story 2: an archive becomes pictures, scores and rows
    api            what `artbank` exports: train a bank and draw photos in a notebook or a program
    doctor         is this machine fit for the work?
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artbank.api.bank_loading import load_bank
    from artbank.api.bank_store import BankStore, open_store
    from artbank.api.drawing_style import DrawingStyle
    from artbank.api.drawn_picture import DrawnPicture
    from artbank.api.style_mix import StyleMix, mix
    from artbank.api.trained_bank import TrainedBank
    from artbank.api.training import train
    from artbank.errors import ArtbankError

__all__ = [
    "ArtbankError",
    "BankStore",
    "DrawingStyle",
    "DrawnPicture",
    "StyleMix",
    "TrainedBank",
    "load_bank",
    "mix",
    "open_store",
    "train",
]

_MODULES = {
    "ArtbankError": "errors",
    "BankStore": "api.bank_store",
    "DrawingStyle": "api.drawing_style",
    "DrawnPicture": "api.drawn_picture",
    "StyleMix": "api.style_mix",
    "TrainedBank": "api.trained_bank",
    "load_bank": "api.bank_loading",
    "mix": "api.style_mix",
    "open_store": "api.bank_store",
    "train": "api.training",
}

try:
    __version__ = version("artbank")
except PackageNotFoundError:  # run from a checkout
    __version__ = "0+checkout"


def __getattr__(name: str) -> object:
    """Import a name of the API when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
