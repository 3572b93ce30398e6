"""Names of objects, and URIs of stores."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artbank.errors import ConfigError
from artbank.store.keys import find_fault
from artbank.store.objects import Store
from tests.support.listed_keys import keys_of

ODD_KEYS = [
    "with space.jpg",
    " leading and trailing ",
    "ünïcode/日本/🎨.png",
    "a#b.txt",
    "a?b=c&d",
    "100%25/%2e%2e",
    "[ab]*?.txt",
    "{x,y}/**",
    "plus+and;semi:colon",
    "back\\slash",
    "a::b",
    "s3:/like/it",
    "quote'\"<&>",
    "~",
    "$HOME",
    "a\uff0f\uff0e\uff0e\u2215look/\u2024\u2024/alike",
    "\u202egnp.exe\u202c \u2066a\u2069",
    "mis\x85read",
    "deep/" * 60 + "end",
    "n" * 255,
]
UNFIT_KEYS = [
    "",
    "/",
    "/etc/passwd",
    "..",
    "../x",
    "a/../../x",
    "a/..",
    "./a",
    "a/./b",
    "a//b",
    "a/",
    "a\0b",
    "a\nb",
    "\ud800",
    "a?versionId=1",
]


def test_a_key_may_hold_any_sign_that_is_no_control_character(store_uri: str):
    store = Store.open(store_uri)
    objects = {key: key.encode() for key in ODD_KEYS}
    store.write_many(objects)
    assert keys_of(store) == sorted(objects)
    assert store.read_many(ODD_KEYS) == objects
    for key, data in objects.items():
        assert store.read(key) == data
        assert store.exists(key)
        assert store.create(key, data)
        assert not store.create(key, b"other")
        assert not store.exists(f"{key[:-1]}x")
        parent, _, name = key.rpartition("/")
        if parent:
            assert store.child(parent).read(name) == data
            assert keys_of(store, parent) == [key]
    assert store.list_folders() == sorted({key.split("/")[0] for key in objects if "/" in key})
    store.delete_many(ODD_KEYS[1:])
    assert keys_of(store) == ODD_KEYS[:1]


def test_a_pattern_matches_nothing(store_uri: str):
    store = Store.open(store_uri)
    store.write_many({"a": b"1", "b": b"2"})
    assert isinstance(store.read_many(["*", "[ab]"])["*"], FileNotFoundError)
    assert keys_of(store, "*") == []
    store.delete_many(["*", "?", "[ab]"])
    assert keys_of(store) == ["a", "b"]


@pytest.mark.parametrize("key", UNFIT_KEYS)
@pytest.mark.parametrize("kind", ["local", "memory"])
def test_no_key_leads_out_of_the_store(tmp_path: Path, kind: str, key: str):
    outside = tmp_path / "x"
    outside.write_text("secret")
    store = Store.open(str(tmp_path / "store") if kind == "local" else "memory://unfit")
    refused: list[Callable[[], object]] = [
        lambda: store.read(key),
        lambda: store.write(key, b"1"),
        lambda: store.create(key, b"1"),
        lambda: store.write_many({"good": b"", key: b"1"}),
        lambda: store.delete_many(["good", key]),
        lambda: store.exists(key),
        lambda: store.uri_of(key),
        lambda: store.child(key),
    ]
    if key not in ("", "a/"):  # these name folders
        refused += [lambda: store.list(key), lambda: store.list_folders(key)]
    for call in refused:
        with pytest.raises(ConfigError, match="found"):
            call()
    assert isinstance(store.read_many([key])[key], ConfigError)
    assert store.list() == []
    assert outside.read_text() == "secret"


_parts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="/\ufffe\uffff"), min_size=1, max_size=40
).filter(lambda part: part not in (".", "..") and "?versionId=" not in part)
_keys = st.lists(_parts, min_size=1, max_size=5).map("/".join)
_objects = st.dictionaries(_keys, st.binary(max_size=50), max_size=8).map(
    lambda objects: {
        key: data for key, data in objects.items() if not any(other.startswith(f"{key}/") for other in objects)
    }
)
_numbers = itertools.count()


@pytest.mark.parametrize("kind", ["local", "memory"])
@given(objects=_objects, dropped=st.sets(st.integers(0, 7)))
@settings(max_examples=80)
def test_a_store_behaves_like_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, kind: str, objects: dict[str, bytes], dropped: set[int]
):
    root = str(tmp_path_factory.getbasetemp() / "dictionaries") if kind == "local" else "memory://dictionaries"
    store = Store.open(root).child(str(next(_numbers)))
    store.write_many(objects)
    visible = {key: data for key, data in objects.items() if not any(part[0] == "." for part in key.split("/"))}
    assert {stored.key: stored.size for stored in store.list()} == {key: len(data) for key, data in visible.items()}
    assert keys_of(store) == sorted(visible)
    assert store.read_many(list(objects)) == objects
    folders = {key.split("/")[0] for key in objects if "/" in key}
    assert store.list_folders() == sorted(name for name in folders if name[0] != ".")
    gone = {key for number, key in enumerate(objects) if number in dropped}
    store.delete_many(list(gone))
    assert keys_of(store) == sorted(visible.keys() - gone)


@given(key=st.text(st.sampled_from("./\\ a\0\n"), max_size=12) | st.text(max_size=12))
@settings(max_examples=300)
def test_any_text_is_refused_or_stays_below_the_store(key: str):
    store = Store.open("/some/store")
    try:
        path = store.uri_of(key)
    except ConfigError:
        return
    assert os.path.normpath(path) == path
    assert path.startswith("/some/store/")


@pytest.mark.parametrize("key", ["a\\b", "..\\x", "c:x", "c:/x", "a:stream", ".. /x", "a/. ./x", "a/...", " "])
def test_what_windows_would_lead_elsewhere_is_no_key_there(key: str):
    assert find_fault(key, is_windows=True) is not None
    assert find_fault(key, is_windows=False) is None


def test_other_keys_are_keys_on_windows_too():
    for key in ("a.jpg", "a b/..c", "a./b", ".hidden", "été/日本.png"):
        assert find_fault(key, is_windows=True) is None


def test_a_local_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Store.open("a/../b/").uri == str(tmp_path / "b")
    assert Store.open("~/a").uri == str(tmp_path / "home" / "a")
    assert Store.open(f"file://{tmp_path}/a").uri == str(tmp_path / "a")
    assert Store.open("/").uri_of("a") == "/a"


def test_a_uri_is_taken_to_one_form():
    assert Store.open("s3://bucket").uri == Store.open("s3://bucket/").uri == "s3://bucket"
    assert Store.open("s3a://bucket/a b/").uri == "s3://bucket/a b"
    assert Store.open("memory://a/b/").uri == "memory://a/b"
    assert Store.open("memory://").uri_of("a") == "memory://a"


@pytest.mark.parametrize(
    "uri",
    ["", "s3://", "s3:///", "s3://bucket/../other", "s3://bucket//a", "nonsense://a", "zip://a::s3://b/c", "a\0b"],
)
def test_a_uri_that_names_no_folder_is_refused(uri: str):
    with pytest.raises(ConfigError, match="expected"):
        Store.open(uri)
