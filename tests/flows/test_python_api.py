"""A picture that the API draws is the one that a flow writes for the same photo, bank, recipe and seed."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

import artbank
from artbank_prefect.flows.stylize_archive import stylize_archive
from tests.support.flow_runs import run
from tests.support.small_inputs import STYLIZE
from tests.support.stylized_archive import PHOTOS, Archive


@pytest.mark.parametrize("style", ["novak", "ferrante@1"])
def test_pictures_and_scores_are_those_of_the_flow(
    stylized: Archive, style: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    output = tmp_path_factory.mktemp("one-style") / "art"  # scores are the same bits where CLIP sees the same pictures
    alone = stylized.config(style).model_copy(update={"output_uri": str(output), "shard_size": 2})
    run(stylize_archive, alone)
    bits = {row["key"]: row for row in pq.read_table(output / "results.parquet").to_pylist()}
    bank = artbank.open_store(stylized.store)[style]
    recipe = STYLIZE.model_dump(include=STYLIZE.model_fields_set)
    rows = stylized.rows()
    batches = (PHOTOS[:2], PHOTOS[2:])  # as the shards of the run had them
    pictures = [
        one
        for keys in batches
        for one in bank.stylize([stylized.photos / key for key in keys], root=stylized.photos, **recipe)
    ]
    for key, picture in zip(PHOTOS, pictures, strict=True):
        file, row = stylized.output / style / key, rows[key, style]
        assert picture.to_bytes(file.suffix) == file.read_bytes()
        assert picture.scores and picture.seed == row["seed"]
        told = {name: value for name, value in vars(picture.scores).items() if name != "flags"}
        assert told == {name: bits[key][name] for name in told}
        assert told == pytest.approx({name: row[name] for name in told}, abs=1e-6)  # two styles at once
        assert list(picture.scores.flags) == row["flags"]


def test_a_folder_is_drawn_as_an_archive(stylized: Archive) -> None:
    bank = artbank.open_store(stylized.store)["novak"]
    recipe = STYLIZE.model_dump(include=STYLIZE.model_fields_set)
    pictures = {one.key: one for one in bank.stylize([stylized.photos], **recipe)}
    rows = {key: row for (key, style), row in stylized.rows().items() if style == "novak"}
    assert pictures.keys() == rows.keys()
    for key, row in rows.items():
        assert pictures[key].seed == row["seed"]
        assert pictures[key].error is None or pictures[key].error.failure == row["failure"]
    one = bank.stylize(stylized.photos / PHOTOS[0], **recipe)
    assert np.abs(one.array.astype(int) - pictures[PHOTOS[0]].array).max() <= 2  # in batches of two sizes
