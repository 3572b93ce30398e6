"""`artbank compare`: write a page of blinded pairs of pictures."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artbank.errors import ConfigError
from artbank.parameters.run_config import RunConfig
from artbank.runtime.style_names import style_folder
from artbank_cli.options import JsonOption
from artbank_cli.output import say, say_json

if TYPE_CHECKING:  # the commands import what they need, so that `artbank --help` stays fast
    from artbank.comparison.contestants import Contestant
    from artbank.pages.comparison.page import WrittenComparison
    from artbank.store.objects import Store

COMPARISON = "comparison"
"""The folder that `compare` writes to, and `votes` reads from, by default."""
_QUESTION = "Which picture would you rather hang?"
_EXAMPLES = 5  # of pairs that could not be shown
_LONGEST_QUESTION = 160  # as long as a heading is shown


def compare(
    outputs: Annotated[
        list[str],
        typer.Argument(
            metavar="OUTPUT[#STYLE]...",
            help="Two or more outputs of `stylize`, or a style of an output each, such as art#monet@2.",
        ),
    ],
    out: Annotated[str, typer.Option("--out", help="Folder or s3:// prefix for the page and its key.")] = COMPARISON,
    photos: Annotated[
        str | None,
        typer.Option("--photos", help="Folder or s3:// prefix of the photos that were stylized."),
    ] = None,
    trust_output: Annotated[
        bool, typer.Option("--trust-output", help="Without --photos: read the photos where the outputs say they are.")
    ] = False,
    gallery: Annotated[
        str | None,
        typer.Option("--gallery", help="Show artworks of each style's collection, from this folder or s3:// prefix."),
    ] = None,
    style: Annotated[
        list[str] | None, typer.Option("--style", help="Only this style of whole outputs; may be repeated.")
    ] = None,
    pairs: Annotated[
        int, typer.Option("--pairs", metavar="INTEGER", min=1, max=1000, help="Pairs on the page, at most.")
    ] = 60,
    seed: Annotated[
        int, typer.Option("--seed", metavar="INTEGER", min=0, help="Seed of the pairs, their order and their sides.")
    ] = 0,
    question: Annotated[str, typer.Option("--question", help="The question that voters answer.")] = _QUESTION,
    as_json: JsonOption = False,
) -> None:
    """Write a web page of blinded pairs of pictures to vote on, and beside it the key that unblinds the votes."""
    from artbank.comparison.contestants import count_recipes, parse_contestants, read_pictures
    from artbank.comparison.pairing import draw_pairs, match_pictures
    from artbank.pages.comparison.page import ComparisonSettings, write_comparison
    from artbank.report.markdown import plain
    from artbank.runtime.counts import number_text
    from artbank.store.objects import Store
    from artbank.store.places import check_there

    contestants = parse_contestants(outputs)
    styles = [style_folder(name) for name in style or ()]
    _check(contestants, styles, question)
    for contestant in contestants:
        check_there(contestant.output, "the output of `artbank stylize`")
    artworks = _open_given(gallery, "a folder of artworks for each collection")
    target = Store.open(out)
    outputs_read = {"output": [contestant.output for contestant in contestants]}
    _check_target(target, {**outputs_read, "gallery": artworks})
    tables = [read_pictures(contestant, styles) for contestant in contestants]
    matched = match_pictures(contestants, tables)
    archives = _open_given(photos, "photos") or _open_named_archives(contestants, trust_output)
    _check_target(target, {"archive": archives})
    written = write_comparison(
        target,
        contestants,
        tables,
        draw_pairs(matched.groups, tables, seed),
        archives,
        ComparisonSettings(pairs, seed, question, RunConfig().max_pixels),
        artworks[0] if artworks else None,
    )
    notes = [
        f"{contestant.name} has pictures by {number} recipes in {plain(name)}"
        for contestant, rows in zip(contestants, tables, strict=True)
        for name, number in count_recipes(rows).items()
        if number > 1
    ]
    if matched.num_changed:
        notes.append(
            f"left out {number_text(matched.num_changed, 'pair')} whose two photos have one name and other contents"
        )
    notes += _describe_unusable(written)
    if as_json:
        say_json(_to_json(written, notes))
        return
    _print_comparison(written, notes, out)


def _open_named_archives(contestants: Sequence[Contestant], trust_output: bool) -> list[Store]:
    """Open the archives that only the outputs name, if the user accepts that."""
    from artbank.comparison.contestants import find_archives

    archives = find_archives(contestants)
    named = ", ".join(archive.uri for archive in archives) or "none"
    if not trust_output or not archives:
        accept = ", or accept what the outputs name with --trust-output" if archives else ""
        raise ConfigError(
            f"expected you to name the photos, found them only in the outputs, which others may have written: {named}; "
            f"name yours with --photos{accept}"
        )
    say(f"named by the outputs: photos {named}", to_stderr=True)
    return archives


def _check(contestants: Sequence[Contestant], styles: Sequence[str], question: str) -> None:
    if styles and contestants[0].style is not None:
        raise ConfigError("--style selects styles of whole outputs; leave it out with OUTPUT#STYLE")
    if not 0 < len(question.strip()) <= _LONGEST_QUESTION:
        raise ConfigError(f"--question: expected 1 to {_LONGEST_QUESTION} characters, found {len(question.strip())}")


def _open_given(uri: str | None, expected: str) -> list[Store]:
    """Open a place that was given on the command line; none without one."""
    from artbank.store.objects import Store
    from artbank.store.places import check_there

    if not uri:
        return []
    store = Store.open(uri)
    check_there(store, expected)
    return [store]


def _check_target(target: Store, read: Mapping[str, Sequence[Store]]) -> None:
    """Check that page and keys of a comparison are written outside of what it reads."""
    from artbank.comparison.unblinding import KEYS, PAGE
    from artbank.store.places import check_apart

    written = {"comparison": target.child(PAGE), "comparison's keys": target.child(KEYS)}
    for word, stores in read.items():
        for store in stores:
            check_apart({word: store}, written)


def _describe_unusable(written: WrittenComparison) -> list[str]:
    if not written.unusable:
        return []
    from artbank.report.markdown import plain
    from artbank.runtime.counts import number_text

    left_out = f"{number_text(len(written.unusable), 'pair')} could not be shown"
    return [left_out, *(f"{plain(pair.pair.key)}: {plain(pair.reason)}" for pair in written.unusable[:_EXAMPLES])]


def _print_comparison(written: WrittenComparison, notes: Sequence[str], out: str) -> None:
    from artbank.runtime.counts import number_text

    pairs = written.key.pairs
    num_photos = number_text(len({pair.key for pair in pairs}), "photo")
    num_styles = number_text(len({pair.style for pair in pairs}), "style")
    say(f"{number_text(len(pairs), 'pair')}: {num_photos}, {num_styles}, {len(written.key.contestants)} outputs")
    for note in notes:
        say(f"note: {note}")
    say(f"page: {written.page_uri}")
    say(f"key: {written.key_uri} (do not show it to the voters)")
    given = "" if out == COMPARISON else f" --comparison {shlex.quote(out)}"
    say(f"count the votes with: artbank votes FILE...{given}")


def _to_json(written: WrittenComparison, notes: Sequence[str]) -> dict[str, Any]:
    return {
        "comparison": written.key.id,
        "num_pairs": len(written.key.pairs),
        "page": written.page_uri,
        "key": written.key_uri,
        "notes": list(notes),
    }
