"""Stores of registered banks: laid out as training leaves them, without training, and read."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import numpy as np
import torch

from artbank.catalog.album import ALBUM, Album, Milestone, NearWord, Sample
from artbank.catalog.bank_files import HISTORY, file_key, load_bank
from artbank.catalog.catalog import Catalog
from artbank.gallery.album_pictures import AlbumWriter, to_note
from artbank.gallery.collections import Artwork
from artbank.gallery.findings import Finding
from artbank.recipes import BankRecipe
from artbank.records.bank_records import BankRecord
from artbank.store.objects import Store
from tests.support.rows import START, bank_record, register

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e{{ 7 * 7 }}"
RECIPE = BankRecipe(max_steps=40, validate_every=5, patience=3)
LOSSES = [0.9, 0.7, 0.5, 0.55, 0.6, 0.58]  # the best at step 10, and early stopping at 25


def add_bank(store: Store, collection: str, number: int = 1, *, texts: str = "a house", **values: Any) -> BankRecord:
    """Register a bank with a complete album; `texts` is used for every free text in it."""
    facts = {"recipe": RECIPE.model_dump_json(), "steps": 25, "created_at": START + timedelta(days=number)}
    weights_uri = store.uri_of(f"banks/{collection}/{number:016x}/{'e' * 16}/bank.safetensors")
    record = bank_record(f"{number:016x}", collection, **{**facts, "weights_uri": weights_uri, **values})
    history = {"train": [0.6] * 25, "validation": [(5 * i, loss) for i, loss in enumerate(LOSSES)], "seconds": 1.0}
    mount = AlbumWriter()
    album = make_album(mount, texts, {f"{i}.png": f"{i % number:012x}" for i in range(number + 2)})
    files = {HISTORY: json.dumps(history).encode(), ALBUM: album.to_bytes(), **mount.files}
    store.write_many({file_key(record, name): data for name, data in files.items()})
    return register(Catalog(store), record)


def make_album(mount: AlbumWriter, texts: str, contents: dict[str, str]) -> Album:
    """Return an album of flat pictures."""
    artworks = [Artwork(f"{texts} {i}.png", flat(40 * i), texts) for i in range(3)]
    thumbnails = [mount.add(name, flat(90), texts, longest_px=32) for name in ("photo-00", "step-0", "step-10", "s-0")]
    photo, first, last, sample = thumbnails
    mount.add_cover(flat(40), flat(200))
    return Album(
        artworks=mount.add_artworks(artworks, [artworks[0].key]),
        num_held_out=1,
        contents=contents,
        notes=(to_note(Finding("few", f"only 3 artworks: {texts}", (f"{texts}.png", "b.png"))),),
        words=((NearWord(text=texts, cosine=0.5), NearWord(text="lake", cosine=-0.25)),),
        photos=(photo,),
        milestones=(
            Milestone(step=0, pictures=(first,), clip_style=0.1),
            Milestone(step=10, pictures=(last,), clip_style=0.2),
        ),
        milestone_preset="fast",
        samples=(Sample(photo=photo, picture=sample, clip_style=0.3, clip_style_floor=0.1),),
    )


def flat(level: int) -> np.ndarray:
    """Return a picture of one grey."""
    return np.full((24, 32, 3), level, np.uint8)


def vectors(store: str, name: str) -> torch.Tensor:
    """Return the vectors [N, D] of the default bank of a collection."""
    opened = Store.open(store)
    return load_bank(opened, Catalog(opened).find(name)).vectors


def versions(store: str) -> list[tuple[str, int, int | None]]:
    """Return collection, version and previous version of each bank."""
    return [(bank.collection, bank.version, bank.previous_version) for bank in Catalog(Store.open(store)).banks()]
