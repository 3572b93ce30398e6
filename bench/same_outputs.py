"""Compare what two versions of artbank wrote from the same gallery and photos, file by file.

    python bench/same_outputs.py OLD NEW

Both folders must have been written at the same path and then moved, since rows, configs and pages name the URIs they
were written at. The photos need the same times of change, since the etag of a local file follows from its time. Prints
each difference and the number of files of each kind; exits 1 if there is a difference.

Files are equal where their bytes are: pictures, tars, containers, manifests, albums, exports, scripts and styles of the
pages. Two runs of one version differ in the following, and nothing else is left out:

clock    Times and measured durations: the columns of Parquet tables and names in JSON that `CLOCK` lists, dates and
         durations in cards, summaries and pages. `artbank.tally` of a part counts seconds. `artbank.origin` of a table
         and `artbank-content` of a page follow from the etags of the parts, which are times of change in a local
         folder. The values in `site.json` follow from times too, and from the source of the pages.
names    A small picture of an output's page is named by when its row was written, the script `overview` by its content,
         which names these pictures, and an event of the catalog by its time. These files are matched by their content.
random   safetensors writes the metadata of a file in a random order, and so the SHA-256 of a bank file is random too.
         Metadata and tensors are compared, the order and the hash are not. Recipe ids follow from that hash: to compare
         pictures and their rows, let both versions stylize with the same store.

The Python example in a bank's card names modules and methods of its version: it is left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections import Counter
from difflib import unified_diff
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

CLOCK = {
    *("created_at", "at", "seconds", "seconds_per_picture", "sample_seconds", "utilisation"),
    *("device_seconds", "device_seconds_per_photo", "wall_seconds"),
}
RANDOM = {"weights_sha256"}
LEFT_OUT = CLOCK | RANDOM
CLOCK_METADATA = {b"artbank.origin", b"artbank.tally"}
SECONDS = r"\d[\d.]*(e-\d+)? s\b|\d+ min( \d+ s)?\b|\d+ h \d+ min\b"
TEXT = [
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00)?", "TIME"),
    (r"\b\d{1,2} [A-Z][a-z]+ 20\d\d( at \d\d:\d\d UTC)?", "DATE"),
    (r'(?<=data-date=")[\d.]+', "TIME"),
    (rf"(?<![\w.-])({SECONDS})", "DURATION"),
    (r"(?<=\| utilisation \| )\d+ %", "SHARE"),
    (r'(?<=name="artbank-content" content=")[0-9a-f]{32}', "HASH"),
    (r"(?<=rows/overview-)[0-9a-f]{16}", "HASH"),
    (r"(?<=SHA-256 of the weights</dt><dd>)[0-9a-f]{64}", "HASH"),
    (r"(?<=their SHA-256 \| )[0-9a-f]{64}", "HASH"),
    (r"(?s)```python\n.*?\n```", "EXAMPLE"),
]
"""What is replaced in text, in this order, and by what."""
TEXT_FILES = {".html", ".md", ".txt"}
SMALL_PICTURE = re.compile(r"pictures/[0-9a-f]{24}\.jpg")
EVENT = re.compile(r"(catalog/events/[^/]+)/\d+-[0-9a-f]{8}\.parquet")
OVERVIEW = re.compile(r"rows/overview-[0-9a-f]{16}\.js")


def main() -> None:
    """Compare two folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    given = parser.parse_args()
    old = read_folder(given.old)
    new = read_folder(given.new)
    differences = 0
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new:
            print(f"{name}: only in {given.old if name in old else given.new}")
        elif old[name] != new[name]:
            print(f"{name}: differs\n{show_difference(old[name], new[name])}")
        else:
            continue
        differences += 1
    for kind, count in sorted(Counter(Path(name).suffix or "no suffix" for name in old.keys() & new.keys()).items()):
        print(f"{count:6} {kind}")
    print(f"{differences} differences in {len(old.keys() | new.keys())} files")
    sys.exit(1 if differences or not old else 0)


def read_folder(root: Path) -> dict[str, Any]:
    """Return the compared content of each file below a folder by its neutral name; hidden files are left out."""
    found: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_file() and not re.search(r"(^|/)\.", name):
            found[neutral_name(path, name, found)] = read_file(path, name)
    return found


