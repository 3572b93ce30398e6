from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np
from PIL import Image

from bench.blind_pairs import Pair, count_votes, save_pairs

SIDE_PX = 40
OURS, THEIRS = (20, 200, 20), (200, 20, 20)


def plain(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((SIDE_PX, SIDE_PX, 3), colour, np.uint8)


def test_the_key_says_which_picture_of_a_pair_is_the_defaults(tmp_path: Path) -> None:
    pairs = [
        Pair(
            {"collection": "c", "photo": str(number), "against": "paper"},
            [plain((9, 9, 9))] * 3,
            plain(OURS),
            plain(THEIRS),
        )
        for number in range(12)
    ]
    save_pairs(pairs, random.Random(3), argparse.Namespace(out=tmp_path, side=SIDE_PX))
    key = json.loads((tmp_path / "key.json").read_text())
    assert {one["default"] for one in key} == {"A", "B"}
    for number, facts in enumerate(key):
        sheet = np.asarray(Image.open(tmp_path / "sheets" / f"{number // 6:02d}.png").convert("RGB")).astype(int)
        ours, theirs = (np.argwhere((abs(sheet - colour) < 8).all(2)) for colour in (OURS, THEIRS))
        row = number % 6
        columns = [
            places[np.unique(places[:, 0], return_inverse=True)[1] // SIDE_PX == row, 1].mean()
            for places in (ours, theirs)
        ]
        assert (columns[0] < columns[1]) == (facts["default"] == "A")
    votes = {str(number): facts["default"] for number, facts in enumerate(key)}
    assert count_votes(key, votes) == "against paper: 12 of 12"
    assert count_votes(key, {number: "BA"[vote == "B"] for number, vote in votes.items()}) == "against paper: 0 of 12"
