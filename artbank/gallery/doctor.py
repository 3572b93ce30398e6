"""A look at a collection before it is trained on: what would make a bank worse than it need be.

Each finding says what was seen and what to do; only a collection on which training would mean nothing is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import cv2
import imagehash
import numpy as np
from PIL import Image

from artbank.errors import CollectionError
from artbank.gallery.collections import Artwork, Finding

FEWEST = 3
"""Artworks below which there is nothing to learn and hold out."""

_FEW = 10
_NEAR_BITS = 10  # of 64: re-encodings differ by 2, other scans and crops of 2% by up to 10, other works by 14 or more
_MARGIN = 0.1  # of the area; more of a plain page or mount is learned as part of the style
_PLAIN_EDGE = 0.95  # of the outermost pixels have one colour around a page; a flat sky is on three sides at most
_ONE_COLOUR = 16  # of 255, in each channel
_OUTLIER = 3.0  # robust standard deviations from the median artwork; in galleries of one hand the farthest are at 2.4
_SIDE_PX = 96


def check_artworks(artworks: Sequence[Artwork], *, smallest_px: int) -> list[Finding]:
    """Look at the readable artworks of a collection.

    Args:
        artworks: At least `FEWEST`.
        smallest_px: Side of the crops that will be learned, px.

    Raises:
        CollectionError: There are too few artworks to train on.
    """
    if len(artworks) < FEWEST:
        raise CollectionError(
            f"{len(artworks)} artworks can be read; training needs at least {FEWEST}, better {_FEW} or more: add some"
        )
    return [
        *_find_few(artworks),
        *_find_small(artworks, smallest_px),
        *_find_duplicates(artworks),
        *_find_margins(artworks),
        *_find_photographs(artworks),
        *_find_outliers(artworks),
    ]


def _find_few(artworks: Sequence[Artwork]) -> Iterator[Finding]:
    if len(artworks) < _FEW:
        yield Finding("few", f"only {len(artworks)} artworks; a bank learns a style from about {_FEW} on: add more")


def _find_small(artworks: Sequence[Artwork], smallest_px: int) -> Iterator[Finding]:
    small = [artwork.key for artwork in artworks if min(artwork.picture.shape[:2]) < smallest_px]
    if small:
        yield Finding(
            "small",
            f"{len(small)} artworks are smaller than {smallest_px} px and will be enlarged, which blurs the style: "
            f"replace {_list(small)}",
            tuple(small),
        )


def _find_duplicates(artworks: Sequence[Artwork]) -> Iterator[Finding]:
    """Group pictures whose perceptual hashes are nearly equal, each with the first one like it."""
    hashes = [imagehash.phash(Image.fromarray(artwork.picture)) for artwork in artworks]
    groups: dict[int, list[int]] = defaultdict(list)
    for i, own in enumerate(hashes):
        first = next((j for j in groups if hashes[j] - own <= _NEAR_BITS), i)
        groups[first].append(i)
    for group in groups.values():
        if len(group) > 1:
            keys = [artworks[i].key for i in group]
            exact = all(np.array_equal(artworks[group[0]].picture, artworks[i].picture) for i in group[1:])
            kind, word = ("duplicate", "the same picture") if exact else ("near-duplicate", "nearly the same picture")
            yield Finding(kind, f"{_list(keys)} are {word} and count for more than the others: keep one", tuple(keys))


def _find_margins(artworks: Sequence[Artwork]) -> Iterator[Finding]:
    framed = [artwork.key for artwork in artworks if measure_margin(artwork.picture) >= _MARGIN]
    if framed:
        yield Finding(
            "margin",
            f"{len(framed)} artworks have an empty page or a plain mount around them, which will be learned as style; "
            f"crop {_list(framed)}, or leave it if the page is part of the style",
            tuple(framed),
        )


def measure_margin(picture: np.ndarray) -> float:
    """Return what share of a picture uint8 [H, W, 3] is plain margin, 0..1.

    That is what hangs together with its edges and has their colour, if they have one. Carved frames are not seen.
    """
    small = cv2.resize(picture, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.int16)
    edges = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    plain = np.abs(small - np.median(edges, 0)).max(2) <= _ONE_COLOUR  # [S, S]
    on_edges = np.concatenate([plain[0], plain[-1], plain[:, 0], plain[:, -1]])
    if on_edges.mean() < _PLAIN_EDGE:
        return 0.0
    _, labels = cv2.connectedComponents(np.pad(plain, 1, constant_values=True).astype(np.uint8), connectivity=4)
    return float((labels == labels[0, 0])[1:-1, 1:-1].mean())


def _find_photographs(artworks: Sequence[Artwork]) -> Iterator[Finding]:
    """Name images that carry a camera's settings where most of a collection does not.

    Where most do, its artworks were photographed. Photographs without such data, as on most web pages, are not seen.
    """
    shot = [artwork.key for artwork in artworks if artwork.camera]
    if 0 < len(shot) <= len(artworks) / 2:
        yield Finding(
            "photograph",
            f"{len(shot)} images carry a camera's data and may be photographs, not artworks: look at {_list(shot)}",
            tuple(shot),
        )


def _find_outliers(artworks: Sequence[Artwork]) -> Iterator[Finding]:
    """Name artworks whose colours and strokes are far from the collection's, by robust distances.

    A photograph stands out from prints or pen and wash, seldom from a painter of many palettes.
    """
    features = np.array([_features(artwork.picture) for artwork in artworks])  # [n, f]
    centre = np.median(features, 0)
    spread = 1.4826 * np.median(np.abs(features - centre), 0) + 1e-6
    distance = np.sqrt((((features - centre) / np.maximum(spread, features.std(0) * 0.2)) ** 2).mean(1))
    odd = [artwork.key for artwork, far in zip(artworks, distance > _OUTLIER, strict=True) if far]
    if odd and len(artworks) >= _FEW:
        yield Finding("outlier", f"{_list(odd)} look unlike the rest: remove what does not belong", tuple(odd))


def _features(picture: np.ndarray) -> np.ndarray:
    """Return mean and spread of the Lab colours, and the strength of edges, of a picture."""
    small = cv2.resize(picture, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)
    edges = np.hypot(cv2.Sobel(lab[..., 0], cv2.CV_32F, 1, 0), cv2.Sobel(lab[..., 0], cv2.CV_32F, 0, 1))
    return np.concatenate([lab.mean((0, 1)), lab.std((0, 1)), [edges.mean(), edges.std()]])


def _list(keys: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(keys[:most])
    return shown if len(keys) <= most else f"{shown} and {len(keys) - most} more"
