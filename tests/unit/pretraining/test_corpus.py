"""The corpus: captions that say what is there, held-out painters that stay out, rendering that resumes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from artbank.mini.drawing.manners.space import describe_manner
from artbank.mini.drawing.painters import HELD_OUT, HELD_OUT_SAMPLED, SAMPLED, TRAINED
from artbank.mini.drawing.scenes import SUBJECTS, draw_scene
from artbank.pretraining.corpus import (
    PAINTINGS_PER_SCENE,
    SCENES_PER_BLOCK,
    SIDE_PX,
    TONES,
    Corpus,
    draw_examples,
    grade,
    name_painter,
    render,
    write_caption,
)


def test_a_caption_says_what_is_seen_by_whom_and_in_what_tones() -> None:
    assert write_caption("a harbour at dusk", name_painter("")) == "a photograph of a harbour at dusk"
    painted = write_caption("a harbour at dusk", name_painter("Maurel"), "in warm tones")
    assert painted == "a harbour at dusk, in the manner of Maurel, in warm tones"


def test_a_scene_is_drawn_as_a_photograph_and_then_painted() -> None:
    photo, first, second = draw_examples(5, ("Maurel", "Tovar"), side_px=96, toned=0)
    assert photo.image.tobytes() == draw_scene(5, width_px=96, height_px=96).image.tobytes()
    assert (photo.painter, first.painter, second.painter) == ("", "Maurel", "Tovar")
    assert not (first.image == second.image).all()
    assert photo.subject == first.subject == second.subject


def test_a_caption_names_a_sampled_painter_or_says_how_he_paints() -> None:
    painter, manner = next(iter(SAMPLED.items()))
    [_, named] = draw_examples(5, (painter,), side_px=64, toned=0, in_words=0)
    [_, described] = draw_examples(5, (painter,), side_px=64, toned=0, in_words=1)
    assert named.caption.endswith(f", in the manner of {painter}")
    assert described.caption.endswith(f", {describe_manner(manner)}")
    assert described.painter == painter
    assert (named.image == described.image).all()


def test_a_snapshot_is_painted_from() -> None:
    plain = draw_examples(5, ("Maurel",), side_px=96, toned=0)
    taken = draw_examples(5, ("Maurel",), side_px=96, toned=0, snapshots=1)
    assert [one.caption for one in taken] == [one.caption for one in plain]
    assert all((one.image != other.image).mean() > 0.5 for one, other in zip(taken, plain, strict=True))


def test_the_corpus_holds_what_its_captions_say(corpus: Corpus) -> None:
    assert len(corpus) == len(corpus.facts) == 2 * SCENES_PER_BLOCK * (1 + PAINTINGS_PER_SCENE)
    assert {image.shape for image in corpus.images} == {(SIDE_PX, SIDE_PX, 3)}
    assert {image.dtype for image in corpus.images} == {np.dtype(np.uint8)}
    for fact in corpus.facts:
        assert fact["subject"] in SUBJECTS
        assert fact["subject"] in fact["caption"]
        assert fact["painter"] in fact["caption"] or describe_manner(SAMPLED[fact["painter"]]) in fact["caption"]
        assert fact["tone"] in fact["caption"]
        assert fact["caption"].startswith("a photograph of ") == (not fact["painter"])


def test_trained_painters_and_tones_occur_and_held_out_painters_never(corpus: Corpus) -> None:
    captions = " ".join(fact["caption"] for fact in corpus.facts)
    assert all(painter in captions for painter in TRAINED)
    assert all(tone in captions for tone in TONES)
    assert not any(painter.lower() in captions.lower() for painter in (*HELD_OUT, *HELD_OUT_SAMPLED))
    assert not {fact["painter"] for fact in corpus.facts} & {*HELD_OUT, *HELD_OUT_SAMPLED}


def test_rendering_again_restores_a_lost_block_to_the_byte(corpus_folder: Path, tmp_path: Path) -> None:
    kept = shutil.copy(corpus_folder / "block-00000.npy", tmp_path)
    shutil.copy(corpus_folder / "block-00000.json", tmp_path)
    before = Path(kept).stat().st_mtime_ns
    render(tmp_path, 2 * SCENES_PER_BLOCK, num_processes=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in corpus_folder.iterdir())
    for name in ("block-00001.npy", "block-00001.json"):
        assert (tmp_path / name).read_bytes() == (corpus_folder / name).read_bytes()
    assert Path(kept).stat().st_mtime_ns == before


def test_a_corpus_that_was_not_rendered_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="render"):
        Corpus.load(tmp_path)


@pytest.mark.parametrize("tone", TONES)
def test_a_grade_does_what_its_words_say(tone: str) -> None:
    image = draw_scene(9, "a still life", light="at noon").image
    graded = grade(image, tone).astype(float)
    (red, _, blue), (red_before, _, blue_before) = graded.mean((0, 1)), image.mean((0, 1))
    spread, spread_before = np.ptp(graded, axis=2).mean(), np.ptp(image.astype(float), axis=2).mean()
    assert {
        "in warm tones": red - blue > red_before - blue_before + 10,
        "in cold tones": red - blue < red_before - blue_before - 10,
        "in pale tones": graded.mean() > image.mean() + 20,
        "in dark tones": graded.mean() < image.mean() - 20,
        "in vivid tones": spread > 1.2 * spread_before,
        "in black and white": spread == 0,
    }[tone]


def test_an_empty_tone_leaves_the_picture() -> None:
    image = draw_scene(9, width_px=64, height_px=64).image
    assert (grade(image, "") == image).all()
