"""Pretrain the miniature base model, stage by stage, from the corpus to the weights that ship.

    python -m artbank.pretraining.pretrain                  every unfinished stage, in order
    python -m artbank.pretraining.pretrain unet --minutes 9 one stage, for 9 minutes; run it again to continue

Each stage resumes from its newest checkpoint under the work folder. The defaults of the `cpu` plan made the shipped
weights.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPModel, CLIPTokenizer

from artbank.mini import WEIGHTS
from artbank.mini.drawing.painters import SAMPLED, TRAINED
from artbank.pretraining.control_stage import CONTROL_SIDES, ControlStage
from artbank.pretraining.corpus import Corpus, render
from artbank.pretraining.export import export_parts, forget_places
from artbank.pretraining.judge import Judge
from artbank.pretraining.latents import Latents, encode_pictures
from artbank.pretraining.loop import Schedule, train
from artbank.pretraining.networks import (
    build_clip,
    build_clip_processor,
    build_controlnet,
    build_unet,
    build_vae,
    load_text_encoder,
    train_tokenizer,
    use_fastest_attention,
)
from artbank.pretraining.plans import PLANS, Plan
from artbank.pretraining.stages import ClipStage, JudgeStage, VaeStage, VisionStage, normalize_latents
from artbank.pretraining.unet_stage import SIDES, UnetStage
from artbank.runtime.hashing import short_hash

logger = logging.getLogger(__name__)

_VECTORS = "{}-painters.safetensors"  # of a stage: what the UNet learned to follow; needed only to train it further


class Pretraining:
    """The stages of one run, sharing a work folder, a device and the corpus."""

    def __init__(
        self,
        work: Path,
        plan: Plan,
        device: torch.device,
        dtype: torch.dtype,
        *,
        minutes: float | None = None,
        start: Path | None = None,
    ):
        """Open a run.

        Args:
            work: Receives corpus, checkpoints and finished parts.
            plan: Size of the run.
            device: Device of the networks.
            dtype: Their compute precision, bfloat16 or float32; master weights are float32.
            minutes: Longest time a stage may take before it checkpoints and stops; None for no limit.
            start: Finished weights to learn on from, in diffusers' layout: their tokenizer and autoencoder are kept,
                their UNet and ControlNet, and by its plan their CLIP model, are trained further. None trains all from
                scratch.
        """
        self.work = work
        self.plan = plan
        self.device = device
        self.dtype = dtype
        self.seconds = None if minutes is None else 60 * minutes
        self.start = start
        self._corpus: Corpus | None = None

    @property
    def corpus(self) -> Corpus:
        """The rendered corpus, read once."""
        if self._corpus is None:
            self._corpus = Corpus.load(self.work / "corpus")
        return self._corpus

    def run_corpus(self) -> bool:
        """Render the pictures that are missing and learn the tokenizer from their captions."""
        render(self.work / "corpus", self.plan.num_scenes)
        if self.start is None:
            tokenizer = train_tokenizer(fact["caption"] for fact in self.corpus.facts)
        else:
            tokenizer = CLIPTokenizer.from_pretrained(self.start / "tokenizer")
        tokenizer.save_pretrained(self.work / "tokenizer")
        return True

    def run_vae(self) -> bool:
        """Train the autoencoder, then fix the scale of its latents."""
        if self.start is not None:
            self._read_start(AutoencoderKL, "vae").float().save_pretrained(self.work / "vae")
            return True
        vae = build_vae().to(self.device, self.dtype)  # channels-last is 1.1x slower here: GroupNorm over few channels
        stage = VaeStage(vae, self.corpus, self.plan.vae.batch_size)
        if not self._train(stage, self.plan.vae, "vae"):
            return False
        vae = vae.float().eval()
        normalize_latents(vae, self.corpus)
        vae.save_pretrained(self.work / "vae")
        return True

    def run_clip(self) -> bool:
        """Train both CLIP towers; the text tower becomes the text encoder."""
        tokenizer = CLIPTokenizer.from_pretrained(self.work / "tokenizer")
        clip = build_clip(tokenizer) if self.start is None else self._read_start(CLIPModel, "clip")
        clip = self._place(clip)
        if not self._train(ClipStage(clip, tokenizer, self.corpus, self.plan.clip.batch_size), self.plan.clip, "clip"):
            return False
        clip.float().eval().save_pretrained(self.work / "clip")
        build_clip_processor(tokenizer).save_pretrained(self.work / "clip")
        return True

    def run_vision(self) -> bool:
        """Train the vision tower further; the text tower stays as the UNet knows it.

        Source: of the mean of weights before and after, Wortsman et al., CVPR 2022, eq. 1.
        """
        tokenizer = CLIPTokenizer.from_pretrained(self.work / "tokenizer")
        clip = self._place(CLIPModel.from_pretrained(self.work / "clip"))
        for learned in (clip.text_model, clip.text_projection):
            learned.requires_grad_(False)
        stage = VisionStage(clip, tokenizer, self.corpus, self.plan.vision.batch_size)
        if not self._train(stage, self.plan.vision, "vision"):
            return False
        mixed = CLIPModel.from_pretrained(self.work / "clip").float().eval()
        for before, after in zip(mixed.parameters(), clip.parameters(), strict=True):
            before.data.lerp_(after.data.to(before.device, torch.float32), self.plan.vision_share)
        mixed.save_pretrained(self.work / "vision")
        return True

    def run_judge(self) -> bool:
        """Train the independent classifier."""
        painters = {fact["painter"] for fact in self.corpus.facts}
        known = ("", *TRAINED, *SAMPLED)
        judge = self._place(Judge(manners=tuple(manner for manner in known if manner in painters)))
        if not self._train(JudgeStage(judge, self.corpus, self.plan.judge.batch_size), self.plan.judge, "judge"):
            return False
        judge.float().save(self.work / "judge")
        return True

    def run_latents(self) -> bool:
        """Encode the pictures for the UNet."""
        vae = self._place(AutoencoderKL.from_pretrained(self.work / "vae")).eval()
        encode_pictures(self._latents_folder(), vae, self.corpus.images, self._sides)
        return True

    @property
    def _sides(self) -> tuple[int, ...]:
        """Sides of the pictures that the plan's stages learn from, px; a ControlNet alone needs few."""
        return SIDES if self.plan.unet.steps or self.plan.refine.steps else CONTROL_SIDES

    def _latents_folder(self) -> Path:
        """Return the folder of the latents, named by the autoencoder: those of another one are not taken for its."""
        weights = self.work / "vae/diffusion_pytorch_model.safetensors"
        return self.work / "latents" / short_hash(weights.read_bytes())

    def run_unet(self) -> bool:
        """Train the UNet: details first, then all sizes."""
        unet = build_unet() if self.start is None else self._read_start(UNet2DConditionModel, "unet")
        return self._train_unet(unet, self.plan.unet, "unet", all_sizes_from=0.4 if self.start is None else 0.0)

    def run_refine(self) -> bool:
        """Train the UNet further at all sizes: it learns objects long after light and manner."""
        unet = UNet2DConditionModel.from_pretrained(self.work / "unet")
        return self._train_unet(unet, self.plan.refine, "refine", all_sizes_from=0.0)

    def _train_unet(self, unet: UNet2DConditionModel, schedule: Schedule, name: str, *, all_sizes_from: float) -> bool:
        use_fastest_attention(unet)
        unet = self._place(unet)
        latents = Latents.load(self._latents_folder(), self._sides, len(self.corpus), self.device)
        tokenizer = CLIPTokenizer.from_pretrained(self.work / "tokenizer")
        text_encoder = self._place(load_text_encoder(self.work / "clip")).eval()
        stage = UnetStage(
            unet,
            text_encoder,
            tokenizer,
            self.corpus.facts,
            latents,
            schedule.batch_size,
            all_sizes_from=all_sizes_from,
        )
        learned = self.work / _VECTORS.format("unet")
        if learned.exists():  # the stage before
            stage.vectors.load_state_dict(load_file(learned))
        if not self._train(stage, schedule, name):
            return False
        unet.float().eval().save_pretrained(self.work / name)
        save_file(stage.vectors.float().state_dict(), self.work / _VECTORS.format(name))
        return True

    def run_control(self) -> bool:
        """Train the ControlNet of the finished UNet; its folder has the form that ships."""
        unet = UNet2DConditionModel.from_pretrained(self.work / "refine")
        if self.start is not None and (self.start / "controlnet").is_dir():
            controlnet = self._read_start(ControlNetModel, "controlnet").float()
        else:
            controlnet = build_controlnet(unet)
        for network in (unet, controlnet):
            use_fastest_attention(network)
            self._place(network)
        stage = ControlStage(
            controlnet,
            unet,
            self._place(load_text_encoder(self.work / "clip")).eval(),
            CLIPTokenizer.from_pretrained(self.work / "tokenizer"),
            self.corpus,
            Latents.load(self._latents_folder(), CONTROL_SIDES, len(self.corpus), self.device),
            self.plan.control.batch_size,
        )
        stage.vectors.load_state_dict(load_file(self.work / _VECTORS.format("refine")))
        if not self._train(stage, self.plan.control, "control"):
            return False
        controlnet.half().eval().save_pretrained(self.work / "control")
        forget_places(self.work / "control")
        return True

    def run_export(self, weights: Path = WEIGHTS) -> bool:
        """Write the finished parts as they ship."""
        export_parts(self.work, weights)
        return True

    def _read_start(self, kind: Any, part: str) -> Any:
        """Load a part of the weights to learn on from; they may be others', so a pickle is refused."""
        return kind.from_pretrained(self.start / part, use_safetensors=True)

    def _place(self, module: nn.Module) -> nn.Module:
        return module.to(self.device, self.dtype, memory_format=torch.channels_last)

    def _train(self, stage: VaeStage | ClipStage | JudgeStage | UnetStage, schedule: Schedule, name: str) -> bool:
        for module in stage.modules:
            module.train()
        folder = self.work / "checkpoints" / name
        return train(stage.modules, stage.loss, schedule, folder, stop_after_seconds=self.seconds)


