"""The contestants of a comparison: whole outputs, or one style of an output each, and their pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from artbank.errors import ComparisonError, ConfigError
from artbank.report.markdown import plain
from artbank.results import ledger
from artbank.results.layout import CONFIG, RUNS
from artbank.results.recorded_runs import MOST_BYTES
from artbank.runtime.style_names import style_folder
from artbank.store.objects import Store
from artbank.store.skipped import SkippedFiles

_COLUMNS = ("key", "style", "recipe_id", "status", "file_name", "file_sha256", "sha256", "created_at")
_LISTED = 8  # styles named in an error


@dataclass(frozen=True)
class Contestant:
    """A contestant: all styles of an output, or one of them.

    Attributes:
        name: As the user gave it.
        output: Holds its pictures.
        style: Name of the style's folder; None for all styles.
    """

    name: str
    output: Store
    style: str | None = None

    @property
    def identity(self) -> str:
        """The output's URI and the style: the same however the user spells them."""
        return f"{self.output.uri}#{self.style or ''}"


def parse_contestants(names: Sequence[str]) -> list[Contestant]:
    """Parse contestants: `OUTPUT` or `OUTPUT#STYLE`; `OUTPUT#` if the output's own name has a `#`.

    Raises:
        ConfigError: There are fewer than two, two are the same, or only some of them name a style.
    """
    contestants = [_parse(name) for name in names]
    if len(contestants) < 2:
        raise ConfigError(f"expected two or more outputs to compare, found {len(contestants)}; name another")
    identities = [contestant.identity for contestant in contestants]
    for contestant in contestants:
        if identities.count(contestant.identity) > 1:
            raise ConfigError(f"{contestant.name} is given twice; name each output, or OUTPUT#STYLE, once")
    if len({contestant.style is None for contestant in contestants}) > 1:
        raise ConfigError("only some outputs name a style; write OUTPUT#STYLE for all of them, or for none")
    return contestants


def read_pictures(contestant: Contestant, styles: Sequence[str] = ()) -> pa.Table:
    """Return the rows of a contestant's pictures, one per photo and style, sorted by both.

    Args:
        contestant: The contestant.
        styles: Only these style folders; all of the contestant's by default.

    Returns:
        Columns `key`, `style`, `recipe_id`, `file_name`, `file_sha256`, `sha256` (of the photo) and `created_at`.

    Raises:
        ComparisonError: It has no pictures, or none in these styles.
        ResultsError: A part cannot be read.
        OSError: The store failed.
    """
    rows = ledger.latest_rows(_complete(ledger.read_ledger(contestant.output, _COLUMNS)))
    done = rows.filter(pc.field("status") == "done").drop_columns(["status"])
    if not len(done):
        raise ComparisonError(
            f"{contestant.name} has no pictures; expected a folder or prefix that `artbank stylize` wrote to"
        )
    wanted = [contestant.style] if contestant.style else list(styles)
    kept = done.filter(pc.field("style").isin(pa.array(wanted, pa.string()))) if wanted else done
    if not len(kept):
        there = pc.unique(done["style"]).to_pylist()
        raise ComparisonError(
            f"{contestant.name} has no pictures in {', '.join(wanted)}; its styles are {_enumerate(sorted(there))}"
        )
    return kept.sort_by([("key", "ascending"), ("style", "ascending")])


def find_archives(contestants: Sequence[Contestant]) -> list[Store]:
    """Return the archives that the runs of the contestants' outputs read, as far as their configs can be read.

    Outputs may come from others, so only archives on this disk and on S3 are opened.

    Raises:
        OSError: A store failed.
    """
    uris: dict[str, None] = {}
    for contestant in contestants:
        files = contestant.output.list(RUNS, skipped=SkippedFiles())
        keys = [file.key for file in files if file.key.endswith(f"/{CONFIG}") and file.size <= MOST_BYTES]
        uris |= dict.fromkeys(filter(None, map(_read_archive_uri, contestant.output.read_many(keys).values())))
    return [Store.open(uri) for uri in uris]


def _read_archive_uri(data: bytes | Exception) -> str | None:
    try:
        uri = json.loads(data)["archive_uri"] if isinstance(data, bytes) else ""
        Store.open(uri)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):  # a ConfigError is a ValueError
        return None
    return uri if "://" not in uri or uri.startswith("s3://") else None


def count_recipes(rows: pa.Table) -> dict[str, int]:
    """Return the number of recipes among a contestant's pictures in each style, by style."""
    counted = rows.group_by("style").aggregate([("recipe_id", "count_distinct")]).to_pylist()
    return {row["style"]: row["recipe_id_count_distinct"] for row in counted}


def _parse(name: str) -> Contestant:
    uri, mark, style = name.rpartition("#")
    if not mark:
        return Contestant(name, Store.open(name))
    if not uri:
        raise ConfigError(f"expected OUTPUT or OUTPUT#STYLE, found {name}; name the output before the #")
    return Contestant(name.removesuffix("#"), Store.open(uri), style_folder(style) if style else None)


def _complete(rows: pa.Table) -> pa.Table:
    """Leave out rows without a value that every row of a picture has."""
    complete = pc.field("status").is_valid()
    for name in ("key", "style", "created_at"):
        complete &= pc.field(name).is_valid()
    is_picture = pc.field("file_name").is_valid() & pc.field("recipe_id").is_valid()
    return rows.filter(complete & ((pc.field("status") != "done") | is_picture))


def _enumerate(names: Sequence[str]) -> str:
    more = [f"{len(names) - _LISTED} more"] if len(names) > _LISTED else []
    return ", ".join([*map(plain, names[:_LISTED]), *more])
