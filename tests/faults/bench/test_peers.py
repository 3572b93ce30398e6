"""Each peer does what it is described to do, counted; and a peer that does not is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from artbank.stylization.style import Style
from artbank.stylization.stylizer import Stylizer
from bench.peers import diffusers_ti, kohya, ours, pipelines, released
from bench.peers.counting import CountError, Expected
from bench.peers.kit import Contender, Kit
from bench.peers.pipelines import Usage
from bench.rounds import measure

Make = Callable[[Kit], Contender]

CONTENDERS: dict[str, Make] = {
    "released training": lambda kit: released.training(kit, logs=False, steps=2),
    "released training with its log": lambda kit: released.training(kit, logs=True, steps=2),
    "diffusers training": lambda kit: diffusers_ti.training(kit, batch=2, steps=1),
    "kohya": lambda kit: kohya.training(kit, batch=2, steps=1),
    "our training": lambda kit: ours.training(kit, batch=8, steps=6, validates=True),
    "our training without validation": lambda kit: ours.training(kit, batch=2, steps=1, validates=False),
    "released stylizing": lambda kit: released.stylizing(kit, count=1, files=True),
    "one by one": lambda kit: pipelines.stylizing(kit, Usage("one")),
    "strong user": lambda kit: pipelines.stylizing(
        kit, Usage("strong", 2, 20, 7.5, "dpm++2m", loader="threads", num_batches=3)
    ),
    "folder": lambda kit: pipelines.stylizing(kit, Usage("folder", 1, 20, 7.0, "dpm++2m", loader="serial")),
    "our pictures": lambda kit: ours.stylizing(kit, "exact", ours.preset("exact"), batch=2, count=2),
    "our files": lambda kit: ours.archive_run(kit, "fast", ours.preset("fast"), batch=2, count=2),
}


@pytest.mark.parametrize("make", CONTENDERS.values(), ids=CONTENDERS.keys())
def test_a_contender_does_what_it_says(make: Make, kit: Kit) -> None:
    contender = make(kit)
    cost, done = measure(contender, kit.device)
    contender.close()
    assert done > 0 and cost.seconds > 0 and cost.wall > 0


def test_the_released_script_takes_71_evaluations_and_two_encodings(kit: Kit) -> None:
    expected = released.stylizing(kit, count=1, files=False).expected
    assert (expected.unet, expected.unet_batch, expected.vae_encode, expected.vae_decode) == (71, 2, 2, 1)


def test_the_released_script_draws_what_our_paper_preset_draws(kit: Kit) -> None:
    """Two programs by one description: with the same noise they agree but for rounding."""
    stylizer = Stylizer(ours.load(kit), [Style("bench", ((kit.bank, 1.0),))], ours.preset("paper"))
    [made] = stylizer.stylize([ours.prepare(stylizer, kit, 0)])
    theirs = np.asarray(released.Stylizing(kit).stylize(kit.pictures[0], kit.photos[0].name))
    assert made.rgb is not None and theirs.std() > 1
    assert np.abs(theirs.astype(int) - made.rgb.astype(int)).max() <= 2


def test_a_released_script_of_other_steps_is_told(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    contender = released.stylizing(kit, count=1, files=False)
    monkeypatch.setattr(released, "STEPS", 20)
    with pytest.raises(CountError, match="unet an image or sample: expected 71, counted 29"):
        measure(contender, kit.device)


def test_a_training_that_skips_the_vae_is_told(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    contender = diffusers_ti.training(kit, batch=2, steps=1)
    sides = torch.zeros(2, 4, 8, 8)
    monkeypatch.setattr(type(kit.parts(torch.float32)), "encode", lambda parts, images: sides)
    with pytest.raises(CountError, match="vae_encode an image or sample: expected 1, counted 0"):
        measure(contender, kit.device)


def test_a_training_of_too_few_parameters_is_told(kit: Kit) -> None:
    contender = released.training(kit, logs=False, steps=1)
    assert contender.optimizer is not None
    contender.optimizer.param_groups[0]["params"].pop()
    with pytest.raises(CountError, match="trained parameters"):
        measure(contender, kit.device)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"unet_batch": 1}, "batch of the UNet: expected 1, counted 4"),
        ({"dtype": torch.float16}, "dtype of the UNet"),
        ({"text": 1.0}, "text an image or sample: expected 1.0, counted 0"),
        ({"vae_decode": 2.0}, "vae_decode an image or sample"),
    ],
)
def test_each_count_can_fail(change: dict[str, object], told: str, kit: Kit) -> None:
    contender = ours.stylizing(kit, "fast", ours.preset("fast"), batch=2, count=2)
    contender.expected = Expected(**{**vars(contender.expected), **change})
    with pytest.raises(CountError, match=told):
        measure(contender, kit.device)


def test_diffusers_example_restores_every_row_but_the_placeholders(kit: Kit) -> None:
    loop = diffusers_ti.Example(kit, batch=2, steps=1)
    before = loop.placeholder.table.detach().clone()
    loop.work()
    moved = (loop.placeholder.table.detach() != before).any(1).nonzero().flatten().tolist()
    assert moved == [loop.placeholder.id]


def test_the_image_log_is_two_samplings_of_200_steps_for_200_steps_of_training(kit: Kit) -> None:
    contender = released.training(kit, logs=True, steps=1)
    plain = released.training(kit, logs=False, steps=1)
    assert (contender.expected.unet - plain.expected.unet) * 200 == 600
    assert replace(contender.expected, unet=1, unet_batch=1, text=1) == plain.expected
