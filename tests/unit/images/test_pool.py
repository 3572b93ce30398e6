"""Decoders are processes of their own: what they die of, or never end with, is one photo's failure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import Process, get_context
from multiprocessing.synchronize import SemLock
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from artbank.errors import ConfigError, ImageError
from artbank.images.codec import Picture, decode, encode
from artbank.images.codec_jobs import DecodeOptions, EncodeJob, decode_photo, encode_picture
from artbank.images.pool import CodecPool
from artbank.images.similarity import sanity_flags, ssim_luma
from tests.support.small_inputs import draw_photo
from tests.support.waiting import wait_for

READING = DecodeOptions(max_pixels=10**6, alpha="keep", size="working", short_px=32, multiple_px=8, seconds=60)


def die(how: int) -> None:
    os.kill(os.getpid(), how)


def hang() -> None:
    signal.pause()


def await_file(path: str) -> None:
    wait_for(Path(path).exists)


def die_once(folder: str) -> str:
    mark = Path(folder) / "died"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    return "done"


@pytest.fixture(scope="module")
def codecs() -> Iterator[CodecPool]:
    found = CodecPool(1)
    yield found
    found.close()


def test_a_photo_comes_back_at_its_working_size_as_it_would_in_this_process(codecs: CodecPool) -> None:
    data = draw_photo(0)
    found, own = codecs.decode("a.jpg", data, READING)(), decode_photo("a.jpg", data, READING)
    assert (found.photo.width_px, found.photo.height_px, found.alpha) == (96, 64, None)
    assert np.array_equal(found.photo.padded, own.photo.padded) and found.photo.frame == own.photo.frame
    assert found.photo.working.shape == (32, 48, 3)


def test_with_a_largest_aspect_of_1_every_photo_has_the_area_of_a_square() -> None:
    reading = replace(READING, max_aspect=1.0)
    wide = encode(Picture(np.full((50, 200, 3), 90, np.uint8), None), ".png", quality=92)
    photo = decode_photo("a.png", wide, reading).photo
    assert (photo.frame.size_px, photo.bucket) == ((64, 16), (64, 16))
    assert decode_photo("a.png", wide, READING).photo.frame.size_px == (111, 28)  # as far as an aspect of 3 allows


@pytest.mark.parametrize(("size", "shape"), [("working", (32, 64)), ("original", (50, 100))])
def test_transparency_has_the_size_of_the_output(size: Any, shape: tuple[int, int]) -> None:
    rgb, alpha = np.full((50, 100, 3), 90, np.uint8), np.full((50, 100), 255, np.uint8)
    alpha[:, :50] = 0
    data = encode(Picture(rgb, alpha), ".png", quality=92)
    reading = DecodeOptions(max_pixels=10**6, alpha="keep", size=size, short_px=32, multiple_px=8, seconds=60)
    found = decode_photo("a.png", data, reading).alpha
    assert found is not None and found.shape == shape
    assert found[0, 0] == 0 and found[-1, -1] == 255


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_file_has_the_size_that_was_asked_for(codecs: CodecPool, suffix: str) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    alpha = np.full((20, 30), 255, np.uint8)
    making = EncodeJob(rgb, rgb, alpha, (71, 50), suffix, 92)
    made = codecs.encode(making)()
    assert made == encode_picture(making)
    assert decode(made.data, max_pixels=10**6).rgb.shape == (50, 71, 3)


def test_a_picture_is_looked_at_where_it_is_encoded(codecs: CodecPool) -> None:
    photo = decode(draw_photo(0), max_pixels=10**6).rgb
    dark = np.zeros_like(photo)
    for rgb, flags in ((photo, ()), (255 - photo, ()), (dark, ("black",))):
        made = codecs.encode(EncodeJob(rgb, photo, None, (96, 64), ".jpg", 92))()
        assert (made.ssim, made.flags) == (ssim_luma(rgb, photo), flags) == (made.ssim, sanity_flags(rgb))


def test_a_photo_that_cannot_be_decoded_says_so_across_processes(codecs: CodecPool) -> None:
    with pytest.raises(ImageError, match="truncated") as caught:
        codecs.decode("a.jpg", draw_photo(0)[:400], READING)()
    assert (caught.value.failure, caught.value.reason) == ("unreadable", str(caught.value))


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGKILL])
def test_a_photo_that_crashes_its_decoder_is_one_failure_and_others_go_on(codecs: CodecPool, how: int) -> None:
    waits = [
        codecs.decode("a.jpg", draw_photo(0), READING),
        codecs._start(die, (how,), 60),
        codecs.decode("b.jpg", draw_photo(1), READING),
    ]
    assert waits[0]().photo.key == "a.jpg"
    with pytest.raises(ImageError, match="crashed, twice") as caught:
        waits[1]()
    assert caught.value.failure == "crashed"
    assert waits[2]().photo.key == "b.jpg"


def test_a_decoder_that_was_killed_once_gets_its_photo_again(codecs: CodecPool, tmp_path: Path) -> None:
    assert codecs._start(die_once, (str(tmp_path),), 60)() == "done"


@pytest.mark.faults
def test_a_decoder_that_dies_with_nothing_to_do_is_replaced() -> None:
    codecs, own = CodecPool(1), psutil.Process()
    before = {child.pid for child in own.children()}
    codecs.decode("a.jpg", draw_photo(0), READING)()
    [idle] = [child for child in own.children() if child.pid not in before and "spawn_main" in str(child.cmdline())]
    idle.kill()
    for _ in range(3):
        time.sleep(0.3)
        assert codecs.decode("b.jpg", draw_photo(1), READING)().photo.key == "b.jpg"
    codecs.close()


def test_a_photo_that_takes_too_long_is_given_up_and_others_go_on(codecs: CodecPool) -> None:
    slow, next_one = codecs._start(hang, (), 0.5), codecs.decode("a.jpg", draw_photo(0), READING)
    with pytest.raises(ImageError, match=r"not done after 0.5 s") as caught:
        slow()
    assert caught.value.failure == "timed_out"
    assert next_one().photo.key == "a.jpg"


def _refuse(answer: str) -> None:
    try:
        CodecPool(1)
    except ConfigError as error:
        Path(answer).write_text(str(error))


def test_a_process_that_may_have_no_children_is_told_how_to_be_started(tmp_path: Path) -> None:
    child = Process(target=_refuse, args=(str(tmp_path / "answer"),), daemon=True)
    child.start()
    child.join()
    assert "DASK_DISTRIBUTED__WORKER__DAEMON=False" in (tmp_path / "answer").read_text()


def _open_one(data: bytes) -> None:
    from artbank.images.pool import open_codec_pool

    open_codec_pool().decode("a.jpg", data, READING)()


@pytest.mark.faults
def test_a_process_that_was_started_by_another_ends_with_its_decoders() -> None:
    child = get_context("spawn").Process(target=_open_one, args=(draw_photo(0),))
    child.start()
    child.join(120)
    try:
        assert child.exitcode == 0
    finally:
        child.kill()


_OWNER = """
import sys, time
from artbank.images.pool import CodecPool
if __name__ == "__main__":
    codecs = CodecPool(2)
    codecs._start(time.sleep, (0,), 60)()
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.mark.faults
def test_decoders_do_not_outlive_a_process_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "owner.py"
    script.write_text(_OWNER)
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == b"ready\n"
        children = psutil.Process(owner.pid).children(recursive=True)
        assert len(children) >= 2
        owner.send_signal(signal.SIGKILL)
    assert psutil.wait_procs(children, timeout=60)[1] == []


