"""Figures of a GPU: shares of its peak, its idle time, eight banks in one job.

On CPU only the peaks are measured.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import numpy as np
import torch

from artbank.scoring.clip import load_scorer
from artbank.scoring.scores import score
from bench import hardware
from bench.peers import ours
from bench.peers.kit import Kit
from bench.rounds import Table, measure

logger = logging.getLogger(__name__)

NUM_BANKS, NUM_STEPS, BANK_BATCH = 8, 1000, 4
_WINDOW = 10  # steps that are measured; the thousand are extrapolated from them


def measure_peaks(kit: Kit) -> dict[str, float]:
    """Measure the machine's peaks and, with random weights, the UNet's FLOPs by torch's own counter."""
    peaks = hardware.measure_peaks(kit.device)
    figures = {"matmul peak, TFLOP/s": peaks.matmul / 1e12, "copy, GB/s": peaks.copy / 1e9}
    if kit.source != "mini":
        figures["UNet forward by torch's counter, GFLOP"] = hardware.count_unet_flops(kit.parts(kit.bf16)) / 1e9
    return figures


def measure_figures(
    kit: Kit, suites: Mapping[str, Table], figures: Mapping[str, float], end: float
) -> dict[str, float]:
    """Return the shares of the peak, and the other figures that fit before `end` (monotonic time)."""
    if kit.device.type != "cuda":
        return {}
    peak = figures["matmul peak, TFLOP/s"] * 1e12
    found = {}
    pictures = suites.get("pictures")
    training = suites.get("training")
    if pictures and "ours-exact" in pictures.rows and (seconds := pictures["ours-exact"].gpu_seconds):
        found["exact peak share"] = hardware.stylizing_flops(pictures["ours-exact"].unet) / seconds / peak
        found["scoring share"] = scoring_seconds(kit) / pictures["ours-exact"].seconds
    if training and "ours-16" in training.rows:
        found["training peak share"] = hardware.training_flops() / training["ours-16"].seconds / peak
    for work in (eight_banks, idle_share):
        if time.monotonic() < end:
            found |= work(kit, peak)
    return found


def eight_banks(kit: Kit, peak: float) -> dict[str, float]:
    """Return the seconds of eight banks of a thousand steps each, extrapolated from a few steps."""
    contender = ours.joint_training(kit, banks=NUM_BANKS, batch=BANK_BATCH, steps=_WINDOW, compiled=True)
    measure(contender, kit.device)
    seconds = measure(contender, kit.device)[0].seconds
    return {
        "eight banks": seconds * NUM_BANKS * BANK_BATCH * NUM_STEPS,
        "training peak share": hardware.training_flops() / seconds / peak,
    }


def idle_share(kit: Kit, peak: float) -> dict[str, float]:
    """Return the share of a run from files to files in which the GPU idles, after a warm-up."""
    run = ours.Run(kit, "idle", ours.preset("balanced"), batch=16, count=64)
    run.work()
    return {"idle share": hardware.idle_share(run.work)}


def scoring_seconds(kit: Kit) -> float:
    """Return the seconds that scoring one picture takes."""
    scorer = load_scorer(ours.run_config(kit))
    pictures = [np.asarray(picture) for picture in kit.pictures]
    seconds = hardware.best_seconds(lambda: score(scorer, kit.reference, pictures, pictures), kit.device, repeats=3)
    torch.cuda.empty_cache()
    return seconds / len(pictures)
