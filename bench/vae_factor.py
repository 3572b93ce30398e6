"""Compare a factor-4 and a factor-8 autoencoder trained for equal process CPU time on the same corpus.

    python bench/vae_factor.py --work build/mini --photos ../shared/data/photos --seconds 240

Cost: twice `--seconds` of CPU time, over all cores. Prints the PSNR of both on real photos and on drawn pictures.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from artbank.pretraining.corpus import Corpus
from artbank.pretraining.measures import mean_psnr, reconstruct
from artbank.pretraining.networks import build_vae
from artbank.pretraining.stages import VaeStage
from artbank.pretraining.trials import draw_held_out, held_out_seeds, read_photos

VARIANTS = {"factor 4": (24, 48, 96), "factor 8": (24, 48, 96, 128)}


def train_for(channels: tuple[int, ...], corpus: Corpus, cpu_seconds: float) -> tuple[AutoencoderKL, int]:
    """Train an autoencoder for `cpu_seconds` of process CPU time; returns it and its number of steps."""
    torch.manual_seed(0)
    vae = build_vae(channels).to(torch.bfloat16, memory_format=torch.channels_last)
    masters = [p.detach().float().clone().requires_grad_() for p in vae.parameters()]
    optimizer = torch.optim.AdamW(masters, lr=2e-3, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    stage = VaeStage(vae, corpus, 16)
    start = time.process_time()
    step = 0
    while (done := (time.process_time() - start) / cpu_seconds) < 1:
        optimizer.param_groups[0]["lr"] = 2e-3 * min((step + 1) / 100, 1 - done)
        stage.loss(torch.Generator().manual_seed(step), done).backward()
        for master, parameter in zip(masters, vae.parameters(), strict=True):
            master.grad = parameter.grad.float()
            parameter.grad = None
        torch.nn.utils.clip_grad_norm_(masters, 1.0)
        optimizer.step()
        with torch.no_grad():
            for master, parameter in zip(masters, vae.parameters(), strict=True):
                parameter.copy_(master)
        step += 1
    return vae.float().eval(), step


def main() -> None:
    """Train both variants and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/mini"))
    parser.add_argument("--photos", type=Path, default=Path("../shared/data/photos"))
    parser.add_argument("--seconds", type=float, default=240)
    options = parser.parse_args()
    corpus = Corpus.load(options.work / "corpus")
    photos = read_photos(options.photos)
    drawn = np.stack([e.image for e in draw_held_out(held_out_seeds("reconstruction", 16), num_painters=3)])
    for name, channels in VARIANTS.items():
        vae, steps = train_for(channels, corpus, options.seconds)
        millions = sum(p.numel() for p in vae.parameters()) / 1e6
        on_photos, on_drawn = (mean_psnr(pictures, reconstruct(vae, pictures)) for pictures in (photos, drawn))
        print(
            f"{name}: {millions:.2f} M parameters, {steps} steps in {options.seconds:.0f} CPU seconds, "
            f"PSNR {on_photos:.2f} dB on photos, {on_drawn:.2f} dB on drawn pictures",
            flush=True,
        )


if __name__ == "__main__":
    main()
