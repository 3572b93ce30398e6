from __future__ import annotations

import pytest

from artbank.store.delivered import require, require_all
from artbank.store.objects import Store


def test_the_first_object_that_is_not_there_is_told_and_the_bytes_of_others_are_returned(store_uri: str) -> None:
    store = Store.open(store_uri)
    store.write_many({"a": b"1", "b": b"22"})
    assert require_all(store.read_many(["b", "a"])) == {"a": b"1", "b": b"22"}
    found = store.read_many(["a", "gone"])
    assert require(found["a"]) == b"1"
    for call in (lambda: require(found["gone"]), lambda: require_all(found)):
        with pytest.raises(FileNotFoundError, match="gone"):
            call()
