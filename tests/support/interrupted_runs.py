"""Runs that tests interrupt, and the check that nothing differs from an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from artbank.config import StylizeConfig, TrainConfig
from artbank.results import layout, ledger
from artbank.store.objects import Store
from tests.support.prefect_database import copy_empty_database
from tests.support.small_inputs import stylizing

NUM_PHOTOS = 8


def asked(photos: str, output: str, store: str, **values: Any) -> StylizeConfig:
    """Return the config of a run over the fixture `photos`: one style, four shards."""
    return stylizing(photos, output, store, "novak", **{"shard_size": 2, **values})


def pictures(output: str) -> dict[str, bytes]:
    store = Store.open(output)
    found = store.read_many([stored.key for stored in store.list("novak")])
    assert not [one for one in found.values() if isinstance(one, Exception)]
    return {key: data for key, data in found.items() if isinstance(data, bytes)}


def copy_photos(photos: str, bucket_uri: str) -> Store:
    """Copy photos into the folder `photos` of a bucket; returns the bucket."""
    source, bucket = Store.open(photos), Store.open(bucket_uri)
    bucket.write_many({f"photos/{stored.key}": source.read(stored.key) for stored in source.list()})
    return bucket


def check_whole(output: str, undisturbed: dict[str, bytes], *, lost: str | None = None) -> None:
    """Check that every photo has one row and its picture, and that no temporary file remains.

    Args:
        output: URI of the results.
        undisturbed: Pictures of an undisturbed run, by name.
        lost: Key of the one photo whose row is failed.
    """
    store = Store.open(output)
    expected = {name: data for name, data in undisturbed.items() if lost is None or not name.endswith(f"/{lost}")}
    assert pictures(output) == expected
    rows = ledger.latest_rows(ledger.read_ledger(store)).to_pylist()
    assert len({row["key"] for row in rows}) == len(rows) == len(undisturbed)
    assert sorted(row["file_name"] for row in rows if row["status"] == "done") == sorted(expected)
    assert [row["key"] for row in rows if row["status"] != "done"] == ([] if lost is None else [lost])
    kept = {stored.key for stored in store.list("results") if "part-" not in stored.key}
    assert kept == {layout.KNOWN_PARTS}
    if "://" not in output:
        assert not [name for _, _, names in os.walk(output) for name in names if name.startswith(".")]


def start_command(
    config: StylizeConfig | TrainConfig, folder: Path, server: str | None = None
) -> subprocess.Popen[bytes]:
    """Start the command line with a config, in a process group of its own; without `server` it starts its own."""
    parameters = folder / "parameters.yaml"
    parameters.write_text(yaml.safe_dump({"config": config.model_dump(mode="json")}))
    if isinstance(config, StylizeConfig):
        asked = ["stylize", config.archive_uri, config.output_uri]
    else:
        asked = ["train", config.gallery_uri]
    command = [sys.executable, "-m", "artbank_cli.main", *asked, "--parameters", str(parameters)]
    if not server:
        copy_empty_database(folder / "prefect")
    env = os.environ | ({"PREFECT_API_URL": server} if server else {"PREFECT_HOME": str(folder / "prefect")})
    with (folder / "stderr").open("wb") as stderr:
        return subprocess.Popen(command, env=env, stderr=stderr, preexec_fn=heed_interrupts, start_new_session=True)


def heed_interrupts() -> None:
    """Let SIGINT and SIGHUP end this process, as at a terminal; in the background or under nohup they are ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
