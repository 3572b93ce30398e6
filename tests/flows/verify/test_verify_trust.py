"""`artbank verify` draws again by what a run says of itself, but trusts it only where it is told to."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from artbank.catalog.catalog import Catalog
from artbank.store.objects import Store
from artbank_cli.main import main
from tests.support.commands import call
from tests.support.rows import bank_record, register
from tests.support.small_inputs import listing
from tests.support.verified_output import KEYS, Verified, assert_alike, flip_a_bit


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
    """Change the recorded configs of an output's runs, as anyone who can write to the output could."""
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


@pytest.mark.parametrize(
    ("photos", "store", "message"),
    [
        ("others", "banks", r"6 of the 6 photos of the last run are missing from archive .*others, which lists 1 now"),
        ("nowhere", "banks", "expected photos in .*nowhere, found nothing there"),
        ("photos", "photos", "store .*photos lies in the archive"),
        ("photos", "others", "expected the store of a training in .*others, found no catalog there"),
        ("photos", "nowhere", "expected the store of a training in .*nowhere, found nothing there"),
    ],
)
def test_a_repair_in_a_wrong_place_changes_nothing(archive: Verified, photos: str, store: str, message: str) -> None:
    (archive.root / "others").mkdir()
    (archive.root / "others" / "cat.jpg").write_bytes((archive.photos / KEYS[0]).read_bytes())
    places = {name: archive.root / name for name in ("others", "nowhere", "photos")} | {"banks": Path(archive.store)}
    flip_a_bit(archive.output / "novak" / KEYS[0])
    (archive.output / "novak" / KEYS[1]).unlink()
    before = listing(archive.output)
    ended = call("verify", archive.output, "--repair", "--photos", places[photos], "--store", places[store])
    assert (ended.code, listing(archive.output)) == (2, before), ended
    assert re.match(f"artbank: {message}", ended.err.splitlines()[-1]), ended.err


def test_a_picture_whose_run_failed_is_said_to_be_so(archive: Verified) -> None:
    register(Catalog(Store.open(str(archive.root / "store"))), bank_record())
    (archive.output / "novak" / KEYS[0]).unlink()
    ended = call("verify", archive.output, "--repair", "--photos", archive.photos, "--store", archive.root / "store")
    lines = ended.out.splitlines()
    assert (ended.code, lines[-3]) == (1, "repaired: 1 picture had to be drawn again; problems left: 2")
    assert lines[-2].startswith("  novak: no bank novak in")
    assert lines[-1] == f"  {KEYS[0]} in novak: the run that should draw it failed"
