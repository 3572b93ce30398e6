"""Work on the page of an output: sort, filter, compare, judge, and download what was judged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from artbank.results.picked_copies import find_rows, read_picks
from artbank.store.objects import Store
from tests.support.output_pages import CAPTIONS, HOSTILE, RETRY, OpenPage


def of_disk(root: Path, view: str = "") -> str:
    return (root / "output/report/index.html").as_uri() + view


def scores(page: Page) -> list[float]:
    return [float(text) for text in page.locator("#cards .score").all_inner_texts()]


def test_pictures_open_best_first_and_sort_and_filter_by_any_score(made: Path, open_page: OpenPage) -> None:
    page, watch = open_page(of_disk(made))
    first = page.locator("#best figure").first
    expect(first.locator("img")).to_have_count(2)  # the photo and its picture
    assert first.locator(".score").inner_text() == "0.975"
    expect(page.locator("#found")).to_have_text("Pictures 1 to 48 of 76.")
    assert scores(page) == sorted(scores(page), reverse=True)
    page.get_by_label("Sort by", exact=True).select_option("ssim.up")
    expect(page.locator("#cards .score").first).to_have_text("0.025")
    assert scores(page) == sorted(scores(page))
    page.locator("#search-form summary").click()
    page.locator("#from-clip_style").fill("0.5")
    page.locator("#below-clip_style").fill("0.6")
    page.locator("#below-clip_style").press("Enter")
    expect(page.locator("#found")).to_have_text("Pictures 1 to 7 of 7.")
    assert watch.said == []


def test_a_bar_of_a_histogram_shows_as_many_pictures_as_it_counts(made: Path, open_page: OpenPage) -> None:
    page, _ = open_page(of_disk(made))
    bar = page.locator("figure[data-measure=clip_style] [data-series='1'] .bar").nth(3)
    count = int(bar.get_attribute("data-count") or 0)
    bar.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_contain_text(f"of {count}.")
    expect(page.get_by_label("Style", exact=True).last).to_have_value("hokusai")
    page.locator("#chips button").click()
    expect(page.locator("#found")).to_have_text("Pictures 1 to 36 of 36.")


def test_the_address_holds_the_view_and_back_leaves_the_viewer(made: Path, open_page: OpenPage) -> None:
    page, _ = open_page(of_disk(made))
    page.get_by_label("A page", exact=True).select_option("12")
    page.get_by_label("Sort by", exact=True).select_option("name")
    page.get_by_role("button", name="Later").click()
    expect(page.locator("#found")).to_have_text("Pictures 13 to 24 of 76.")
    page.locator("#cards .look").nth(2).click()
    expect(page.locator("#viewer-place")).to_have_text("15 of 76")
    other, _ = open_page(page.url)
    expect(other.locator("#viewer-place")).to_have_text("15 of 76")
    expect(other.locator("#viewer-title")).to_have_text(page.locator("#viewer-title").inner_text())
    page.go_back()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("#found")).to_have_text("Pictures 13 to 24 of 76.")


def test_the_address_holds_a_picture_of_the_strip_and_which_strip_it_is(made: Path, open_page: OpenPage) -> None:
    page, watch = open_page(of_disk(made))
    page.locator("#best-kind").select_option("worst")
    page.locator("#best-score").select_option("ssim")
    page.locator("#best .pair").nth(1).click()
    expect(page.locator("#viewer-place")).to_contain_text("2 of ")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#viewer-place")).to_contain_text("3 of ")
    title, strip = page.locator("#viewer-title").inner_text(), page.locator("#best-pairs").inner_text()
    other, _ = open_page(page.url)
    for shown in (other, page):
        shown.reload()
        expect(shown.locator("#viewer-title")).to_have_text(title)
        assert shown.locator("#best-pairs").inner_text() == strip
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page).not_to_have_url(re.compile("best=3"))  # the browser goes back a moment later
    assert "by=ssim" in page.url and watch.said == []


def test_what_a_style_gives_beyond_colours_is_sorted_and_filtered_by(made: Path, open_page: OpenPage) -> None:
    page, _ = open_page(of_disk(made, "#sort=gain_beyond_colours.down"))
    cells = page.locator("#cards .cell")
    expect(cells.first.locator(".score")).to_have_text("1.560")  # (0.975 - 0.4875) / (0.8 - 0.4875)
    told = cells.locator(".score").all_inner_texts()
    assert [float(text) for text in told[:40]] == sorted(map(float, told[:40]), reverse=True)
    assert told[40:] == 8 * ["–"]  # no artworks of hokusai were held out
    page.locator("#search-form summary").click()
    page.locator("#from-gain_beyond_colours").fill("1")
    page.locator("#from-gain_beyond_colours").press("Enter")
    expect(page.locator("#found")).to_have_text("Pictures 1 to 8 of 8.")  # photos 32 to 39: 0.8 is the first
    page.locator("#chips button").click()
    page.get_by_label("Sort by", exact=True).select_option("clip_style_recoloured.down")
    expect(cells.first.locator(".score")).to_have_text("0.487")


@pytest.mark.parametrize(("width", "least_px"), [(1280, 500), (390, 150)])
def test_the_best_picture_is_large_and_the_others_follow_without_a_gap(
    made: Path, open_page: OpenPage, width: int, least_px: int
) -> None:
    page, _ = open_page(of_disk(made), width)
    expect(page.locator("#best .pair img").first).to_be_visible()
    first, second = (page.locator("#best figure.best").nth(place).bounding_box() for place in (0, 1))
    half = page.locator("#best .half").first.bounding_box()
    assert first and second and half and half["width"] >= least_px
    assert 0 < second["y"] - (first["y"] + first["height"]) <= 32


def test_the_viewer_turns_compares_zooms_and_enlarges_little(made: Path, open_page: OpenPage) -> None:
    page, watch = open_page(of_disk(made))
    page.locator("#cards .look").first.click()
    picture = page.locator("#pane-picture img")
    expect(picture).to_be_visible()
    expect(picture).to_have_css("width", "192px")  # 3 times 64
    expect(page.locator("#viewer-facts")).to_contain_text("64 × 48 px")
    page.keyboard.press("b")
    expect(page.locator("#viewer-stage")).to_have_attribute("data-mode", "side")
    page.keyboard.press("+")
    expect(page.locator("#viewer-zoom")).to_have_text("140 %")
    page.keyboard.press("s")
    page.locator("#viewer-divider").fill("20")
    expect(page.locator("#viewer-divider")).to_have_attribute("aria-valuetext", "20 % photo")
    page.locator("#viewer-close").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#viewer-place")).to_have_text("2 of 76")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert watch.said == []


def test_a_swipe_on_a_phone_turns_to_the_next_picture(made: Path, open_page: OpenPage) -> None:
    page, _ = open_page(of_disk(made), 390, has_touch=True, is_mobile=True)
    page.locator("#cards .look").first.tap()
    expect(page.locator("#viewer-place")).to_have_text("1 of 76")
    client = page.context.new_cdp_session(page)
    y = 300
    client.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": 330, "y": y}]})
    for x in (280, 200, 120):
        client.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y}]})
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator("#viewer-place")).to_have_text("2 of 76")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_picks_outlive_a_reload_and_are_what_export_picks_reads(
    made: Path, open_page: OpenPage, tmp_path: Path
) -> None:
    page, watch = open_page(of_disk(made, "#sort=name&q=script"))
    expect(page.locator("#cards .look")).to_have_count(2)
    page.locator("#cards .look").first.focus()
    page.keyboard.press("p")
    page.keyboard.press("4")
    page.locator("#cards .look").nth(1).focus()
    page.keyboard.press("x")
    page.reload()
    expect(page.locator("#marks-told")).to_have_text("1 picked · 1 rejected · 1 rated")
    page.get_by_label("Judged", exact=True).select_option("picked")
    expect(page.locator("#found")).to_have_text("Pictures 1 to 1 of 1.")
    found = {}
    for label, name in (("Download list of picks", "picks.txt"), ("Download all as CSV", "picks.csv")):
        with page.expect_download() as download:
            page.get_by_role("button", name=label).click()
        download.value.save_as(tmp_path / name)
        found[name] = read_picks(tmp_path / name)
    assert found["picks.txt"] == found["picks.csv"] == [("monet", HOSTILE)]
    assert read_picks(tmp_path / "picks.csv", 4) == [("monet", HOSTILE)] and read_picks(tmp_path / "picks.csv", 5) == []
    [row], missing = find_rows(Store.open(str(made / "output")), found["picks.txt"])
    assert row["key"] == HOSTILE and missing == [] and watch.said == []


def test_captions_are_found_and_run_in_their_own_direction(made: Path, open_page: OpenPage) -> None:
    page, watch = open_page(of_disk(made))
    for caption, direction in ((CAPTIONS[7], "rtl"), (CAPTIONS[8], "ltr")):
        page.get_by_label("Find a name or a caption", exact=True).fill(caption)
        shown = page.locator("#cards .caption")
        expect(shown).to_have_text([caption, caption])
        assert shown.first.evaluate("(element) => getComputedStyle(element).direction") == direction
    assert watch.said == []


def test_failures_have_names_links_and_the_command_that_tries_them_again(made: Path, open_page: OpenPage) -> None:
    page, _ = open_page(of_disk(made))
    failures = page.locator("#failures")
    expect(failures.locator("pre")).to_have_text(RETRY)
    link = failures.locator(".names a").first
    assert (link.get_attribute("href") or "").startswith("../../photos/roll%20")
    failures.get_by_role("link", name="Show them above").click()
    expect(page.locator("#found")).to_have_text("Pictures 1 to 4 of 4.")
    expect(page.locator("#cards .blank.bad")).to_have_count(4)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_grid_is_justified(made: Path, open_page: OpenPage, width: int) -> None:
    page, _ = open_page(of_disk(made), width)
    expect(page.locator("#cards .cell").first).to_be_visible()
    boxes = page.locator("#cards .cell").evaluate_all(
        "(all) => all.map((cell) => { const b = cell.querySelector('.look').getBoundingClientRect();"
        " return [Math.round(b.top), Math.round(b.right), Math.round(b.height)]; })"
    )
    rows: dict[int, list[tuple[int, int]]] = {}
    for top, right, height in boxes:
        rows.setdefault(top, []).append((right, height))
    full = list(rows.values())[:-1]
    assert len(full) >= 3 and len({max(right for right, _ in row) for row in full}) == 1
    assert all(max(h for _, h in row) - min(h for _, h in row) <= 1 for row in full)
