"""Pictures and texts for people: their layout, and that no name can break them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from artbank.records.photo_records import Result
from artbank.report.bank_card import bank_card
from artbank.report.bank_preview import preview_grid
from artbank.report.fonts import choose_font, fit_end, width
from artbank.report.markdown import escape, fence, shorten
from artbank.report.skipped import skipped_lines
from artbank.report.summaries import results_summary, summary_markdown
from artbank.runtime.durations import rough_seconds_text, seconds_text
from artbank.scoring.spread import Ceiling, ScoreBounds
from artbank.store.skipped import SkippedKind
from tests.support.rows import bank_record, result

RED, GREEN, BLUE = ((200, 30, 30), (30, 160, 30), (30, 30, 200))
HOSTILE = "a|b`c`<img src=x>\n# [x](javascript:1)\u202egnp.jpg"


def plain(colour: tuple[int, int, int], height: int = 60, wide: int = 90) -> np.ndarray:
    return np.full((height, wide, 3), colour, np.uint8)


def opened(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    assert image.format == "JPEG"
    return np.asarray(image.convert("RGB")).astype(int)


def bounds(sheet: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of what has a colour."""
    rows, columns = np.nonzero(np.abs(sheet - colour).max(2) < 25)
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


def table_of(markdown: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table after a heading, which is left out where it is empty."""
    lines = markdown[markdown.index(heading) :].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    body = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        body.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return body


def summarized(rows: Sequence, **bounds: tuple[float, float]) -> dict:
    own = {style: {"clip_style": ScoreBounds(floor, Ceiling(ceiling))} for style, (floor, ceiling) in bounds.items()}
    return results_summary(Result.to_table(rows), own)


def test_a_style_is_compared_with_photos_in_its_colours():
    rows = [
        result(key=f"{n}.jpg", clip_style=0.6, clip_style_recoloured=recoloured)
        for n, recoloured in enumerate((0.4, 0.6))
    ]
    summary = summarized(rows, monet=(0.2, 0.7))
    assert summary["styles"][0]["recoloured"] == {"clip_style": pytest.approx(0.5), "gain": pytest.approx(0.5)}
    text = summary_markdown(summary, title="t", places={})
    assert "colours, not painted: monet 0.500, so the gain beyond colours is 50" in text
    older = summarized([result(clip_style_recoloured=None)], monet=(0.2, 0.7))
    assert "not painted" not in summary_markdown(older, title="t", places={})


def test_skipped_files_are_counted_apart_from_failures_and_named():
    kinds = (
        SkippedKind("name", 1, ("full/",)),
        SkippedKind("no_photo", 30, tuple(f"{number:02}<b>.xmp" for number in range(30))),
    )
    assert skipped_lines([SkippedKind("empty", 2, ("assets", "runs"))]) == ["skipped, empty: 2 folders, assets, runs"]
    summary = results_summary(Result.to_table([result()]), {}, kinds)
    assert json.loads(json.dumps(summary)) == summary
    assert summary["counts"] == {"done": 1, "failed": 0, "skipped": 31}
    text = summary_markdown(summary, title="t", places={})
    assert "**1 done, 0 failed**; 31 files skipped." in text
    assert [row[:2] for row in table_of(text, "## Skipped")[2:]] == [["name", "1"], ["no\\_photo", "30"]]
    assert "19&lt;b&gt;.xmp and 10 more" in text and "20&lt;b&gt;.xmp" not in text
    assert skipped_lines(kinds) == [
        "skipped, name: 1 file, full/",
        "skipped, no_photo: 30 files, 00<b>.xmp, 01<b>.xmp, 02<b>.xmp, ...",
    ]


def test_a_preview_shows_every_artwork_and_every_pair_beside_each_other():
    artworks = [plain(RED, 60, 30 + 40 * i) for i in range(9)]
    sheet = opened(preview_grid(artworks, [plain(GREEN)] * 3, [plain(BLUE)] * 3, "monet, version 3"))
    assert sheet.shape[1] == 1080
    assert bounds(sheet, RED)[1] < bounds(sheet, GREEN)[0]
    assert bounds(sheet, GREEN)[2] < bounds(sheet, BLUE)[2]
    assert bounds(sheet, RED)[2] >= 40 and bounds(sheet, RED)[3] <= 1040
    line = sheet[bounds(sheet, GREEN)[0] + 20]  # through the first two pairs
    widths = [(np.abs(line - colour).max(1) < 25).sum() for colour in (GREEN, BLUE)]
    assert widths[0] == pytest.approx(widths[1], abs=4), "a picture is covered by its neighbour"


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 200), st.integers(1, 200)), max_size=8), st.integers(0, 5))
def test_a_preview_takes_any_number_of_pictures_of_any_shape(shapes: list[tuple[int, int]], num_pairs: int):
    pictures = [plain(RED, *shape) for shape in shapes]
    pairs = [plain(BLUE, 1 + 30 * i, 40) for i in range(num_pairs)]
    sheet = opened(preview_grid(pictures, pairs, pairs, HOSTILE))
    assert sheet.shape[1] == 1080


def test_text_is_cut_where_it_is_needed_and_nowhere_else():
    name = "holiday in the mountains 2019.jpeg"
    assert fit_end(name, 13, 1000) == name
    short = fit_end(name, 13, 120)
    assert short.startswith("holiday") and short.endswith("…") and width(short, 13) <= 120


def test_letters_that_no_font_has_do_not_become_boxes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("artbank.report.fonts._WIDER", ())
    choose_font.cache_clear()
    assert choose_font("Élan_ñ", 13)[1] == "Elan_n"
    assert choose_font("\U00012000\n", 13)[1] == "??"
    choose_font.cache_clear()


@given(st.text())
def test_an_escaped_value_is_one_line_without_markup(text: str):
    line = escape(text)
    assert len(line.splitlines()) <= 1
    assert "<" not in line and ">" not in line
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`\[\]*_]", line)


def test_names_cannot_reverse_hide_or_break_what_follows():
    assert escape("a\u202eb\x00c\ud800") == "a�b�c�"
    assert escape("a\r\nb\u2028c") == "a b c"
    assert escape("&lt;") == "&amp;lt;"
    assert escape("x" * 1000).count("x") < 200
    escape("a\ud800").encode()


@pytest.mark.parametrize("longest", [3, 4, 9, 10])
def test_a_shortened_text_has_the_length_asked_for(longest: int):
    assert len(shorten("abcdefghijkl", longest)) == longest
    assert shorten("abc", longest) == "abc"


def test_a_fence_is_longer_than_any_in_its_code():
    assert fence("a ``` b").startswith("````\n")


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (0.01234, "0.0123 s"), (59.2, "59.2 s"), (61, "1 min 1 s"), (3700, "1 h 1 min")]
)
def test_durations_come_in_units_that_suit_them(seconds: float | None, text: str):
    assert seconds_text(seconds) == text


def test_a_card_says_what_a_bank_is_worth():
    record = bank_record(scorer="mini/clip@123", recipe='{"steps": 400, "min_snr_gamma": null}', version=3)
    card = bank_card(record, "current", "preview.jpg")
    assert card.startswith("# monet, version 3\n\n![") and "](preview.jpg)" in card
    assert table_of(card, "## What it is worth")[2:] == [
        ["untouched photos \\(floor\\)", "0.500"],
        ["photos in this style", "0.700"],
        ["held-out artworks \\(ceiling\\)", "0.900"],
    ]
    assert "**50 %** of the way" in card
    assert table_of(card, "## How it was trained")[2:] == [["steps", "400"], ["min\\_snr\\_gamma", "none"]]
    assert "--style monet@3" in card


@pytest.mark.parametrize("missing", ["clip_style", "clip_style_gain", "train_loss", "previous_version"])
def test_a_card_does_without_what_was_not_measured(missing: str):
    card = bank_card(bank_record(**{"scorer": "mini/clip@123", missing: None}), "current", None)
    assert "None" not in card and "nan" not in card
    assert "![" not in card


def test_a_card_keeps_a_warning_that_names_many_artworks_whole():
    warning = f"{', '.join(f'folder/a long name of a scan {number}.tif' for number in range(6))} have a frame"
    assert f"- {warning}\n" in bank_card(bank_record(warnings=[warning]), "current", None)


def test_a_card_lists_warnings_and_escapes_them():
    card = bank_card(bank_record(warnings=["3 are nearly equal: a|b", "small <b>"]), "current", None)
    assert "- 3 are nearly equal: a\\|b\n- small &lt;b&gt;" in card
    assert "Nothing was found" in bank_card(bank_record(), "current", None)
    assert "| its licence | openrail |" in bank_card(bank_record(base_model_licence="openrail"), "current", None)
    assert "| its licence | unknown: the files beside it name none |" in bank_card(bank_record(), "current", None)


def test_the_python_of_a_card_compiles_and_finds_what_it_imports():
    card = bank_card(bank_record(weights_uri='s3://b/"x"/```'), "current", None)
    code = re.search(r"(`{3,})python\n(.*?)\n\1", card, re.S)
    assert code
    compile(code[2], "card", "exec")
    exec("\n".join(line for line in code[2].splitlines() if line.startswith(("import", "from"))), {})


def test_a_summary_counts_and_spreads_by_style():
    rows = [result(f"{i}.jpg", "monet", clip_style=0.2 + 0.1 * i) for i in range(3)]
    rows += [result("0.jpg", "hokusai", clip_style=None), result("1.jpg", "hokusai", status="failed", reason="cut off")]
    summary = summarized(rows, monet=(0.1, 0.5))
    assert json.loads(json.dumps(summary)) == summary
    assert (summary["num_photos"], summary["num_pictures"]) == (3, 5)
    assert summary["counts"] == {"done": 4, "failed": 1, "skipped": 0}
    hokusai, monet = summary["styles"]
    assert (hokusai["done"], hokusai["failed"], monet["done"]) == (1, 1, 3)
    assert hokusai["scores"]["clip_style"]["n"] == 0 and hokusai["scores"]["ssim"]["n"] == 1
    assert monet["scores"]["clip_style"]["mean"] == pytest.approx(0.3)
    assert monet["scores"]["clip_style"]["gain"] == pytest.approx(0.5)
    assert monet["scores"]["ssim"]["floor"] is None


def test_a_summary_lists_the_commonest_reasons_and_the_worst_pictures_first():
    rows = [result(f"{i:02}.jpg", clip_style=i / 100, flags=["flat"] if i < 2 else []) for i in range(30)]
    for i in range(40):
        kind = "too_large" if i < 3 else "unreadable"
        facts = {"status": "failed", "reason": f"reason {i % 25}", "failure": kind, "clip_style": None}
        rows.append(result(f"x{i:02}.jpg", **facts))
    summary = summarized(rows)
    assert [row["key"] for row in summary["worst"]] == [f"{i:02}.jpg" for i in range(20)]
    assert [row["key"] for row in summary["failed"]] == [f"x{i:02}.jpg" for i in range(20)]
    assert summary["reasons"][0] == {"reason": "reason 0", "count": 2} and len(summary["reasons"]) == 25
    assert summary["flags"] == [{"flag": "flat", "count": 2}]
    unreadable, too_large = summary["failures"]
    assert (unreadable["failure"], unreadable["count"], too_large["count"]) == ("unreadable", 37, 3)
    assert [row["key"] for row in too_large["rows"]] == ["x00.jpg", "x01.jpg", "x02.jpg"]
    command = "artbank stylize --parameters out/runs/r/config.json --retry-failed"
    text = summary_markdown({**summary, "retry_command": command}, title="t", places={})
    assert "And 5 other reasons." in text and "And 17 more." in text and "2 flat" in text
    assert table_of(text, "### too\\_large: 3 pictures")[2] == ["x00.jpg", "monet", "reason 0"]
    assert f"```sh\n{command}\n```" in text and "`--failure too_large`" in text


def test_a_summary_tells_no_gain_where_floor_and_ceiling_nearly_meet():
    rows = [result(f"{i}.jpg", "monet", clip_style=0.52) for i in range(3)]
    apart, close = (summarized(rows, monet=(0.5, ceiling)) for ceiling in (0.511, 0.509))
    assert apart["styles"][0]["scores"]["clip_style"]["gain"] == pytest.approx(0.02 / 0.011)
    assert close["styles"][0]["scores"]["clip_style"]["gain"] is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4567, "0.46 s"),
        (45.67, "46 s"),
        (133, "2 min 10 s"),
        (1234, "21 min"),
        (7623, "2 h 10 min"),
        (37_400, "10 h"),
        (400_000, "4 days 14 h"),
    ],
)
def test_a_forecast_has_two_digits(seconds: float, text: str):
    assert rough_seconds_text(seconds) == text


def test_a_report_has_a_line_for_each_style_and_measure():
    rows = [result("a.jpg", style) for style in ("monet", "hokusai")]
    text = summary_markdown(summarized(rows, monet=(0.25, 0.75)), title="Run", places={"pictures": "s3://out"})
    scores = table_of(text, "## Scores")
    assert scores[0] == ["style", "score", "n", "mean", "median", "p5", "p95", "floor", "ceiling", "gain"]
    assert len(scores) == 2 + 2 * 5
    assert ["monet", "clip\\_style", "1", *["0.500"] * 4, "0.250", "0.750", "50 %"] in scores
    assert table_of(text, "## Where things are")[2] == ["pictures", "s3://out"]
    assert "## Failed" not in text


def test_a_hostile_file_name_stays_in_its_cell():
    rows = [result(HOSTILE, status="failed", reason=HOSTILE), result(HOSTILE, "b|c")]
    text = summary_markdown(summarized(rows), title=HOSTILE, places={"pictures": HOSTILE})
    for heading in ("# a", "## Scores", "### unreadable", "## Least like", "## Where things"):
        table = table_of(text, heading)
        assert {len(line) for line in table} == {len(table[0])}
    assert "<img" not in text and "\u202e" not in text and "\n# [" not in text
    assert not re.search(r"(?<!\\)\]\(", text)


def test_a_run_over_nothing_has_a_report():
    summary = summarized([])
    json.dumps(summary)
    assert "0 photos, 0 pictures" in summary_markdown(summary, title="Run", places={})


def test_a_score_that_is_not_a_number_is_not_the_worst():
    summary = summarized([result("a.jpg", clip_style=float("nan")), result("b.jpg")])
    assert [row["key"] for row in summary["worst"]] == ["b.jpg"]
