"""Runs: what needs no Prefect starts no server, and a local run makes the same pictures without it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from artbank.store.backends.local import LocalBackend
from artbank.store.objects import Store
from artbank.store.tensor_files import read_header
from artbank_cli import runs
from tests.support.commands import call, complaint
from tests.support.interrupted_runs import heed_interrupts
from tests.support.small_inputs import add_collection, draw_photo
from tests.support.waiting import wait_for

TINY = [
    *("--max-steps", "3", "--batch-size", "1", "--num-crops", "1", "--resolution-px", "32"),
    *("--num-tokens", "2", "--validate-every", "2", "--num-samples", "1", "--num-milestones", "0"),
]
FAST = ["--strength", "0.5", "--steps", "4", "--resolution-px", "32", "--guidance", "1"]
WITHOUT = """
import sys
sys.modules["prefect"] = None  # an import of it fails
from artbank_cli.main import main
sys.argv = ["artbank", *sys.argv[1:]]
try:
    main()
finally:
    print("loads torch" if "torch" in sys.modules else "loads no torch", file=sys.stderr)
"""


def call_without_prefect(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own in which Prefect cannot be imported."""
    return subprocess.run([sys.executable, "-c", WITHOUT, *map(str, words)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A gallery, photos, and a store with one bank that a local run trained; not to be changed."""
    root = tmp_path_factory.mktemp("local")
    add_collection(Store.open(str(root / "gallery")), "novak")
    Store.open(str(root / "photos")).write_many({"a.jpg": draw_photo(1), "b.png": draw_photo(2, ".png")})
    done = call_without_prefect("train", root / "gallery", "--store", root / "store", "--local", *TINY)
    assert done.returncode == 0 and done.stdout.startswith("novak@1 trained in "), done.stderr
    assert done.stdout.endswith(f"next: artbank stylize PHOTOS OUTPUT --store {root}/store --style novak --local\n")
    (root / "log").write_text(done.stderr)
    yield root


def test_every_line_of_a_log_has_its_time_and_no_step_follows_the_end(local: Path) -> None:
    *lines, _ = (local / "log").read_text().splitlines()  # the last one is of the test
    form = re.compile(r"[\d-]{10} [\d:.]{12} \| (INFO   |WARNING) \| artbank[\w.]* - (.*)")
    found = [form.fullmatch(line) for line in lines]
    assert all(found), lines
    told = [match[2] for match in found if match]
    registered = next(place for place, text in enumerate(told) if text.startswith("registered novak@1"))
    assert "writing the banks' pages" in told[registered:]
    assert [text for text in told[registered:] if text.startswith("step ")] == []
    assert any(text.startswith("step ") for text in told)


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is configured, and starting one is an error."""

    def refuse() -> None:
        raise AssertionError("a server was started")

    monkeypatch.setattr(runs, "start_server", refuse)
    monkeypatch.setattr(runs, "needs_private_server", lambda: True)


@pytest.mark.faults  # three runs
def test_a_local_run_draws_the_same_pictures_as_one_through_prefect(
    local: Path, prefect_server: str, tmp_path: Path
) -> None:
    asked = ("--store", local / "store", "--style", "novak", "--shard-size", "1", *FAST)
    done = call_without_prefect("stylize", local / "photos", tmp_path / "here", *asked, "--local")
    assert done.returncode == 0 and done.stdout.startswith("2 pictures done, 0 failed"), done.stderr
    ended = call("stylize", local / "photos", tmp_path / "there", *asked)
    assert ended.code == 0
    drawn = {name: (tmp_path / "here/novak" / name).read_bytes() for name in ("a.jpg", "b.png")}
    assert drawn == {name: (tmp_path / "there/novak" / name).read_bytes() for name in drawn}
    assert call("verify", tmp_path / "here").out.startswith("2 pictures checked: no problems")


def test_dry_runs_load_neither_prefect_nor_torch(local: Path, tmp_path: Path) -> None:
    trained = call_without_prefect("train", local / "gallery", "--store", local / "store", "--dry-run", *TINY)
    assert (trained.returncode, trained.stdout) == (0, "novak is up to date\n"), trained.stderr
    asked = ("--store", local / "store", "--style", "novak", "--dry-run")
    stylized = call_without_prefect("stylize", local / "photos", tmp_path / "output", *asked)
    assert stylized.returncode == 0 and "photos: 2, to stylize: 2" in stylized.stdout, stylized.stderr
    assert all(done.stderr.splitlines()[-1] == "loads no torch" for done in (trained, stylized))
    assert not (tmp_path / "output").exists()


def test_nothing_to_do_starts_no_server(local: Path, no_server: None, tmp_path: Path) -> None:
    trained = call("train", local / "gallery", "--store", local / "store", *TINY)
    assert trained.code == 0 and trained.out.startswith("novak is up to date\n")
    words = ("stylize", local / "photos", tmp_path / "output", "--store", local / "store", "--style", "novak", *FAST)
    assert call(*words, "--local").code == 0
    stylized = call(*words)
    assert stylized.code == 0 and "this run worked on 0 photos" in stylized.out


def test_a_run_that_would_start_a_server_reads_photos_and_artworks_once_before_it_works(
    local: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(runs, "needs_private_server", lambda: True)  # as without PREFECT_API_URL
    read: Counter[str] = Counter()
    hash_many = LocalBackend.hash_many

    def note(self: LocalBackend, keys: Sequence[str]) -> dict[str, Any]:
        read.update(keys)
        return hash_many(self, keys)

    monkeypatch.setattr(LocalBackend, "hash_many", note)
    asked = ("stylize", local / "photos", tmp_path / "output", "--store", local / "store", "--style", "novak", *FAST)
    for num_new in (2, 0):
        read.clear()
        ended = call(*asked, "--checksum")
        assert ended.code == 0 and f"this run worked on {num_new} photos" in ended.out
        assert {name: read[name] for name in ("a.jpg", "b.png")} == {"a.jpg": 1, "b.png": 1}
    for text in ("novak@1 trained in ", "novak is up to date"):
        read.clear()
        ended = call("train", local / "gallery", "--store", tmp_path / "store", *TINY)
        assert ended.code == 0 and ended.out.startswith(text)
        artworks = [name for name in read if name.startswith("novak/")]
        assert len(artworks) == 4 and {read[name] for name in artworks} == {1}


@pytest.mark.parametrize(
    ("photos", "style", "message"),
    [("photos", "nobody", "no bank nobody"), ("none", "novak", "expected a folder of photos|nothing|not there")],
)
def test_what_is_not_there_ends_a_run_in_one_line_before_a_server_starts(
    local: Path, no_server: None, tmp_path: Path, photos: str, style: str, message: str
) -> None:
    ended = call("stylize", local / photos, tmp_path / "output", "--store", local / "store", "--style", style)
    assert ended.code in (1, 2)
    assert any(text in complaint(ended) for text in message.split("|")), ended.err


@pytest.mark.parametrize("where", [(), ("--local",)])
def test_a_device_that_is_not_there_ends_a_run_before_it_writes_or_starts_anything(
    local: Path, no_server: None, tmp_path: Path, where: tuple[str, ...]
) -> None:
    absent = ("--device", "cuda:4096", *where)
    trained = call("train", local / "gallery", "--store", tmp_path / "store", *TINY, *absent)
    asked = ("stylize", local / "photos", tmp_path / "output", "--store", local / "store", "--style", "novak")
    stylized = call(*asked, *absent)
    for ended in (trained, stylized):
        assert ended.code == 2
        assert complaint(ended).startswith("artbank: device cuda:4096 is not available on this machine; pass device=")
    assert not (tmp_path / "store").exists() and not (tmp_path / "output").exists()
    assert call(*asked, "--dry-run", *absent).code == 0  # a forecast may be for another machine


@pytest.mark.parametrize("where", [(), ("--local",)])
def test_a_collection_that_lost_artworks_keeps_no_other_from_its_bank(
    local: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: tuple[str, ...]
) -> None:
    monkeypatch.setattr(runs, "needs_private_server", lambda: True)  # as without PREFECT_API_URL
    gallery = Path(shutil.copytree(local / "gallery", tmp_path / "gallery"))
    for number in (1, 2):
        (gallery / f"novak/{number}.png").unlink()
    add_collection(Store.open(str(gallery)), "ferrante")
    words = ("train", gallery, "--store", shutil.copytree(local / "store", tmp_path / "store"), *TINY, *where)
    reason = "2 of the 4 artworks of novak@1 are missing"

    planned = call(*words, "--dry-run")
    assert planned.code == 1 and planned.out.startswith("ferrante: 4 artworks, to train\n")
    assert f"artbank: 1 of 2 collections failed: novak (CollectionError: {reason}" in planned.err.splitlines()[-1]
    forecast = json.loads(call(*words, "--dry-run", "--json").out)
    assert forecast["collections"] == [["ferrante", 4]] and reason in forecast["refused"]["novak"]

    ended = call(*words)
    assert ended.code == 1 and ended.out.startswith("ferrante@1 trained in ")
    assert f"artbank: 1 of 2 collections failed: novak (CollectionError: {reason}" in ended.err.splitlines()[-1]
    again = call(*words, "--json")
    facts = json.loads(again.out)
    assert again.code == 1 and (facts["trained"], facts["current"]) == ({}, ["ferrante"])
    assert list(facts["failed"]) == ["novak"] and reason in facts["failed"]["novak"]


@pytest.mark.parametrize("where", [(), ("--local",)])
def test_a_run_with_failed_shards_tells_what_it_has_done(
    local: Path, prefect_server: str, tmp_path: Path, where: tuple[str, ...]
) -> None:
    store = Path(shutil.copytree(local / "store", tmp_path / "store"))
    words = ("stylize", local / "photos", tmp_path / "output", "--store", store, "--style", "novak", *FAST, *where)
    assert call(*words, "--limit", "1").code == 0
    [bank] = store.glob("banks/novak/*/*/bank.safetensors")
    bank.write_bytes(b"damaged")
    ended = call(*words)
    assert ended.code == 1 and "artbank: 1 of 1 shards failed: " in ended.err.splitlines()[-1]
    assert ended.out.startswith("1 picture done, 0 failed, 0 files skipped\n")
    assert f"page: {tmp_path}/output/report/index.html\n" in ended.out


def test_a_local_run_has_no_other_runner(local: Path, tmp_path: Path) -> None:
    words = ("stylize", local / "photos", tmp_path, "--store", local / "store", "--style", "novak")
    ended = call(*words, "--local", "--runner", "dask")
    assert ended.code == 2 and "--local works in this process, but --runner names dask" in complaint(ended)


def test_an_error_of_a_run_is_told_once_off_a_terminal(local: Path, prefect_server: str, tmp_path: Path) -> None:
    add_collection(Store.open(str(tmp_path / "gallery")), "short", count=1)
    words = [sys.executable, "-m", "artbank_cli.main", "train", str(tmp_path / "gallery")]
    env = os.environ | {"PREFECT_API_URL": prefect_server}
    asked = [*words, "--store", str(tmp_path / "store"), *TINY]
    done = subprocess.run(asked, capture_output=True, text=True, env=env)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    *lines, told_last = done.stderr.splitlines()
    timed = [line for line in lines if " | INFO " in line]
    assert timed and all(re.match(r"\d{4}-\d\d-\d\d [\d:.]{12} \| INFO    \| ", line) for line in timed), timed
    assert told_last.startswith("artbank: ")
    told = [line for line in done.stderr.splitlines() if "collections failed" in line]
    assert len(told) == 1 and told[0].startswith("artbank: 1 of 1 collections failed: short (")


def test_ctrl_c_keeps_the_training_and_says_so_in_the_last_line(local: Path, tmp_path: Path) -> None:
    long = ("--max-steps", "100000", "--patience", "100000", "--checkpoint-every", "100000")
    words = ("train", local / "gallery", "--store", tmp_path / "store", "--local", *TINY, *long)
    command = [sys.executable, "-m", "artbank_cli.main", *map(str, words)]
    told = tmp_path / "stderr"
    with told.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, preexec_fn=heed_interrupts, start_new_session=True)
    try:
        wait_for(lambda: "step 4: validation loss" in told.read_text() or process.poll() is not None, 120)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
    lines = told.read_text().splitlines()
    stopped = re.fullmatch(
        r"artbank: interrupted: stopped at step (\d+), kept; run the same command again to go on", lines[-1]
    )
    assert stopped and not [line for line in lines if "Traceback" in line or "ERROR" in line]
    [checkpoint] = (tmp_path / "store/checkpoints/novak").glob("*.safetensors")
    assert read_header(checkpoint).metadata["step"] == stopped[1]