STAGES: dict[str, Callable[[Pretraining], bool]] = {
    "corpus": Pretraining.run_corpus,
    "vae": Pretraining.run_vae,
    "clip": Pretraining.run_clip,
    "vision": Pretraining.run_vision,
    "judge": Pretraining.run_judge,
    "latents": Pretraining.run_latents,
    "unet": Pretraining.run_unet,
    "refine": Pretraining.run_refine,
    "control": Pretraining.run_control,
    "export": Pretraining.run_export,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 0 if the stages are complete, 3 if the time ran out first."""
    parser = argparse.ArgumentParser(
        prog="python -m artbank.pretraining.pretrain", description="Pretrain the mini base model."
    )
    parser.add_argument("stage", nargs="*", choices=[*STAGES, []], help="stages to run; all by default")
    parser.add_argument("--work", type=Path, default=Path("build/mini"), help="folder for corpus and checkpoints")
    parser.add_argument("--plan", choices=PLANS, help="size of the run; chosen by the device by default")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--dtype",
        choices=("bfloat16", "float32"),
        default="bfloat16",
        help="compute precision; a processor without bf16 instructions learns about 3 times faster in float32",
    )
    parser.add_argument(
        "--start", type=Path, help="finished weights to learn on from, for example with the plan `further`"
    )
    parser.add_argument("--minutes", type=float, help="longest time of a stage; run again to continue")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    plan = PLANS[options.plan or ("gpu" if options.device.startswith("cuda") else "cpu")]
    device = torch.device(options.device)
    dtype = getattr(torch, options.dtype)
    run = Pretraining(options.work, plan, device, dtype, minutes=options.minutes, start=options.start)
    for name in options.stage or STAGES:
        torch.manual_seed(0)  # a stage starts from the same weights whichever stages ran before it
        if not STAGES[name](run):
            logger.info("stage %s stopped before its end; run the same command again to continue", name)
            return 3
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
