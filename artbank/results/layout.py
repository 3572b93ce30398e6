"""Every key and file name below an output.

<output>/<style>/<photo>                a picture; that of the newest recipe
<output>/<style>/<shard>.tar, .parquet  or all pictures of a shard in a style, see `containers`
<output>/results.parquet                one row for each photo of the archive and style
<output>/metadata.parquet               the done rows, for readers of image folders; without pictures in containers
<output>/results/part-<shard>.parquet   the rows of one shard, never changed
<output>/results/_begun-<shard>         the start mark of a shard, deleted once its part exists; see `attempts`
<output>/results/_snapshots/...         many parts in one object, see `snapshots`
<output>/results/_trimmed.json          containers that need no vacuum, see `vacuum`
<output>/results/_parts.json            the parts that the tables were made from, see `known_parts`
<output>/results/_leases/<style>.lease-000001   held by the run that writes a style, see `archive.style_leases`
<output>/manifests/<manifest>.parquet   the photos of one run, see `manifest`
<output>/runs/<manifest>/...            config, plan, summary, contact sheet and report of one run
<output>/README.md                      the card by which the hub knows the output as a dataset, see `artbank dataset`

Readers of Parquet folders skip names that begin with an underscore.
"""

from __future__ import annotations

RESULTS = "results.parquet"
METADATA = "metadata.parquet"
DATASET_CARD = "README.md"
CONFIG = "config.json"
"""The config of a run, in the run's folder."""
SUMMARY = "summary.json"
"""The summary of a run, in the run's folder."""
CONTACT_SHEET = "contact-sheet.jpg"
"""Some pictures of a run, in the run's folder."""
PARTS = "results"
MANIFESTS = "manifests"
RUNS = "runs"
PART_PREFIX = "part-"
PART_SUFFIX = ".parquet"
MARK_PREFIX = "_begun-"
KNOWN_PARTS = f"{PARTS}/_parts.json"
LEASES = f"{PARTS}/_leases"


def picture_key(style: str, name: str) -> str:
    """Return the key of a picture; `name` is from `filenames.output_name`."""
    return f"{style}/{name}"


def part_name(shard_id: str) -> str:
    """Return the file name of a shard's part."""
    return f"{PART_PREFIX}{shard_id}{PART_SUFFIX}"


def part_key(shard_id: str) -> str:
    """Return the key of a shard's part."""
    return f"{PARTS}/{part_name(shard_id)}"


def mark_key(shard_id: str) -> str:
    """Return the key of a shard's start mark."""
    return f"{PARTS}/{MARK_PREFIX}{shard_id}"


def lease_name(style: str) -> str:
    """Return the name of the lease on a style."""
    return f"{LEASES}/{style}"


def manifest_key(manifest_id: str) -> str:
    """Return the key of a manifest."""
    return f"{MANIFESTS}/{manifest_id}.parquet"


def run_key(manifest_id: str, *parts: str) -> str:
    """Return the key of a file of one run, such as its summary."""
    return "/".join((RUNS, manifest_id, *parts))
