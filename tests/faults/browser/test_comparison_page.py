"""The page of a comparison, as voters have it: by keys and on a phone, kept over a reload, downloaded and counted."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from s3fs import S3FileSystem

from tests.cli.test_cli import call
from tests.support import rgw
from tests.support.compared_outputs import PHOTOS, add_output, add_photos, color_of, paint
from tests.support.output_pages import OpenPage

NUM_PAIRS = 12
PHONE = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2}
HOSTILE = "monet</script><img src=x onerror=alert(1)>\u202e"


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the outputs `new` and `old`, a gallery, and their comparison; tests leave it as it is."""
    root = tmp_path_factory.mktemp("compared")
    add_photos(root)
    for name in ("new", "old"):
        add_output(root, name, size_px=(320, 300))
    for i in range(4):
        place = root / f"gallery/monet/{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(paint((90, 90, 30 * i), 80, 60, ".png"))
    words = [root / "new", root / "old", "--out", root / "comparison", "--photos", root / "photos"]
    words += ["--gallery", root / "gallery"]
    ended = call("compare", *words)
    assert ended.code == 0, ended.err
    return root


@pytest.fixture
def published(compared: Path, tmp_path: Path) -> Path:
    """The folder that voters get, without the key, at another place."""
    return Path(shutil.copytree(compared / "comparison/page", tmp_path / "given"))


def address(folder: Path) -> str:
    return (folder / "index.html").as_uri()


def wait_for_pair(page: Page, number: int) -> None:
    expect(page.locator("#progress")).to_contain_text(f"Pair {number} of {NUM_PAIRS}")
    expect(page.locator("#pair")).not_to_have_class(re.compile("waiting"))


def side_of(page: Page, folder: Path, color: str) -> str:
    """Return A or B: where the picture of this colour is shown now."""
    sources = {side: page.locator(f"#{side}").get_attribute("src") or "" for side in ("left", "right")}
    found = {color_of((folder / source).read_bytes()): side for side, source in sources.items()}
    return {"left": "A", "right": "B"}[found[color]]


def download(page: Page, folder: Path) -> Path:
    with page.expect_download() as started:
        page.get_by_role("button", name="Download the votes").click()
    place = folder / started.value.suggested_filename
    started.value.save_as(place)
    return place


def count(compared: Path, *files: Path) -> str:
    ended = call("votes", *files, "--comparison", compared / "comparison")
    assert ended.code == 0, ended.err
    return ended.out


def test_votes_by_keys_outlive_a_reload_and_are_counted(
    compared: Path, published: Path, open_page: OpenPage, tmp_path: Path
) -> None:
    page, watch = open_page(address(published))
    for number in range(1, NUM_PAIRS + 1):
        wait_for_pair(page, number)
        keys = {"A": ("ArrowLeft", "a"), "B": ("ArrowRight", "B")}[side_of(page, published, "new")]
        page.keyboard.press("t" if number == 3 else keys[number % 2])
        if number == 5:
            wait_for_pair(page, 6)
            page.reload()
    expect(page.get_by_role("heading", name="All pairs are voted on")).to_be_focused()
    page.reload()
    expect(page.get_by_role("heading", name="All pairs are voted on")).to_be_visible()
    printed = count(compared, download(page, tmp_path))
    assert f"{NUM_PAIRS} votes by 1 voter on {len(PHOTOS)} photos" in printed
    [line] = [line for line in printed.splitlines() if line.startswith("all")]
    assert line.split()[1:6] == ["12", "11", "1", "0", "96"]
    assert watch.said == [] and watch.left(published.as_uri(), "blob:") == []


def test_a_vote_can_be_changed_and_keys_can_be_turned_off(published: Path, open_page: OpenPage, tmp_path: Path) -> None:
    page, _ = open_page(address(published))
    wait_for_pair(page, 1)
    page.keyboard.press("a")
    wait_for_pair(page, 2)
    page.keyboard.press("Backspace")
    wait_for_pair(page, 1)
    pressed = page.locator('.vote[aria-pressed="true"]')
    expect(pressed).to_have_text("A")
    page.get_by_role("button", name="B", exact=True).click()
    wait_for_pair(page, 2)
    page.keyboard.press("Control+a")
    page.get_by_label("Keys vote").uncheck()
    page.keyboard.press("a")
    page.get_by_label("Keys vote").check()
    page.get_by_role("button", name="Picture A").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("b")
    page.keyboard.press("Escape")
    told = json.loads(download(page, tmp_path).read_text())
    assert [(vote["pair"], vote["choice"]) for vote in told["votes"]] == [(1, "B")]


