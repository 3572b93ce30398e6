"""`artbank verify` reports and repairs damaged outputs of real runs."""

from __future__ import annotations

import glob
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from artbank.results.recorded_runs import Operator
from artbank.results.verification import repair
from artbank.results.verification import verify as verification
from artbank.store.objects import Store
from artbank_cli.main import main
from artbank_prefect.flows.stylize_archive import stylize_archive
from artbank_prefect.flows.train_banks import train_banks
from tests.support.flow_runs import run
from tests.support.small_inputs import draw_photo, listing, training
from tests.support.verified_output import KEYS, MIX, Verified, assert_alike, flip_a_bit, found, names


def test_an_output_to_which_nothing_happened_is_well_and_left_alone(stylized: Verified, verify: Any) -> None:
    before = listing(stylized.output)
    code, told = verify(stylized.output, "--repair", "--trust-output")
    assert (code, told["problems"], told["notes"], told["num_pictures"]) == (0, [], [], 12)
    assert listing(stylized.output) == before


def test_everything_that_is_wrong_is_named_and_exactly_that_is_mended(archive: Verified, verify: Any) -> None:
    output, whole, before = archive.output, archive.files(), listing(archive.output)
    missing, torn, flipped = (f"{style}/{key}" for style, key in zip(("novak", MIX, "novak"), KEYS, strict=False))
    (output / missing).unlink()
    (output / torn).write_bytes(whole[torn][:-7])
    flip_a_bit(output / flipped)
    spoilt = archive.parts()[-1]
    spoilt.write_bytes(spoilt.read_bytes()[:100])
    lost = {(row["key"], row["style"]) for row in archive.rows().values()}
    lost -= {(row["key"], row["style"]) for part in archive.parts()[:-1] for row in pq.read_table(part).to_pylist()}
    pq.write_table(pq.read_table(output / "results.parquet").slice(0, 3), output / "results.parquet")
    mark = output / "results" / f"_begun-{archive.parts()[0].stem.removeprefix('part-')}"
    mark.write_text("2026-01-01T00:00:00+00:00")
    leftover = output / "novak" / f".{'0a' * 16}.tmp"
    leftover.write_bytes(b"half")
    os.utime(leftover, (time.time() - 7200,) * 2)

    code, told = verify(output)
    assert code == 1
    assert (names(told, "missing_picture"), names(told, "leftover")) == ([missing], [f"novak/{leftover.name}"])
    assert names(told, "damaged_picture") == [torn, flipped] or names(told, "damaged_picture") == [flipped, torn]
    assert names(told, "bad_part") == [f"results/{spoilt.name}"]
    assert {(row["key"], row["style"]) for row in found(told, "lost_row")} == lost and len(lost) == 4
    assert "results.parquet" in names(told, "stale_table")
    assert names(told, "settled_mark") == [f"results/{mark.name}"]
    assert {row["kind"] for row in told["problems"]} == {
        *("missing_picture", "damaged_picture", "bad_part", "lost_row", "stale_table"),
    }  # fmt: skip

    code, told = verify(output, "--repair", "--trust-output")
    assert (code, told["repaired"]) == (0, {"num_wanted": 7, "left": [], "removed": []})
    assert_alike(archive.files(), whole)
    after = listing(output)
    redone = {missing, torn, flipped, *(f"{style}/{key}" for key, style in lost)}
    pictures = {name for name in before if name.startswith(("novak/", f"{MIX}/"))}
    assert {name for name in pictures if after[name] != before[name]} == redone
    assert {row["status"] for row in archive.rows().values()} == {"done"}
    assert not leftover.exists() and not mark.exists()
    code, told = verify(output)
    assert (code, told["problems"], told["counts"]) == (0, [], {"covered_shard": 1})


def test_a_photo_whose_part_was_deleted_is_done_again_and_no_other(archive: Verified, verify: Any) -> None:
    whole = archive.files()
    (archive.root / "photos/new.jpg").write_bytes(draw_photo(9))
    archive.parts()[1].unlink()
    code, told = verify(archive.output)
    assert (code, told["counts"]["open_shard"], told["counts"]["lost_row"]) == (1, 1, 4)
    assert verify(archive.output, "--repair", "--trust-output")[1]["repaired"] == {
        "num_wanted": 4,
        "left": [],
        "removed": [],
    }
    assert_alike(archive.files(), whole)  # and nothing of the new photo


