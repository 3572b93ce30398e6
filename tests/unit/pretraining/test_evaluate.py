"""A reduced evaluation of the shipped weights holds loose versions of the figures; table and card keep shape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from artbank.mini.drawing.painters import TRAINED
from artbank.mini.drawing.scenes import SUBJECTS, draw_scene
from artbank.pretraining.corpus import HELD_OUT_SEEDS
from artbank.pretraining.evaluate import CARD, format_table, write_card
from artbank.pretraining.evaluation import REDUCED, Evaluation, Figure
from artbank.pretraining.measures import mean_psnr, mean_structure, recognize_painters
from artbank.pretraining.trials import draw_pairs, held_out_seeds, write_prompts


@pytest.fixture(scope="module")
def evaluation(weights: Path) -> Evaluation:
    return Evaluation(weights, replace(REDUCED, prompts=8), dtype=torch.float32)  # bf16 is slow on many processors


def test_the_autoencoder_reconstructs_rendered_pictures(evaluation: Evaluation) -> None:
    photographs, paintings = evaluation.measure_vae(None)
    assert photographs.value > 28
    assert paintings.value > 20


def test_clip_finds_captions_and_painters(evaluation: Evaluation) -> None:
    retrieval, _, _, recognition, held_out = evaluation.measure_clip()
    assert retrieval.value > 55
    assert recognition.value > 70
    assert held_out.value > 60


def test_the_judge_is_fit_to_judge(evaluation: Evaluation) -> None:
    subject, painter = evaluation.measure_judge()
    assert subject.value > 75
    assert painter.value > 85


@pytest.mark.faults
def test_generated_pictures_show_subject_and_manner(evaluation: Evaluation) -> None:
    subject, painter = evaluation.measure_text_to_image()
    assert subject.value > 40
    assert painter.value > 45


# The same weights draw by words above, and restyle photos in the tests of stylizing.
@pytest.mark.slow
def test_restyled_photos_show_the_manner_and_keep_their_structure(evaluation: Evaluation) -> None:
    painter, structure = evaluation.measure_image_to_image()
    assert painter.value > 35
    assert structure.value > 0.5


def test_psnr_and_structure_agree_with_their_formulas() -> None:
    photo = draw_scene(3).image
    noisy = np.clip(photo.astype(int) + np.random.default_rng(0).integers(-20, 21, photo.shape), 0, 255).astype(
        np.uint8
    )
    error = np.mean((photo.astype(float) - noisy) ** 2)
    assert mean_psnr(photo[None], noisy[None]) == pytest.approx(10 * np.log10(255**2 / error))
    assert mean_structure(photo[None], photo[None]) == pytest.approx(1)
    assert mean_structure(255 - photo[None], photo[None]) < 0 < mean_structure(noisy[None], photo[None])


def test_painters_are_named_by_the_nearest_centroid() -> None:
    known = {"left": torch.tensor([[1.0, 0.1], [1.0, -0.1]]), "up": torch.tensor([[0.0, 1.0], [0.2, 1.0]])}
    unknown = {"left": torch.tensor([[1.0, 0.2], [0.1, 1.0]]), "up": torch.tensor([[0.1, 0.9]])}
    assert recognize_painters(known, unknown) == {"left": 0.5, "up": 1.0}


def test_trials_share_no_scene_with_the_corpus_or_each_other() -> None:
    trials = [held_out_seeds(trial, 500, seed) for trial in ("judging", "retrieval", "sheets") for seed in (0, 1)]
    seeds = [number for trial in trials for number in trial]
    assert len(set(seeds)) == len(seeds)
    assert min(seeds) >= HELD_OUT_SEEDS


def test_captioned_pairs_are_all_different() -> None:
    captions = [pair.caption for pair in draw_pairs(20)]
    assert len(set(captions)) == 20
    assert any("in the manner of" in caption for caption in captions)
    assert any(caption.startswith("a photograph of") for caption in captions)


def test_prompts_cover_subjects_and_trained_painters() -> None:
    prompts = write_prompts(40)  # of some hundred pairs: of 40 that were drawn at random, some would be equal
    assert len({(subject, painter) for _, subject, painter in prompts}) == 40 < len(SUBJECTS) * len(TRAINED)
    assert all(
        subject in prompt and prompt.endswith(f"in the manner of {painter}") for prompt, subject, painter in prompts
    )


@pytest.mark.parametrize(
    ("value", "at_most", "verdict"),
    [(85, False, "yes"), (60, False, "CPU-only"), (40, False, "no"), (40, True, "yes"), (85, True, "no")],
)
def test_a_figure_says_which_threshold_it_meets(value: float, at_most: bool, verdict: str) -> None:
    assert Figure("x", value, "%", 80, 80 if at_most else 50, at_most).verdict == verdict


def test_the_card_gets_the_table_between_its_markers(tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text("before\n<!-- figures -->\nold\n<!-- /figures -->\nafter\n")
    table = format_table(
        [Figure("PSNR", 27.04, "dB", 26, 24)], "python -m artbank.pretraining.evaluate", torch.bfloat16
    )
    for _ in range(2):
        write_card(card, table)
    text = card.read_text()
    assert text.count("| PSNR | 27.0 dB | >= 26 (24) dB | yes |") == 1
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")


def test_a_card_without_markers_is_refused(tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text("no markers")
    with pytest.raises(ValueError, match="figures"):
        write_card(card, "table")


def test_the_model_card_holds_every_figure() -> None:
    figures = CARD.read_text(encoding="utf-8").split("<!-- figures -->")[1].split("<!-- /figures -->")[0]
    for name in ("real photos", "rendered photographs", "caption retrieval among 100", "16 painters", "200 prompts"):
        assert name in figures
    assert "| no |" not in figures


def test_absent_weights_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="pretrain"):
        Evaluation(tmp_path, REDUCED)