def test_a_pool_that_is_closed_leaves_the_workers_of_others_alone(codecs: CodecPool, tmp_path: Path) -> None:
    waits = codecs._start(await_file, (str(tmp_path / "closed"),), 120)
    other = CodecPool(1)
    other.decode("a.jpg", draw_photo(0), READING)()
    before = {child.pid for child in psutil.Process().children()}
    other.close()
    (tmp_path / "closed").touch()
    waits()
    gone = before - {child.pid for child in psutil.Process().children()}
    assert len(gone) == 1


def _end_while_decoders_start() -> None:
    from artbank.images.pool import open_codec_pool

    remove = SemLock._cleanup
    SemLock._cleanup = lambda name: (remove(name), time.sleep(3))
    open_codec_pool().decode("a.jpg", b"", READING)
    while not psutil.Process().children():
        time.sleep(0.001)


@pytest.mark.faults
def test_a_process_that_ends_while_its_decoders_start_prints_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    child = get_context("spawn").Process(target=_end_while_decoders_start)
    child.start()
    child.join(120)
    try:
        assert child.exitcode == 0
        assert capfd.readouterr().err == ""
    finally:
        child.kill()


@pytest.mark.parametrize("number", [3, 96])
def test_the_processes_of_a_pool_follow_the_machine(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as clusters set it for their workers
    monkeypatch.setattr("artbank.runtime.cores.count_cores", lambda: number)
    assert CodecPool()._pool._pool_manager.worker_manager.workers_number == number
