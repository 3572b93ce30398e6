"""Galleries into reusable painting styles, photo archives into art; without an orchestrator.

The modules, lowest first; each imports only from those before it:

    errors, config, records       words that everything shares
    storage, backends, keys       objects in folders and buckets; parquet: tables as bytes
    images, srgb, collection      pictures and galleries
    manifest, results, catalog    what is to do, what was done, which banks there are
    models, diffusion             the frozen base model
    attention, bank, inversion    the style prompts and how they meet a photo
    views, training, stylization  learning and using them
    scorer, evaluation, report    what came of it
    worker, shelf, galleries, archives    the two jobs, whole: what a task calls
"""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("artbank")
