"""Links below a store on disk: nothing is read, written, listed or deleted through them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from artbank.store.explanations import explain
from artbank.store.objects import Store
from artbank.store.transient_errors import is_transient

LINKED: dict[str, Callable[[Store], object]] = {
    "read": lambda store: store.read("folder/link/file"),
    "read a linked file": lambda store: store.read("folder/file link"),
    "write": lambda store: store.write("folder/link/new", b"ours"),
    "write many": lambda store: store.write_many({"fine": b"", "folder/link/deep/new": b"ours"}),
    "replace": lambda store: store.write("folder/link/file", b"ours"),
    "create": lambda store: store.create("folder/link/new", b"ours"),
    "create over a linked file": lambda store: store.create("folder/file link", b"ours"),
    "delete": lambda store: store.delete_many(["folder/link/file"]),
    "exists": lambda store: store.exists("folder/link/file"),
    "list": lambda store: store.list("folder/link"),
    "list files": lambda store: store.list_files("folder/link"),
    "list folders": lambda store: store.list_folders("folder/link"),
    "clean up": lambda store: store.delete_leftovers(["folder/link"]),
    "a child": lambda store: store.child("folder", "link").write("new", b"ours"),
    "a child's list": lambda store: store.child("folder/link").list(),
    "a child of a child": lambda store: store.child("folder").child("link").child("deep").list(),
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of somebody else, to which a store holds links."""
    folder = tmp_path / "outside"
    (folder / "deep").mkdir(parents=True)
    (folder / "file").write_bytes(b"theirs")
    (tmp_path / "store/folder").mkdir(parents=True)
    (tmp_path / "store/folder/link").symlink_to(folder)
    (tmp_path / "store/folder/file link").symlink_to(folder / "file")
    return folder


def paths_below(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*"))


@pytest.mark.parametrize("call", LINKED.values(), ids=LINKED.keys())
def test_nothing_goes_through_a_link(outside: Path, tmp_path: Path, call: Callable[[Store], object]) -> None:
    before = paths_below(outside)
    with pytest.raises(OSError, match="symbolic link") as caught:
        call(Store.open(str(tmp_path / "store")))
    assert not is_transient(caught.value)
    assert explain(caught.value).startswith(f"{tmp_path}/store/folder/") and "replace it by what it" in explain(
        caught.value
    )
    assert paths_below(outside) == before and (outside / "file").read_bytes() == b"theirs"


def test_a_link_with_the_name_of_an_object_is_replaced_or_deleted_itself(outside: Path, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"))
    assert not store.exists("folder/file link")
    store.write("folder/file link", b"ours")
    assert store.read("folder/file link") == b"ours"
    store.delete_many(["folder/link"])
    assert (outside / "file").read_bytes() == b"theirs" and not (tmp_path / "store/folder/link").exists()


def test_the_store_itself_may_be_a_link_and_lie_below_one(outside: Path, tmp_path: Path) -> None:
    (tmp_path / "above").symlink_to(tmp_path / "store")
    (outside / "deep/a.jpg").write_bytes(b"photo")
    store = Store.open(str(tmp_path / "above/folder/link"))
    store.child("deep").write("b.jpg", b"new")
    assert [stored.key for stored in store.list()] == ["deep/a.jpg", "deep/b.jpg", "file"]
    assert store.child("deep").read("a.jpg") == b"photo"
