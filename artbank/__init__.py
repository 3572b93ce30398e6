"""Galleries into reusable painting styles, photo archives into art; without an orchestrator.

The modules and packages, lowest first. Each imports only from those before it, except that the two stories, `gallery`
and `archive`, never import each other. `tests/test_layers.py` reads this list.

    errors         the tree of errors
    credentials    keep secrets out of logs and errors
    runtime        prefetching, telemetry, processes, names by content, what a process loads once
    parameter_groups  the order and the groups of the parameters
    recipe_model   the base of parameters, and of what is named by its settings
    bank_recipe    what shapes a bank
    presets        settings of pictures that belong together
    recipes        what shapes a picture; programs import both recipes from it
    skip_rules     which files are no photos
    run_config     what every run is asked to do
    config         what a run is asked to do
    records        the rows on disk
    store          objects and tables in folders and buckets
    images         bytes to pixels and back
    runs           forecasts, costs and outcomes of runs
    results        the output dataset on disk; knows no model
    mini           the embedded base model
    diffusion      the frozen base model
    bank           the method, first half: a bank and how it learns
    stylization    the method, second half: a photo and a bank become a picture
    scoring        CLIP scores
    report         Markdown, bank cards and bank previews
    catalog        the registered banks
    comparison     blinded pairs of pictures, and the votes on them
    pages          HTML for people
    gallery        story 1: a gallery becomes registered banks
    archive        story 2: an archive becomes pictures, scores and rows
    doctor         is this machine fit for the work?
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("artbank")
except PackageNotFoundError:  # run from a checkout
    __version__ = "0+checkout"
