"""Real paintings, real photographs and the broken files of real archives, through both flows on a real S3 server."""

from __future__ import annotations

import io
from collections import Counter

import pyarrow.parquet as pq
import pytest

from artbank.config import StylizeConfig, TrainConfig
from artbank.recipes import BankRecipe, StylizeRecipe
from artbank.store.objects import Store
from artbank_prefect.flows.stylize_archive import stylize_archive
from artbank_prefect.flows.train_banks import train_banks
from tests.support.paths import REAL_FILES as DATA

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="there are no real files beside the checkout"),
]
COLLECTIONS = ("hiroshige", "potter", "van_gogh")
NO_PHOTOS = (".doc",)  # the built-in rules leave them out


def copy_files(store: Store) -> int:
    """Copy a slice of the paintings and every fourth photo, and all that is nasty; returns the number of photos."""
    files = {}
    for name in COLLECTIONS:
        for path in sorted((DATA / "galleries" / name).iterdir())[:8]:
            files[f"gallery/{name}/{path.name}"] = path.read_bytes()
    for path in sorted((DATA / "nasty/corrupt").iterdir())[:3]:
        files[f"gallery/potter/{path.name}"] = path.read_bytes()
    photos = sorted((DATA / "photos").iterdir())[::4]
    nasty = sorted(path for path in (DATA / "nasty").rglob("*") if path.is_file() and path.suffix not in NO_PHOTOS)
    for path in (*photos, *nasty):
        files[f"photos/{path.relative_to(DATA).as_posix()}"] = path.read_bytes()
    store.write_many(files)
    return len(photos) + len(nasty)


def test_every_photo_of_a_real_archive_has_one_row_and_every_failure_a_reason(s3_store: str) -> None:
    num_photos = copy_files(Store.open(s3_store))
    recipe = BankRecipe(max_steps=4, batch_size=2, num_crops=1, resolution_px=64, num_tokens=2, validate_every=2)
    facts = {"store_uri": f"{s3_store}/store"}
    summary = train_banks(
        TrainConfig(gallery_uri=f"{s3_store}/gallery", recipe=recipe, num_samples=1, num_milestones=0, **facts)
    )
    assert summary.trained == dict.fromkeys(COLLECTIONS, 1)
    output = f"{s3_store}/output"
    config = StylizeConfig(
        archive_uri=f"{s3_store}/photos",
        output_uri=output,
        styles=COLLECTIONS,
        recipe=StylizeRecipe(steps=4, guidance=1.0, resolution_px=32),
        **facts,
    )
    outcome = stylize_archive(config)
    rows = pq.read_table(io.BytesIO(Store.open(output).read("results.parquet"))).to_pylist()
    assert Counter((row["key"], row["style"]) for row in rows).most_common(1)[0][1] == 1
    assert len(rows) == 3 * num_photos == outcome.num_done + outcome.num_failed
    assert all(row["reason"] for row in rows if row["status"] == "failed")
    assert {row["status"] for row in rows if not row["key"].startswith("nasty/")} == {"done"}
    assert {row["status"] for row in rows if "/not_image/" in row["key"] or "/bomb/" in row["key"]} == {"failed"}
    assert stylize_archive(config).num_new == 0
