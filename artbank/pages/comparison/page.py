"""Write the page of a comparison, and beside it the key that unblinds it.

<out>/page/index.html             the page; written last
<out>/page/assets/                its stylesheets and scripts
<out>/page/pictures/*.jpg         photos, pictures and artworks, named by their content
<out>/keys/<id>.json              see `artbank.comparison.unblinding`

Files are written in the order of the page, so not even their times tell whose a picture is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from more_itertools import chunked

from artbank.comparison.contestants import Contestant
from artbank.comparison.pairing import Pair
from artbank.comparison.unblinding import PAGE, KnownContestant, KnownPair, UnblindingKey, make_key
from artbank.errors import ComparisonError, ConfigError
from artbank.pages.comparison.artworks import draw_artworks
from artbank.pages.comparison.pictures import DrawnPair, Unusable, draw_batch
from artbank.pages.publishing import INDEX, assets, content_name, publish
from artbank.pages.rendering import render
from artbank.report.markdown import plain
from artbank.store.objects import Store

_BATCH = 8
_UNUSABLE_PER_PAIR = 3  # give up after so many times more than the pairs that are wanted
_OWN_FILES = re.compile(r"index\.html|assets/[a-z-]+-[0-9a-f]{16}\.(css|js)|pictures/[a-z]+-[0-9a-f]{16}\.jpg")


@dataclass(frozen=True)
class ComparisonSettings:
    """Settings of a comparison.

    Attributes:
        num_pairs: Pairs on the page, at most.
        seed: Seed of order and sides, 0 or more.
        question: The question that voters answer.
        max_pixels: Larger photos and pictures are left out.
    """

    num_pairs: int
    seed: int
    question: str
    max_pixels: int


@dataclass(frozen=True)
class WrittenComparison:
    """A comparison that was written.

    Attributes:
        key: Its unblinding key.
        page_uri: URI of the page.
        key_uri: URI of the key.
        unusable: Pairs that could not be shown.
    """

    key: UnblindingKey
    page_uri: str
    key_uri: str
    unusable: list[Unusable]


def write_comparison(
    out: Store,
    contestants: Sequence[Contestant],
    tables: Sequence[pa.Table],
    pairs: Iterator[Pair],
    archives: Sequence[Store],
    settings: ComparisonSettings,
    gallery: Store | None,
) -> WrittenComparison:
    """Write the page of a comparison and its key.

    Args:
        out: Receives both.
        contestants: Whose pictures are compared.
        tables: Their rows, from `read_pictures`.
        pairs: From `draw_pairs`; taken until enough could be shown.
        archives: Hold the photos.
        settings: The settings.
        gallery: Holds a folder with artworks for each collection, to show beside the pairs; None for none.

    Raises:
        ConfigError: The page's folder has other files.
        ComparisonError: No pair can be shown.
        OSError: A store failed.
    """
    page = out.child(PAGE)
    _check_folder(page)
    draft = _Draft(out, contestants, tables, settings, gallery)
    publish(page, draft.write_files(pairs, archives), draft.write_html)
    return WrittenComparison(draft.key, page.uri_of(INDEX), out.uri_of(draft.key_name), draft.unusable)


class _Draft:
    """A page that is being written: its files, then the key, then the HTML."""

    def __init__(
        self,
        out: Store,
        contestants: Sequence[Contestant],
        tables: Sequence[pa.Table],
        settings: ComparisonSettings,
        gallery: Store | None,
    ):
        self.out = out
        self.contestants = contestants
        self.tables = tables
        self.settings = settings
        self.gallery = gallery
        self.shown: list[dict[str, str]] = []
        self.known: list[KnownPair] = []
        self.unusable: list[Unusable] = []
        self.artworks: dict[str, list[str]] = {}
        self.assets = assets("style.css", "comparison.css", "comparison-votes.js", "comparison.js")
        self.key_name = ""
        self.key: UnblindingKey

    def write_files(self, pairs: Iterator[Pair], archives: Sequence[Store]) -> Iterator[tuple[str, bytes]]:
        """Yield all files of the page but its HTML; then write the key."""
        for drawn in self._draw(pairs, archives):
            pair = drawn.pair
            files = [(_name("photo", drawn.photo), drawn.photo)]
            files += [(_name("picture", data), data) for data in (drawn.left, drawn.right)]
            yield from files
            names = dict(zip(("photo", "left", "right"), (name for name, _ in files), strict=True))
            self.shown.append({**names, "style": pair.style})
            self.known.append(
                KnownPair(key=pair.key, style=pair.style, left=pair.left.contestant, right=pair.right.contestant)
            )
        if not self.shown:
            raise ComparisonError(_nothing_to_show(self.unusable))
        yield from self._write_artworks()
        yield from self.assets.items()
        self.key = make_key(
            question=self.settings.question,
            seed=self.settings.seed,
            contestants=[
                _know(contestant, rows) for contestant, rows in zip(self.contestants, self.tables, strict=True)
            ],
            pairs=self.known,
        )
        self.key_name = self.key.save(self.out)

    def write_html(self) -> str:
        """Return the HTML; call it after all files are written."""
        styles = list(dict.fromkeys(pair["style"] for pair in self.shown))
        data = {
            "comparison": self.key.id,
            "pairs": [{**pair, "style": styles.index(pair["style"])} for pair in self.shown],
            "styles": [{"name": plain(style), "artworks": self.artworks.get(style, [])} for style in styles],
        }
        return render(
            "comparison.html",
            assets=list(self.assets),
            heading=self.settings.question,
            num_pairs=len(self.shown),
            comparison=json.dumps(data),
        )

    def _draw(self, pairs: Iterator[Pair], archives: Sequence[Store]) -> Iterator[DrawnPair]:
        """Yield pairs until there are enough, or too many could not be shown."""
        wanted = self.settings.num_pairs
        num_drawn = 0
        for batch in chunked(pairs, _BATCH):
            for drawn in draw_batch(batch, self.contestants, archives, self.settings.max_pixels):
                if isinstance(drawn, Unusable):
                    self.unusable.append(drawn)
                elif num_drawn < wanted:
                    num_drawn += 1
                    yield drawn
            if num_drawn == wanted or len(self.unusable) > _UNUSABLE_PER_PAIR * wanted:
                return

    def _write_artworks(self) -> Iterator[tuple[str, bytes]]:
        if self.gallery is None:
            return
        for style in dict.fromkeys(pair.style for pair in self.known):
            drawn = draw_artworks(self.gallery, style, self.settings.seed, self.settings.max_pixels)
            files = [(_name("artwork", data), data) for data in drawn]
            self.artworks[style] = [name for name, _ in files]
            yield from files


def _check_folder(page: Store) -> None:
    """Refuse to write into a folder with files of others: publishing a page deletes those that it does not use."""
    foreign = next((stored.key for stored in page.scan() if not _OWN_FILES.fullmatch(stored.key)), None)
    if foreign is not None:
        raise ConfigError(f"{page.uri_of(foreign)} is not part of a comparison; choose another folder with --out")


def _know(contestant: Contestant, rows: pa.Table) -> KnownContestant:
    recipe_ids = {
        style: tuple(sorted(pc.unique(rows.filter(pc.field("style") == style)["recipe_id"]).to_pylist()))
        for style in sorted(pc.unique(rows["style"]).to_pylist())
    }
    output = contestant.output.uri
    return KnownContestant(name=contestant.name, output_uri=output, style=contestant.style, recipe_ids=recipe_ids)


def _name(kind: str, data: bytes) -> str:
    return content_name("pictures", f"{kind}.jpg", data)


def _nothing_to_show(unusable: Sequence[Unusable]) -> str:
    example = f"; the first: {plain(unusable[0].pair.key)}: {unusable[0].reason}" if unusable else ""
    return (
        f"none of {len(unusable):,} pairs can be shown{example}; name the folder of the photos with --photos "
        "if it has moved, and check the outputs with `artbank verify`"
    )