def test_a_pair_takes_no_vote_before_its_pictures_are_there(published: Path, open_page: OpenPage) -> None:
    page, _ = open_page("about:blank")
    held = []
    page.route("**/pictures/picture-*", lambda route: held.append(route) if len(held) < 1 else route.continue_())
    page.goto(address(published), wait_until="domcontentloaded")
    page.keyboard.press("a")
    expect(page.locator("#progress")).to_have_text(f"Pair 1 of {NUM_PAIRS}, 0 voted on")
    held[0].continue_()
    wait_for_pair(page, 1)
    page.keyboard.press("a")
    wait_for_pair(page, 2)


def test_a_picture_that_is_gone_is_told(published: Path, open_page: OpenPage) -> None:
    for path in (published / "pictures").glob("picture-*"):
        path.unlink()
    page, _ = open_page(address(published))
    expect(page.get_by_role("alert")).to_contain_text("cannot be loaded")
    page.keyboard.press("a")
    expect(page.locator("#progress")).to_contain_text("0 voted on")


def test_a_second_voter_starts_anew_and_both_are_counted(
    compared: Path, published: Path, open_page: OpenPage, tmp_path: Path
) -> None:
    page, _ = open_page(address(published))
    files = []
    for _ in range(2):
        wait_for_pair(page, 1)
        page.keyboard.press("a")
        wait_for_pair(page, 2)
        files.append(download(page, tmp_path))
        page.get_by_role("button", name="Start anew").click()
        expect(page.locator("#sure-text")).to_have_text("1 vote; 0 not downloaded.")
        page.get_by_role("button", name="Keep them").click()
        expect(page.locator("#progress")).to_contain_text("1 voted on")
        page.get_by_role("button", name="Start anew").click()
        page.get_by_role("button", name="Delete them").click()
    assert "2 votes by 2 voters on 1 photo;" in count(compared, *files)


def test_two_tabs_keep_each_others_votes(published: Path, open_page: OpenPage) -> None:
    page, _ = open_page(address(published))
    wait_for_pair(page, 1)
    other = page.context.new_page()
    other.goto(address(published))
    wait_for_pair(other, 1)
    page.keyboard.press("a")
    expect(other.locator("#progress")).to_contain_text("1 voted on")
    other.keyboard.press("b")
    wait_for_pair(other, 2)
    other.keyboard.press("b")
    wait_for_pair(other, 3)
    expect(page.locator("#progress")).to_contain_text("2 voted on")


@pytest.mark.parametrize(
    "kept", ["{", "null", "[]", '{"voter": 3}', '{"voter": "%s", "votes": {"1": {"choice": "C"}, "99": 1}}']
)
def test_what_the_browser_kept_is_not_trusted(published: Path, open_page: OpenPage, kept: str) -> None:
    page, watch = open_page(address(published))
    wait_for_pair(page, 1)
    text = kept.replace("%s", "a" * 32)
    page.evaluate("text => localStorage.setItem(`artbank.votes.${artbank.told.comparison}`, text)", text)
    page.reload()
    wait_for_pair(page, 1)
    page.keyboard.press("a")
    wait_for_pair(page, 2)
    assert watch.said == []


def test_a_browser_that_keeps_nothing_says_so_and_votes_all_the_same(
    compared: Path, published: Path, open_page: OpenPage, tmp_path: Path
) -> None:
    page, _ = open_page("about:blank")
    page.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no'); }})")
    page.goto(address(published))
    wait_for_pair(page, 1)
    page.keyboard.press("a")
    wait_for_pair(page, 2)
    expect(page.locator("#kept")).to_contain_text("does not keep votes")
    assert "1 vote by 1 voter" in count(compared, download(page, tmp_path))