def neutral_name(path: Path, name: str, taken: dict[str, Any]) -> str:
    """Return the name of a file; a part that follows from a time is replaced by a hash of the content or a number."""
    if SMALL_PICTURE.search(name):
        name = SMALL_PICTURE.sub(f"pictures/{hash_file(path)}.jpg", name)
    name = OVERVIEW.sub("rows/overview.js", name)
    if event := EVENT.search(name):
        name = f"{event[1]}/event.parquet"
    count = 1
    while name in taken:  # equal small pictures, several events
        count += 1
        name = f"{Path(name).with_suffix('')}+{count}{Path(name).suffix}"
    return name


def read_file(path: Path, name: str) -> Any:
    """Return the compared content of a file: its bytes, or what is left of it without times and random order."""
    if path.suffix == ".parquet":
        return read_parquet(path)
    if path.suffix == ".safetensors":
        return read_safetensors(path.read_bytes())
    if path.name == "site.json":
        return sorted(json.loads(path.read_text())["pages"])
    if path.suffix == ".json":
        return read_json(path.read_bytes())
    if path.suffix in TEXT_FILES or OVERVIEW.search(name):
        return without_times(path.read_text(), path)
    return path.read_bytes()


def read_parquet(path: Path) -> Any:
    """Return a table's schema, metadata, row groups and rows without clocks; the bytes of one that has no clock."""
    file = pq.ParquetFile(path)
    kept = [name for name in file.schema_arrow.names if name not in LEFT_OUT]
    metadata = file.metadata.metadata or {}
    if len(kept) == len(file.schema_arrow.names) and not metadata.keys() & CLOCK_METADATA:
        return path.read_bytes()
    schema = [f"{field.name}: {field.type}" for field in file.schema_arrow]
    repeated = {*CLOCK_METADATA, b"ARROW:schema"}  # the latter holds the schema and the metadata once more
    told = {key.decode(): value.decode() for key, value in metadata.items() if key not in repeated}
    if tally := metadata.get(b"artbank.tally"):
        told["artbank.tally"] = without_clock(json.loads(tally))
    groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    facts = {"schema": schema, "metadata": told, "row groups": groups, "rows": file.read(kept).to_pylist()}
    return json.dumps(facts, indent=1, default=str, ensure_ascii=False)


def read_safetensors(data: bytes) -> Any:
    """Return the header of a file, its keys in order, and a hash of its tensors."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["tensors"] = hashlib.sha256(data[8 + size :]).hexdigest()
    return json.dumps(header, indent=1, sort_keys=True)


def read_json(data: bytes) -> Any:
    """Return JSON without clocks as text; its bytes where it has none."""
    value = json.loads(data)
    kept = without_clock(value)
    return data if kept == value else json.dumps(kept, indent=1, ensure_ascii=False)


def without_clock(value: Any) -> Any:
    """Return JSON without its times, durations and hashes of bank files."""
    if isinstance(value, dict):
        return {k: without_clock(v) for k, v in value.items() if k not in LEFT_OUT}
    return [without_clock(one) for one in value] if isinstance(value, list) else value


def without_times(text: str, path: Path) -> str:
    """Return text with times and durations replaced, and small pictures named by their content."""
    root = path.parent.parent if path.parent.name == "rows" else path.parent
    text = SMALL_PICTURE.sub(lambda found: f"pictures/{hash_file(root / found[0])}.jpg", text)
    for pattern, neutral in TEXT:
        text = re.sub(pattern, neutral, text)
    return text


def hash_file(path: Path) -> str:
    """Return 24 hex digits of a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:24]


def show_difference(old: Any, new: Any) -> str:
    """Return the lines in which two texts differ, or the sizes of other content."""
    if isinstance(old, bytes) or isinstance(new, bytes):
        return f"    {len(old)} and {len(new)} bytes"
    lines = [one.replace("},{", "},\n{").splitlines() if isinstance(one, str) else one for one in (old, new)]
    return "\n".join(f"    {line[:200]}" for line in list(unified_diff(*lines, lineterm="", n=0))[2:42])


if __name__ == "__main__":
    main()
