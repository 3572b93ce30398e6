"""`artbank verify` reports and repairs damaged outputs of real runs."""

from __future__ import annotations

import glob
import io
import json
import os
import shutil
import socket
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from artbank.config import StylizeConfig
from artbank.results.recorded_runs import Operator
from artbank.results.verification import repair
from artbank.results.verification import verify as verification
from artbank.store.objects import Store
from artbank_cli.main import main
from artbank_prefect.flows.stylize_archive import stylize_archive
from artbank_prefect.flows.train_banks import train_banks
from tests.support.flow_runs import run
from tests.support.small_inputs import draw_photo, listing, training
from tests.support.status_times import no_status_times
from tests.support.stylized_archive import Archive

KEYS = tuple(f"roll {n % 2}/{n} [x].jpg" for n in range(6))
STYLES = ("novak", "novak:0.7+ferrante:0.3")
MIX = "novak_0.7+ferrante_0.3"


class Verified(Archive):
    """Of which a test changes parts and pictures."""

    def config(self, *styles: str, **values: Any) -> StylizeConfig:
        return super().config(*(styles or STYLES), **{"shard_size": 2, **values})

    def parts(self) -> list[Path]:
        return sorted((self.output / "results").glob("part-*.parquet"))

    def files(self) -> dict[str, bytes]:
        return {row["file_name"]: (self.output / row["file_name"]).read_bytes() for row in self.rows().values()}


@pytest.fixture(scope="module")
def stylized(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Verified:
    """Six photos in a style and a mix, in three shards; not to be changed."""
    archive = Verified(tmp_path_factory.mktemp("verified"), trained.store)
    Store.open(str(archive.root / "photos")).write_many({key: draw_photo(n) for n, key in enumerate(KEYS)})
    with no_status_times():
        assert run(stylize_archive, archive.config()).is_completed()
    return archive


@pytest.fixture
def archive(stylized: Verified, tmp_path: Path) -> Verified:
    """A copy of it, times of change included, whose runs name the copy's photos."""
    for name in ("photos", "output"):
        shutil.copytree(stylized.root / name, tmp_path / name)
    copy = Verified(tmp_path, stylized.store)
    for file in copy.output.glob("runs/*/config.json"):
        file.write_text(copy.config().model_dump_json())
    return copy


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `artbank verify --json WORDS`; gives the exit code and what it told."""

    def call(*words: str | Path) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["artbank", "verify", *map(str, words), "--json"])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), json.loads(capsys.readouterr().out)

    return call


def found(told: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [row for row in (*told["problems"], *told["notes"]) if row["kind"] == kind]


def names(told: dict[str, Any], kind: str) -> list[str]:
    return [row["file_name"] for row in found(told, kind)]


def assert_alike(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    """Check that pictures are equal, but for the rounding that comes of another batch, and is seen through JPEG."""
    assert found.keys() == expected.keys()
    for name in found:
        one, other = (np.asarray(Image.open(io.BytesIO(files[name])), np.int16) for files in (found, expected))
        assert np.abs(one - other).max() <= 8, name


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


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


@pytest.mark.parametrize("name", ["config.json", "summary.json"])
def test_a_run_is_known_by_its_config_or_else_by_its_summary(archive: Verified, verify: Any, name: str) -> None:
    (run_folder,) = (archive.output / "runs").iterdir()
    summary = json.loads((run_folder / "summary.json").read_text())
    summary["config"] = archive.config().model_dump(mode="json")
    (run_folder / "summary.json").write_text(json.dumps(summary))
    for file in {"config.json", "summary.json"} - {name}:
        (run_folder / file).unlink()
    flip_a_bit(archive.output / "novak" / KEYS[0])
    assert verify(archive.output, "--repair", "--trust-output")[0] == 0
    assert verify(archive.output)[0] == 0


def test_without_any_config_a_parameter_file_tells_how_to_draw(archive: Verified, verify: Any, tmp_path: Path) -> None:
    whole = archive.files()
    shutil.rmtree(archive.output / "runs")
    flip_a_bit(archive.output / "novak" / KEYS[0])
    code, told = verify(archive.output, "--repair")
    assert (code, told["repaired"]["left"][0]) == (
        1,
        "style novak: its runs left no config; pass one with --parameters",
    )
    file = tmp_path / "parameters.yaml"
    file.write_text(yaml.safe_dump({"config": archive.config("novak").model_dump(mode="json")}))
    assert verify(archive.output, "--repair", "--parameters", file)[0] == 0
    assert_alike(archive.files(), whole)


def rewrite_configs(output: Path, **values: Any) -> None:
    """Change what the runs of an output say about themselves, as whoever can write there may."""
    for file in output.glob("runs/*/config.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_nothing_is_read_or_run_where_only_the_output_says(
    archive: Verified, verify: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = archive.files()
    with closing(socket.create_server(("127.0.0.1", 0))) as scheduler:
        scheduler.setblocking(False)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{scheduler.getsockname()[1]}")
        runner = f"tcp://127.0.0.1:{scheduler.getsockname()[1]}"
        hostile = {"runner": runner, "base_model": "s3://theirs/model", "scorer": "s3://theirs/clip"}
        rewrite_configs(archive.output, **hostile, store_uri="s3://theirs/store", archive_uri="s3://theirs/photos")
        flip_a_bit(archive.output / "novak" / KEYS[0])
        before = listing(archive.output)
        assert verify(archive.output)[0] == 1
        monkeypatch.setattr(sys, "argv", ["artbank", "verify", str(archive.output), "--repair"])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr().err.splitlines()[-1]
        assert end.value.code == 2 and told.startswith("artbank: expected you to name the places, found them only in")
        named = (
            "photos s3://theirs/photos, banks s3://theirs/store, base model s3://theirs/model, scorer s3://theirs/clip"
        )
        assert f"{named}; name yours with --photos, --store, --base-model, --scorer, or accept these with" in told
        assert listing(archive.output) == before

        places = ("--photos", archive.photos, "--store", archive.store, "--base-model", "mini", "--scorer", "auto")
        code, repaired = verify(archive.output, "--repair", *places)
        assert (code, repaired["repaired"]["left"]) == (0, [])
        with pytest.raises(BlockingIOError):  # nothing ever connected to what the output named
            scheduler.accept()
    assert_alike(archive.files(), whole)


def test_what_the_output_names_is_shown_when_it_is_trusted_but_its_runner_is_not(
    archive: Verified, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flip_a_bit(archive.output / "novak" / KEYS[0])
    with closing(socket.create_server(("127.0.0.1", 0))) as scheduler:
        scheduler.setblocking(False)
        runner = f"tcp://127.0.0.1:{scheduler.getsockname()[1]}"
        rewrite_configs(archive.output, runner=runner, max_megabytes=1e-6, num_workers=900, device="cuda:7")
        monkeypatch.setattr(sys, "argv", ["artbank", "verify", str(archive.output), "--repair", "--trust-output"])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        with pytest.raises(BlockingIOError):
            scheduler.accept()
    assert end.value.code in (0, None), printed
    lines = printed.err.splitlines()
    assert f"named by the output: photos {archive.photos}" in lines
    assert f"named by the output: banks {archive.store}" in lines
    assert f"not used: runner {runner} of the output; --runner names one" in lines


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
