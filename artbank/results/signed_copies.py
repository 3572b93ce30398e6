"""Signed copies of an output's pictures, in a place of their own; the output itself stays as it is.

<target>/<style>/<photo>                    the signed picture; of containers, `<16 hex digits>` of the photo's key
<target>/signed/part-<hash>.parquet         what was signed, a file for each batch: `LISTING`

A signature differs each time, so copies are outside the promise of equal bytes. A batch's pictures are written first,
its listing last; a picture whose SHA-256 is listed is not signed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artbank.errors import ConfigError, ImageError
from artbank.images.content_credentials import CredentialSigner
from artbank.results.containers import cut_reads, is_container, read_pictures
from artbank.results.filenames import output_name
from artbank.results.tables import read_finished
from artbank.runtime.hashing import full_hash, short_hash
from artbank.store.delivered import require
from artbank.store.objects import Store
from artbank.store.parquet import read_table, table_bytes

LISTING = pa.schema(
    [
        *((name, pa.string()) for name in ("key", "style", "file_name", "source_sha256", "sha256")),
        ("signed_at", pa.timestamp("us", tz="UTC")),
    ]
)
_COLUMNS = pa.schema([(name, pa.string()) for name in ("key", "style", "status", "file_name", "file_sha256")])
_FOLDER = "signed"
_AT_ONCE = 64


@dataclass
class Signed:
    """The outcome of signing.

    Attributes:
        num_current: Pictures that were signed before.
        num_signed: Pictures that were signed now.
        failed: Pictures that could not be signed, with the reason, one sentence each.
    """

    num_current: int
    num_signed: int = 0
    failed: list[str] = field(default_factory=list)


def sign_output(output: Store, target: Store, signer: CredentialSigner) -> Signed:
    """Sign the pictures of an output that the target does not hold yet.

    Args:
        output: The output of runs; only read.
        target: Holds the copies.
        signer: Signs.

    Raises:
        ConfigError: One of the places lies in the other, or the first is no output or its first run has not ended.
        ResultsError: The `results.parquet` of the output cannot be read.
        OSError: A store failed.
    """
    if output.contains(target) or target.contains(output):
        raise ConfigError(f"expected a place outside {output.uri} for the signed copies, found {target.uri}")
    rows = _read_rows(output)
    signed_before = _read_listing(target)
    wanted = [row for row in rows if signed_before.get(_copy_name(row)) != row["file_sha256"]]
    outcome = Signed(num_current=len(rows) - len(wanted))
    for batch in cut_reads(wanted, _AT_ONCE):
        _sign_batch(output, target, signer, batch, outcome)
    return outcome


def _read_rows(output: Store) -> list[dict[str, Any]]:
    table = read_finished(output, _COLUMNS)
    return table.filter(pc.field("status") == "done").sort_by("file_name").to_pylist()


def _read_listing(target: Store) -> dict[str, str]:
    """Return the SHA-256 of the picture that each copy was made of, by the copy's name."""
    parts = target.read_many([f"{_FOLDER}/{stored.key}" for stored in target.child(_FOLDER).list()])
    tables = [read_table(data, LISTING) for data in parts.values() if isinstance(data, bytes)]
    rows = pa.concat_tables([LISTING.empty_table(), *tables]).sort_by("signed_at").to_pylist()
    return {row["file_name"]: row["source_sha256"] for row in rows}


def _sign_batch(
    output: Store, target: Store, signer: CredentialSigner, batch: Sequence[Mapping[str, Any]], outcome: Signed
) -> None:
    pictures = read_pictures(output, batch)
    copies: dict[str, bytes] = {}
    listed = []
    for row in batch:
        name = _copy_name(row)
        try:
            source = _check(pictures[row["key"], row["style"]], row["file_sha256"])
            copies[name] = signer.sign(source, PurePosixPath(name).suffix, PurePosixPath(name).name)
        except (ImageError, FileNotFoundError) as error:
            reason = "is missing" if isinstance(error, FileNotFoundError) else str(error)
            outcome.failed.append(f"{row['file_name']} of {row['key']}: {reason}")
            continue
        facts = {"key": row["key"], "style": row["style"], "file_name": name, "source_sha256": row["file_sha256"]}
        listed.append({**facts, "sha256": full_hash(copies[name]), "signed_at": datetime.now(UTC)})
    target.write_many(copies)
    if listed:
        data = table_bytes(pa.Table.from_pylist(listed, schema=LISTING))
        target.write(f"{_FOLDER}/part-{short_hash(data)}.parquet", data)
    outcome.num_signed += len(listed)


def _check(data: bytes | Exception, sha256: str) -> bytes:
    content = require(data)
    if full_hash(content) != sha256:
        raise ImageError("it is not as its row says; `artbank verify --repair` draws it again")
    return content


def _copy_name(row: Mapping[str, Any]) -> str:
    if not is_container(row["file_name"]):
        return row["file_name"]
    return f"{row['style']}/{short_hash(row['key'])}{PurePosixPath(output_name(row['key'])).suffix}"