def test_a_picture_whose_photo_is_gone_is_told_of_and_then_no_problem(archive: Verified, verify: Any) -> None:
    (archive.root / "photos" / KEYS[0]).unlink()
    flip_a_bit(archive.output / "novak" / KEYS[0])
    code, told = verify(archive.output, "--repair", "--trust-output")
    assert (code, told["counts"], told["repaired"]["left"]) == (0, {"damaged_picture": 1}, [])
    assert told["repaired"]["removed"][0].startswith(f"{KEYS[0]} in novak: its photo is no longer in the archive")
    assert (KEYS[0], "novak") not in archive.rows()
    code, told = verify(archive.output, "--photos", archive.photos)
    assert (code, told["problems"], [row["key"] for row in found(told, "removed_photo")]) == (0, [], [KEYS[0]])
    code, told = verify(archive.output)
    assert (code, [row["text"] for row in found(told, "unlisted_archive")]) == (
        1,
        [f"the output names {archive.photos}"],
    )


def test_a_repair_that_broke_off_is_gone_on_with_by_the_next_and_by_an_ordinary_run(
    archive: Verified, verify: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = archive.files()
    for key in KEYS[:2]:
        (archive.output / "novak" / key).unlink()
    report = verification.verify(Store.open(str(archive.output)), Operator(trusts_output=True))
    repair.prepare(report)
    code, told = verify(archive.output)
    assert (code, [row["key"] for row in found(told, "voided_row")]) == (1, sorted(KEYS[:2]))
    assert run(stylize_archive, archive.config(include=(glob.escape(KEYS[0]),))).result().num_new == 1
    assert verify(archive.output, "--repair", "--trust-output")[1]["repaired"] == {
        "num_wanted": 1,
        "left": [],
        "removed": [],
    }
    assert_alike(archive.files(), whole)


def test_a_style_that_means_another_bank_now_is_named_and_left(archive: Verified, verify: Any) -> None:
    store = Path(shutil.copytree(archive.store, archive.root / "store"))
    for file in archive.output.glob("runs/*/config.json"):
        file.write_text(Verified(archive.root, str(store)).config().model_dump_json())
    gallery = Path(archive.store).parent / "gallery"
    newer = training(str(gallery), str(store), collections=("novak",), force=True)
    assert run(train_banks, newer).result().trained == {"novak": 2}
    (archive.output / "novak" / KEYS[0]).unlink()
    code, told = verify(archive.output, "--repair", "--trust-output")
    assert code == 1
    (left,) = told["repaired"]["left"]
    assert left.startswith(f"{KEYS[0]} in novak: its style or base model has changed, so no run draws the same picture")
    assert {row["failure"] for row in archive.rows().values()} == {None, "damaged"}


def test_a_quick_look_reads_no_picture(archive: Verified, verify: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    flip_a_bit(archive.output / "novak" / KEYS[0])
    (archive.output / "novak" / KEYS[1]).write_bytes(b"short")
    monkeypatch.setattr(Path, "read_bytes", only_parquet(Path.read_bytes))
    code, told = verify(archive.output, "--quick")
    assert (code, names(told, "damaged_picture")) == (1, [f"novak/{KEYS[1]}"])


def only_parquet(read: Any) -> Any:
    def spy(path: Path) -> bytes:
        assert path.suffix in (".parquet", ".json"), path
        return read(path)

    return spy


def test_people_are_told_what_is_wrong_and_what_to_do(
    archive: Verified, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (archive.output / "novak" / KEYS[0]).unlink()
    monkeypatch.setattr(sys, "argv", ["artbank", "verify", str(archive.output)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    assert capsys.readouterr().out.splitlines() == [
        "12 pictures checked: 1 problem",
        "missing_picture, 1: --repair draws it again",
        f"  {KEYS[0]} in novak: is missing",
    ]


def test_an_output_in_a_bucket_is_verified_and_mended(stylized: Verified, s3_store: str, verify: Any) -> None:
    bucket, output = Store.open(s3_store), Store.open(str(stylized.output))
    bucket.write_many({f"output/{stored.key}": output.read(stored.key) for stored in output.list()})
    damaged = [f"output/novak/{key}" for key in KEYS[:2]]
    whole = {stored.key: stored.etag for stored in bucket.list("output/novak")}
    bucket.write(damaged[0], b"x" + bucket.read(damaged[0])[1:])
    bucket.delete_many(damaged[1:])
    uri = bucket.uri_of("output")
    assert verify(uri, "--quick")[1]["counts"] == {"missing_picture": 1}
    code, told = verify(uri, "--repair", "--trust-output")
    assert (code, told["counts"]) == (0, {"missing_picture": 1, "damaged_picture": 1})
    assert verify(uri)[0] == 0
    assert {stored.key: stored.etag for stored in bucket.list("output/novak")} == whole
