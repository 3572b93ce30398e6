"""The collection doctor: find problems in a collection that would make its bank worse, before training.

Each finding says what was found and what to do. Only a collection with too few artworks is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import imagehash
import numpy as np
from PIL import Image

from artbank.errors import CollectionError
from artbank.gallery.collections import Artwork
from artbank.gallery.findings import Finding
from artbank.images.palette import Palette
from artbank.parameters.train_config import FEWEST_ARTWORKS, GOOD_ARTWORKS
from artbank.runtime.counts import number_text
from artbank.runtime.readable_text import list_names

_NEAR_BITS = 10  # of 64: re-encodings differ by 2, other scans and crops of 2% by up to 10, other works by 14 or more
_MARGIN = 0.1  # of the area; a larger plain page or mount is learned as part of the style
_PLAIN_EDGE = 0.95  # of the outermost pixels; a page has one colour on all sides, a flat sky on at most three
_ONE_COLOUR = 16  # of 255 in each channel; pixels that differ less count as one colour
_OUTLIER = 3.0  # robust standard deviations from the median artwork; within one painter's works the most is 2.4
_ONE_TONE = 0.6  # unity of the colours; prints of one ink and sepia have 0.7 to 1, painters of many colours at most 0.5
_SIDE_PX = 96
_NUM_TOLD = 3  # unread files in the error about a collection with too few artworks


def check_artworks(artworks: Sequence[Artwork], *, smallest_px: int, unread: Sequence[Finding] = ()) -> list[Finding]:
    """Check the artworks of a collection; returns the findings.

    Args:
        artworks: The artworks that could be read; at least `FEWEST_ARTWORKS`.
        smallest_px: Side of the crops for the training, px.
        unread: Findings about files that could not be read; the error names the first few.

    Raises:
        CollectionError: There are too few artworks to train on.
    """
    if len(artworks) < FEWEST_ARTWORKS:
        raise CollectionError(
            f"{number_text(len(artworks), 'artwork')} can be read; training needs at least {FEWEST_ARTWORKS}, better "
            f"{GOOD_ARTWORKS} or more: add some" + "".join(f"; {finding.message}" for finding in unread[:_NUM_TOLD])
        )
    return [
        *_find_few(artworks),
        *_find_small(artworks, smallest_px),
        *_find_duplicates(artworks),
        *_find_margins(artworks),
        *_find_photographs(artworks),
        *_find_outliers(artworks),
        *_find_one_tone(artworks),
    ]


def _find_few(artworks: Sequence[Artwork]) -> Iterator[Finding]:
    if len(artworks) < GOOD_ARTWORKS:
        yield Finding(
            "few", f"only {len(artworks)} artworks; a bank learns a style from about {GOOD_ARTWORKS} on: add more"
        )


def _find_small(artworks: Sequence[Artwork], smallest_px: int) -> Iterator[Finding]:
    small = [artwork.key for artwork in artworks if min(artwork.picture.shape[:2]) < smallest_px]
    if small:
        yield Finding(
            "small",
            f"{len(small)} artworks are smaller than {smallest_px} px and will be enlarged, which blurs the style: "
            f"replace {list_names(small)}",
            tuple(small),
        )


def _find_duplicates(artworks: Sequence[Artwork]) -> Iterator[Finding]:
    """Find groups of pictures with nearly equal perceptual hashes; each picture joins the first one like it."""
    hashes = [imagehash.phash(Image.fromarray(artwork.picture)).hash for artwork in artworks]
    groups = _group_near(np.array([np.packbits(bits).view(np.uint64)[0] for bits in hashes]))
    for group in groups:
        if len(group) > 1:
            keys = [artworks[i].key for i in group]
            first_picture = artworks[group[0]].picture
            if all(np.array_equal(first_picture, artworks[i].picture) for i in group[1:]):
                kind = "duplicate"
                word = "the same picture"
            else:
                kind = "near-duplicate"
                word = "nearly the same picture"
            yield Finding(
                kind, f"{list_names(keys)} are {word} and count for more than the others: keep one", tuple(keys)
            )


def _group_near(hashes: np.ndarray) -> list[list[int]]:
    """Group hashes, uint64 [n], that differ by few bits from the first of their group; returns their places."""
    firsts = np.empty_like(hashes)
    groups: list[list[int]] = []
    for place, picture_hash in enumerate(hashes):
        is_near = np.bitwise_count(firsts[: len(groups)] ^ picture_hash) <= _NEAR_BITS
        if is_near.any():
            groups[int(is_near.argmax())].append(place)
        else:
            firsts[len(groups)] = picture_hash
            groups.append([place])
    return groups


def _find_margins(artworks: Sequence[Artwork]) -> Iterator[Finding]:
    framed = [artwork.key for artwork in artworks if measure_margin(artwork.picture) >= _MARGIN]
    if framed:
        yield Finding(
            "margin",
            f"an empty page or a plain mount is around {number_text(len(framed), 'artwork')}, and will be learned as "
            f"style; crop {list_names(framed)}, or leave it if the page is part of the style",
            tuple(framed),
        )


def measure_margin(picture: np.ndarray) -> float:
    """Return the share of a picture uint8 [H, W, 3] that is plain margin, 0..1.

    The margin is the area of one colour that is connected to the edges. Carved frames are not detected.
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
    """Find images with a camera's settings in a collection where most images have none.

    If most have them, the artworks were photographed. Photographs without settings, as on most web pages, are not
    detected.
    """
    shot = [artwork.key for artwork in artworks if artwork.camera]
    if 0 < len(shot) <= len(artworks) / 2:
        yield Finding(
            "photograph",
            f"there may be photographs among the artworks, since a camera's data is in "
            f"{number_text(len(shot), 'image')}: look at {list_names(shot)}",
            tuple(shot),
        )


