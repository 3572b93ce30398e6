"""The pages of banks follow from the store alone, and only outdated ones are written."""

from __future__ import annotations

import re
import shlex
from html import unescape
from pathlib import Path

import pytest

from artbank.catalog.album import ALBUM, Album, count_changes
from artbank.catalog.bank_files import file_key
from artbank.catalog.catalog import Catalog
from artbank.errors import BankError
from artbank.pages.banks import build as build_module
from artbank.pages.banks.build import build, refresh
from artbank.pages.banks.entries import page_key
from artbank.records.bank_records import BankRecord
from artbank.store.objects import Store
from tests.support.bank_stores import HOSTILE, add_bank


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"))


def page(store: Store, record: BankRecord) -> str:
    return store.read(page_key(record)).decode()


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_a_page_tells_what_is_kept_of_a_bank(store: Store) -> None:
    record = add_bank(store, "monet", clip_style_gain=0.42)
    build(store)
    html = page(store, record)
    told = text_of(html)
    assert "42 % of the way to the artworks" in told and "held out" in told
    assert "It stopped early, after 25 of at most 40 steps: 3 validations were no better." in told
    assert "what it was at step 10" in told and "0.5000" in told
    assert "only 3 artworks: a house" in told and "2 files" in told
    assert "a house 0.50 lake -0.25" in told and "likeness 0.200" in told
    assert f"artbank stylize PHOTOS OUTPUT \\ --store {store.uri} \\ --style monet@1" in told
    assert 'class="best"' in html and "stopped early" in html


def test_every_picture_and_file_that_a_page_names_is_there(store: Store) -> None:
    for record in (add_bank(store, "monet"), add_bank(store, "monet", 2)):
        build(store)
        folder = Path(store.uri, page_key(record)).parent
        named = re.findall(r'(?:src|href)="([^"#]+)"', page(store, record))
        assert len(named) > 12
        assert [name for name in named if name != "data:," and not (folder / name).is_file()] == []
    index = store.read("index.html").decode()
    assert [n for n in re.findall(r'(?:src|href)="([^"#]+)"', index) if n != "data:," and not store.exists(n)] == []


def test_versions_tell_what_changed_and_which_one_the_name_stands_for(store: Store) -> None:
    first = add_bank(store, "monet", 1, fingerprint="1" * 64)
    second = add_bank(store, "monet", 2, fingerprint="2" * 64, recipe='{"max_steps": 99}', base_model_hash="c" * 64)
    build(store)
    before, after = text_of(page(store, first)), text_of(page(store, second))
    assert "stands for version 2" in before and "version 2, after it" in before
    assert "stands for this version" in after and "version 1, before it" in after
    assert "artworks: 1 added, 1 changed" in after and "max_steps 40 → 99" in after
    assert "base model mini (bbbbbbbb) → mini (cccccccc)" in after
    Catalog(store).retire("monet@2")
    build(store)
    assert "retired" in text_of(page(store, first)) and "stands for this version" in text_of(page(store, first))


def test_only_what_has_changed_is_written_again(store: Store) -> None:
    add_bank(store, "monet")
    other = add_bank(store, "renoir", 2)
    assert build(store).num_written == 3
    assert build(store).num_written == 0
    add_bank(store, "monet", 3)
    assert build(store).num_written == 3  # both versions of monet, and the index
    store.delete_many([page_key(other)])
    assert build(store).num_written == 1
    assert build(store, anew=True).num_written == 4
    store.write("site.json", b"[]")
    assert build(store).num_written == 4


def test_what_is_registered_while_pages_are_written_is_on_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first, render, added = add_bank(store, "monet"), build_module.render_index, []

    def meanwhile(*args: object) -> str:
        if not added:
            added.append(add_bank(store, "monet", 2))
        return render(*args)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(build_module, "render_index", meanwhile)
    build(store)
    assert "version 2, after it" in text_of(page(store, first))
    assert store.exists(page_key(added[0])) and "version 2" in store.read("index.html").decode()


def test_a_bank_of_an_older_version_has_a_page_of_what_is_known(store: Store) -> None:
    beside_the_page = f"banks/monet/{1:016x}/bank.safetensors"
    record = add_bank(store, "monet", warnings=["only 3 artworks"], weights_uri=beside_the_page)
    store.delete_many([stored.key for stored in store.list("banks")])
    store.write(file_key(record, "preview.jpg"), b"jpeg")
    build(store)
    told = text_of(page(store, record))
    assert "only 3 artworks" in told and "no history is kept" in told and "not looked for" in told
    assert 'src="preview.jpg"' in page(store, record)
    assert f"banks/monet/{record.bank_id}/preview.jpg" in store.read("index.html").decode()


