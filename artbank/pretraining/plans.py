"""How large a pretraining of the miniature base model is: the plans of `pretrain`."""

from __future__ import annotations

from dataclasses import dataclass

from artbank.pretraining.loop import Schedule


@dataclass(frozen=True)
class Plan:
    """Size of a pretraining run: pictures, and length and batch of each stage.

    Attributes:
        vision_share: Where the vision tower ends between its weights before and after the stage `vision`, 0..1.
    """

    num_scenes: int
    vae: Schedule
    clip: Schedule
    vision: Schedule
    judge: Schedule
    unet: Schedule
    refine: Schedule
    control: Schedule
    vision_share: float = 1.0


_NO_STEPS = Schedule(steps=0, batch_size=1, learning_rate=1e-3)

PLANS: dict[str, Plan] = {
    "cpu": Plan(
        num_scenes=4000,
        vae=Schedule(steps=2400, batch_size=16, learning_rate=2e-3),
        clip=Schedule(steps=900, batch_size=96, learning_rate=1e-3, weight_decay=0.1),
        vision=Schedule(steps=1200, batch_size=96, learning_rate=6e-4, weight_decay=0.1),
        judge=Schedule(steps=2000, batch_size=48, learning_rate=2e-3),
        unet=Schedule(steps=5000, batch_size=16, learning_rate=1e-3, warmup=200),
        refine=Schedule(steps=8000, batch_size=32, learning_rate=1e-3, checkpoint_every=250),
        control=Schedule(steps=6000, batch_size=16, learning_rate=1e-3, checkpoint_every=200),
    ),
    "gpu": Plan(
        num_scenes=12000,
        vae=Schedule(steps=20000, batch_size=64, learning_rate=1e-3, checkpoint_every=2000),
        clip=Schedule(steps=6000, batch_size=512, learning_rate=1e-3, weight_decay=0.1, checkpoint_every=2000),
        vision=Schedule(steps=2000, batch_size=512, learning_rate=5e-4, weight_decay=0.1, checkpoint_every=2000),
        judge=Schedule(steps=4000, batch_size=128, learning_rate=2e-3, checkpoint_every=2000),
        unet=Schedule(steps=40000, batch_size=256, learning_rate=1e-3, checkpoint_every=2000),
        refine=Schedule(steps=4000, batch_size=256, learning_rate=5e-4, checkpoint_every=2000),
        control=Schedule(steps=6000, batch_size=128, learning_rate=1e-3, checkpoint_every=2000),
    ),
    "further": Plan(
        num_scenes=2400,
        vae=_NO_STEPS,
        clip=_NO_STEPS,  # so that captions mean to the UNet what they meant
        vision=Schedule(steps=500, batch_size=96, learning_rate=6e-4, weight_decay=0.1, checkpoint_every=50),
        judge=Schedule(steps=2000, batch_size=48, learning_rate=2e-3, checkpoint_every=100),
        unet=Schedule(steps=1600, batch_size=32, learning_rate=1e-3, checkpoint_every=50),
        refine=Schedule(steps=4000, batch_size=32, learning_rate=1e-3, checkpoint_every=50),
        control=Schedule(steps=6000, batch_size=16, learning_rate=1e-3, checkpoint_every=50),
        vision_share=0.4,  # more than half of what is won in manners stays, and few captions are lost
    ),
    "control": Plan(  # the ControlNet alone, for finished weights
        num_scenes=1050,
        vae=_NO_STEPS,
        clip=_NO_STEPS,
        vision=_NO_STEPS,
        judge=_NO_STEPS,
        unet=_NO_STEPS,
        refine=_NO_STEPS,
        control=Schedule(steps=4000, batch_size=16, learning_rate=1e-3, checkpoint_every=100),
    ),
}
