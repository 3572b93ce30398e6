"""Galleries into reusable painting styles, photo archives into art; without an orchestrator.

The modules, lowest first; each imports only from those before it:

    errors, config, records       words that everything shares
    keys, backends, storage       objects in folders and buckets; parquet: tables as bytes
    srgb, images, captions, collection, doctor    pictures and galleries
    manifest, results, catalog    what is to do, what was done, which banks there are
    models, diffusion             the frozen base model
    attention, bank               the style prompts
    framing, colour, inversion    how a photo meets the model
    views, training, stylization  learning and using them
    scorer, evaluation, report    what came of it
    worker, shelf, styles         what a process keeps loaded, and banks and styles out of a store
    galleries                     one job whole: a gallery into banks
    archives, shards, outcomes    the other: an archive into pictures
"""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("artbank")