@pytest.mark.parametrize("album", [b"", b"{", b'{"format": "artbank.album/9"}', b'{"words": [[{"text": 1}]]}', b"\xff"])
def test_an_album_that_cannot_be_read_takes_no_page_away(store: Store, album: bytes) -> None:
    record = add_bank(store, "monet")
    with pytest.raises(BankError, match="album"):
        Album.from_bytes(album)
    store.write(file_key(record, ALBUM), album)
    store.write(file_key(record, "history.json"), b'{"train": 1}')
    build(store)
    assert "not looked for" in text_of(page(store, record))


def test_an_album_names_no_file_but_its_own() -> None:
    good = b'{"photos": [{"file": "album/a.webp", "text": "", "width_px": 1, "height_px": 1}]}'
    assert Album.from_bytes(good).photos[0].file == "album/a.webp"
    for name in (b"../x.webp", b"https://x/a.webp", b"album/../../a.webp", b"javascript:alert(1)"):
        with pytest.raises(BankError):
            Album.from_bytes(good.replace(b"album/a.webp", name))


def test_nothing_out_of_a_store_is_taken_for_markup(store: Store) -> None:
    texts = {"scorer": HOSTILE, "gallery_uri": HOSTILE, "base_model": HOSTILE, "warnings": [HOSTILE], "device": HOSTILE}
    record = add_bank(store, "monet", texts=HOSTILE, recipe='{"<b>x</b>": "<i>y</i>"}', **texts)
    build(store)
    for html in (page(store, record), store.read("index.html").decode()):
        assert "<script>alert" not in html and "<img src=x" not in html and "<b>x" not in html
        assert "\u202e" not in html and "49" not in re.findall(r"x onerror[^<]*", html)
    assert "&lt;script&gt;" in page(store, record)


def test_pages_may_go_elsewhere_with_the_pictures_that_they_show(store: Store, tmp_path: Path) -> None:
    record, out = add_bank(store, "monet"), Store.open(str(tmp_path / "web"))
    before = {stored.key for stored in store.list()}
    built = build(store, out)
    assert {stored.key for stored in store.list()} == before
    folder = Path(out.uri, page_key(record)).parent
    named = [n for n in re.findall(r'src="([^"]+)"', (folder / "index.html").read_text()) if n != "data:,"]
    assert built.index_uri == out.uri_of("index.html") and len(named) > 6
    assert all((folder / name).is_file() for name in named)
    assert not [stored.key for stored in out.list() if stored.key.endswith((".safetensors", ".parquet"))]


def test_a_store_without_a_bank_has_an_index_too(store: Store) -> None:
    assert build(store).num_written == 1
    assert "There is no bank yet" in store.read("index.html").decode()


def test_commands_for_a_store_of_any_name_can_be_pasted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store.open(str(tmp_path / "it's $HOME"))
    build(store)
    [shown] = re.findall("<code>(artbank train .*)</code>", store.read("index.html").decode())
    assert shlex.split(unescape(shown)) == ["artbank", "train", "GALLERY_URI", "--store", store.uri]
    store.delete_many(["index.html"])
    Path(store.uri, "index.html").mkdir()
    refresh(store)
    [logged] = re.findall("`(artbank site .*)`", caplog.text)
    assert shlex.split(logged) == ["artbank", "site", store.uri]


def test_changes_between_contents_are_counted() -> None:
    assert count_changes({"a": "1", "b": "2", "c": "3"}, {"b": "2", "c": "9", "d": "4", "e": "5"}) == (2, 1, 1)


def test_a_page_shows_the_name_of_a_collection_and_is_found_by_its_id(store: Store) -> None:
    record = add_bank(store, "collection-d76f9fac", display_name="葛飾北斎")
    build(store)
    assert "banks/collection-d76f9fac/" in page_key(record)
    told = text_of(page(store, record))
    assert "葛飾北斎, version 1" in told and "The name 葛飾北斎 stands for this version" in told
    assert "--style collection-d76f9fac@1" in told and "id of the collection collection-d76f9fac" in told
    assert "葛飾北斎 , version 1" in text_of(store.read("index.html").decode())
