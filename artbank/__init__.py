"""Galleries into reusable painting styles, photo archives into art; without an orchestrator.

The modules, lowest first; each imports only from those before it:

    errors, credentials, metrics, processes             what goes wrong; what nobody may read, what Prometheus may
    recipes, config, alarms, accounts, records          words that everything shares; what is worth a look
    keys, backends, storage, parquet                    objects in folders and buckets; tables as bytes
    leases                                              who is at work on what
    pipeline, bombs, reducing, srgb                     work that overlaps; what image files may cost; colours
    images, framing, colour, structure, codecs          pictures
    collection, examination                             galleries
    names, snapshots, containers, trimming              names of pictures; parts and pictures in few objects
    results, attempts                                   what was done
    manifest, planning, catalog                         what is to do, which banks there are
    mini, models, devices, loading                      the frozen base model, from a folder to a device
    denoiser, diffusion                                 how it is run
    words                                               what it has words for
    transfer                                            pictures to its device and back
    attention, bank, inversion, solvers                 the style prompts and how they meet a photo
    views, batches, joint, checkpoints, cohort          what banks learn from, several at once
    training, stylization                               learning and using them
    sight, scorer, evaluation, report, pages            what came of it
    worker, shelf, styles, album                        what a process keeps loaded; banks and styles out of a store
    forecasts, watching                                 how long it may take; what changed in a gallery
    samples, registering, turns, galleries, site        one job whole: a gallery into banks, and pages of them
    archives, opening, stages, shards, outcomes         the other: an archive into pictures
    verification, installation                          whether an output, or a machine, is as it should be
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("artbank")
except PackageNotFoundError:  # run from a checkout
    __version__ = "0+checkout"
