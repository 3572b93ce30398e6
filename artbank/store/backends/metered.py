"""Any backend, counted: what a process asks of its stores, for its metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from artbank.runtime.telemetry import count_objects, counting_objects
from artbank.store.backends.backend import Backend, Found


@dataclass(frozen=True)
class MeteredBackend:
    """Hands everything on to another backend; see `metrics` for where the counts go."""

    inner: Backend

    def below(self, folder: str) -> Backend:
        """Return the same of a folder below this one."""
        return MeteredBackend(self.inner.below(folder))

    def walk(self, prefix: str) -> Iterator[Found]:
        """List everything below `prefix`; a listing counts as one object."""
        with counting_objects("list"):
            yield from self.inner.walk(prefix)

    def list_leftovers(self, folders: Iterable[str] | None = None) -> Iterable[Found]:
        """List the hidden files of writes that were cut off or are under way."""
        return self.inner.list_leftovers(folders)

    def list_folders(self, prefix: str) -> Iterable[str]:
        """List the names of the folders one level below `prefix`."""
        with counting_objects("list"):
            return self.inner.list_folders(prefix)

    def exists(self, key: str) -> bool:
        """Say whether there is an object of that name."""
        with counting_objects("exists"):
            return self.inner.exists(key)

    def read_many(self, keys: Sequence[str]) -> dict[str, bytes | Exception]:
        """Read several objects; one that is not there is no error of the store's."""
        outcomes = self.inner.read_many(keys)
        errors = (outcome for outcome in outcomes.values() if isinstance(outcome, Exception))
        lost = sum(not isinstance(error, FileNotFoundError) for error in errors)
        count_objects("read", len(keys), num_errors=lost)
        return outcomes

    def hash_many(self, keys: Sequence[str]) -> dict[str, str | Exception]:
        """Return the SHA-256, hex, of several objects."""
        with counting_objects("read", len(keys)):
            return self.inner.hash_many(keys)

    def write_many(self, objects: Mapping[str, bytes]) -> None:
        """Write several objects."""
        with counting_objects("write", len(objects)):
            self.inner.write_many(objects)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object where there is none."""
        with counting_objects("create"):
            return self.inner.create(key, data)

    def delete_many(self, keys: Sequence[str]) -> None:
        """Delete several objects."""
        with counting_objects("delete", len(keys)):
            self.inner.delete_many(keys)

    def delete_versions(self, key: str) -> bool | None:
        """Delete an object with all that a store keeps of older writes to it."""
        with counting_objects("delete"):
            return self.inner.delete_versions(key)
