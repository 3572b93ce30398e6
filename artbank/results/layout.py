"""Every key and file name below an output.

<output>/<style>/<photo>                pictures; the newest recipe's stands
<output>/<style>/<shard>.tar, .parquet  or all that a shard made in a style, see `containers`
<output>/results.parquet                one row for each photo of the archive and style
<output>/metadata.parquet               the done ones, for readers of image folders; without those in containers
<output>/results/part-<shard>.parquet   the rows of one shard, never changed
<output>/results/_begun-<shard>         the mark of a shard that was started and is not done, see `attempts`
<output>/results/_snapshots/...         many parts in one object, see `snapshots`
<output>/manifests/<manifest>.parquet   the photos of one run, see `manifest`
<output>/runs/<manifest>/...            config, plan, summary, report and contact sheet of one run
"""

from __future__ import annotations

RESULTS = "results.parquet"
METADATA = "metadata.parquet"
CONFIG = "config.json"  # of a run, in its folder
PARTS = "results"
MANIFESTS = "manifests"


def picture_key(style: str, name: str) -> str:
    """Return where a picture lies; `name` is the photo's key with the suffix the picture is written under."""
    return f"{style}/{name}"


def part_key(shard_id: str) -> str:
    """Return where a shard's part lies."""
    return f"{PARTS}/part-{shard_id}.parquet"


def manifest_key(manifest_id: str) -> str:
    """Return where a manifest lies."""
    return f"{MANIFESTS}/{manifest_id}.parquet"


def run_key(manifest_id: str, *parts: str) -> str:
    """Return where a file of one run lies, such as its summary."""
    return "/".join(("runs", manifest_id, *parts))