def test_on_a_phone_a_pair_is_on_one_screen_and_is_voted_on_by_touch(
    compared: Path, published: Path, open_page: OpenPage, tmp_path: Path
) -> None:
    page, watch = open_page(address(published), width=390, **PHONE)
    for number in range(1, NUM_PAIRS + 1):
        wait_for_pair(page, number)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for name in ("#photo", "#left", "#right", ".votes"):
            box = page.locator(name).bounding_box()
            assert box and box["y"] >= 0 and box["y"] + box["height"] <= 900, f"{name} is outside of the screen"
        page.get_by_role("button", name=side_of(page, published, "old"), exact=True).tap()
    expect(page.get_by_role("heading", name="All pairs are voted on")).to_be_visible()
    printed = count(compared, download(page, tmp_path))
    assert "all" in printed and "0 % (0 to 24 %)" in printed and watch.said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_accessible(published: Path, open_page: OpenPage, width: int, scheme: str) -> None:
    page, _ = open_page(address(published), width, scheme)
    wait_for_pair(page, 1)
    for _ in range(2):
        grave = [v for v in Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
        assert [(v["id"], [node["html"] for node in v["nodes"]][:3]) for v in grave] == []
        page.evaluate("for (let i = 1; i <= 12; i++) artbank.vote(i, 'tie')")
        page.reload()
        expect(page.get_by_role("heading", name="All pairs are voted on")).to_be_visible()


def test_artworks_stand_beside_the_pairs_of_their_style(published: Path, open_page: OpenPage) -> None:
    page, _ = open_page(address(published))
    counts = set()
    for number in range(1, NUM_PAIRS + 1):
        wait_for_pair(page, number)
        counts.add((page.locator("#artworks").is_visible(), page.locator("#artworks-list img").count()))
        page.keyboard.press("t")
    assert counts == {(True, 4), (False, 0)}


def test_hostile_names_are_text(tmp_path: Path, open_page: OpenPage) -> None:
    keys = ["<img src=x onerror=alert(2)>.jpg"]
    style = HOSTILE.replace("/", "|")
    add_photos(tmp_path, keys)
    for name in ("new", "old"):
        add_output(tmp_path, name, styles=[style], keys=keys)
    (tmp_path / "gallery" / style).mkdir(parents=True)
    (tmp_path / "gallery" / style / "a.png").write_bytes(paint((9, 9, 9), suffix=".png"))
    words = [tmp_path / "new", tmp_path / "old", "--out", tmp_path / "comparison", "--photos", tmp_path / "photos"]
    words += ["--gallery", tmp_path / "gallery"]
    ended = call("compare", *words, "--question", "</title><script>alert(3)</script>?")
    assert ended.code == 0, ended.err
    page, watch = open_page(address(tmp_path / "comparison/page"))
    expect(page.locator("#progress")).to_contain_text("Pair 1 of 1")
    expect(page.locator("h1")).to_have_text("</title><script>alert(3)</script>?")
    expect(page.locator("#artworks-caption")).to_contain_text("<img src=x onerror=alert(1)>\ufffd")
    assert watch.said == []


def test_without_javascript_the_page_says_what_it_needs(published: Path, open_page: OpenPage) -> None:
    page, _ = open_page(address(published), java_script_enabled=False)
    expect(page.get_by_text("Voting needs JavaScript")).to_be_visible()
    expect(page.locator("#voting")).to_be_hidden()


def test_a_page_in_a_bucket_is_voted_on_and_counted_by_the_key_there(
    compared: Path, s3_store: str, s3_endpoint: rgw.Endpoint, open_page: OpenPage, tmp_path: Path
) -> None:
    out = f"{s3_store}/comparison"
    ended = call("compare", compared / "new", compared / "old", "--photos", compared / "photos", "--out", out)
    assert ended.code == 0, ended.err
    fs, folder = S3FileSystem(endpoint_url=s3_endpoint.url), out.removeprefix("s3://")
    for key in fs.find(f"{folder}/page"):
        bucket, _, name = key.partition("/")
        fs.call_s3("put_object_acl", Bucket=bucket, Key=name, ACL="public-read")
    page, watch = open_page(f"{s3_endpoint.url}/{folder}/page/index.html")
    wait_for_pair(page, 1)
    page.keyboard.press("a")
    wait_for_pair(page, 2)
    counted = call("votes", download(page, tmp_path), "--comparison", out)
    assert counted.code == 0 and "1 vote by 1 voter" in counted.out
    assert watch.said == [] and watch.left(f"{s3_endpoint.url}/{folder}/page/", "blob:") == []
