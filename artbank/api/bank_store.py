"""A store of banks as a mapping from names to banks: what `artbank.open_store` returns."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Unpack

from artbank.api import notebook_html
from artbank.api.places import place_text
from artbank.api.settings import ModelSettings, read_models
from artbank.api.style_mix import StyleMix
from artbank.api.trained_bank import TrainedBank
from artbank.catalog.catalog import Catalog
from artbank.catalog.store_places import check_has_banks
from artbank.errors import CatalogError, ConfigError
from artbank.records.bank_records import BankRecord
from artbank.report.markdown import share_text
from artbank.runtime.style_names import parse_style, style_folder
from artbank.store.objects import Store


class BankStore:
    """The registered banks of a store; each access reads its catalog, so banks of other runs appear at once.

    `store["monet"]` is the default version of a collection, `store["monet@2"]` another one; the collection is named as
    its folder was, or by its id. `mix` returns a mix of them. Iterating yields all names with their versions.

    Attributes:
        uri: The folder or URI of the store.
    """

    def __init__(self, store: Store, settings: Mapping[str, Any]):
        """Use `artbank.open_store` instead, which checks the store and the settings."""
        self.uri = store.uri
        self._store = store
        self._settings = settings

    def __getitem__(self, name: str) -> TrainedBank:
        """Read the bank with a name.

        Raises:
            ConfigError: It is no name, or a mix.
            CatalogError: There is no such bank; the message names those that there are.
            BankError: Its files are missing or damaged.
            OSError: The store failed.
        """
        record = self._find(name)
        config = read_models(self._settings, "open_store", record.base_model)
        return TrainedBank.fetch(self._store, record, config)

    def _find(self, name: object) -> BankRecord:
        if not isinstance(name, str) or not name:
            found = "an empty name" if name == "" else type(name).__name__
            raise ConfigError(f"expected the name of a bank, such as 'monet' or 'monet@2', found {found}")
        try:
            return Catalog(self._store).find(name)
        except CatalogError:  # names may have + and :
            if _is_mix(name):
                raise ConfigError(f"{name} is a mix; read it with store.mix({name!r})") from None
            raise

    def mix(self, style: str) -> StyleMix:
        """Read the banks of a mix.

        Args:
            style: Names with weights, such as `monet:0.7+hokusai:0.3`, as for `--style` of `artbank stylize`.

        Raises:
            ConfigError: It is malformed.
            CatalogError: There is no such bank; the message names those that there are.
            BankError: The files of a bank are missing or damaged.
            OSError: The store failed.
        """
        return StyleMix(style_folder(style), [(self[name], weight) for name, weight in parse_style(style)])

    def __contains__(self, name: object) -> bool:
        """Return whether a bank has a name."""
        try:
            return isinstance(name, str) and Catalog(self._store).find(name) is not None
        except CatalogError:
            return False

    def __iter__(self) -> Iterator[str]:
        """Yield the names of all versions of all banks, such as `monet@1`, retired ones too."""
        return (bank.name for bank in Catalog(self._store).banks())

    def __len__(self) -> int:
        """Return the number of banks."""
        return len(Catalog(self._store).banks())

    def __repr__(self) -> str:
        """Return the store and the names of its banks in one line."""
        return f"<BankStore {self.uri}: {', '.join(self) or 'no bank'}>"

    def _repr_html_(self) -> str:
        head = ("bank", "name", "status", "artworks", "steps", "style gain", "beyond colours", "base model")
        return notebook_html.table(head, map(_describe, Catalog(self._store).table().to_pylist()))

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)


def open_store(uri: str | os.PathLike[str], **settings: Unpack[ModelSettings]) -> BankStore:
    """Open a store of banks, such as `artbank train` fills.

    Args:
        uri: Folder or URI, such as `s3://museum/store`.
        settings: Base model, device and precision to draw with; by default those of a run on this machine, with the
            base model that each bank was trained on.

    Raises:
        ConfigError: Nothing is there, it is no store of banks, or a setting is unknown or wrong.
        OSError: The store failed.
    """
    read_models(settings, "open_store")
    store = Store.open(place_text(uri, "the place of a store"))
    check_has_banks(store)
    return BankStore(store, settings)


def _is_mix(name: str) -> bool:
    try:
        return len(parse_style(name)) > 1
    except ConfigError:
        return False


def _describe(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['collection']}@{row['version']}",
        row["display_name"] or row["collection"],
        row["status"],
        str(row["num_artworks"]),
        str(row["steps"]),
        share_text(row["clip_style_gain"]),
        share_text(row["gain_beyond_colours"]),
        row["base_model"],
    )