def _find_outliers(artworks: Sequence[Artwork]) -> Iterator[Finding]:
    """Find artworks whose colours and strokes are far from those of the collection, by robust distances.

    A photograph stands out among prints or pen and wash, but seldom among the works of a painter of many palettes.
    """
    features = np.array([_features(artwork.picture) for artwork in artworks])  # [n, f]
    centre = np.median(features, 0)
    spread = 1.4826 * np.median(np.abs(features - centre), 0) + 1e-6
    scale = np.maximum(spread, features.std(0) * 0.2)
    distance = np.sqrt((((features - centre) / scale) ** 2).mean(1))
    odd = [artwork.key for artwork, far in zip(artworks, distance > _OUTLIER, strict=True) if far]
    if odd and len(artworks) >= GOOD_ARTWORKS:
        yield Finding("outlier", f"{list_names(odd)} look unlike the rest: remove what does not belong", tuple(odd))


def _features(picture: np.ndarray) -> np.ndarray:
    """Return mean and standard deviation of a picture's Lab colours and of the strength of its edges."""
    small = cv2.resize(picture, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)
    edges = np.hypot(cv2.Sobel(lab[..., 0], cv2.CV_32F, 1, 0), cv2.Sobel(lab[..., 0], cv2.CV_32F, 0, 1))
    return np.concatenate([lab.mean((0, 1)), lab.std((0, 1)), [edges.mean(), edges.std()]])


def _find_one_tone(artworks: Sequence[Artwork]) -> Iterator[Finding]:
    """Find that all artworks have one tone, such as sepia or blue ink; the drawn colours hardly follow it."""
    small = [artwork.picture[:: _step(artwork, 0), :: _step(artwork, 1)] for artwork in artworks]
    if Palette.measure(small).unity >= _ONE_TONE:
        message = "the artworks share one tone: stylize with --colour collection to give it to the pictures"
        yield Finding("one-tone", message)


def _step(artwork: Artwork, axis: int) -> int:
    """Return the stride that leaves about `_SIDE_PX` px along an axis."""
    return max(artwork.picture.shape[axis] // _SIDE_PX, 1)
