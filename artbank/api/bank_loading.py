"""Read a bank that was saved as a file."""

from __future__ import annotations

import os
from typing import Unpack

from artbank.api.bank_file import unpack_bank
from artbank.api.places import place_text
from artbank.api.settings import ModelSettings, read_models
from artbank.api.trained_bank import TrainedBank
from artbank.errors import ConfigError
from artbank.store.places import open_file


def load_bank(path: str | os.PathLike[str], **settings: Unpack[ModelSettings]) -> TrainedBank:
    """Read a bank that `TrainedBank.save` wrote.

    Args:
        path: Path or URI of the file.
        settings: Base model, device and precision to draw with; by default those of a run on this machine, with the
            base model that the bank was trained on.

    Raises:
        BankError: It is no such file, or is damaged.
        ConfigError: A setting is unknown or wrong, or the path is that of a folder.
        OSError: The file cannot be read.
    """
    read_models(settings, "load_bank")
    where = place_text(path, "the file of a bank")
    store, name = open_file(where)
    try:
        data = store.read(name)
    except IsADirectoryError as error:
        raise ConfigError(
            f"expected the file of a bank, found the folder {where}; banks of a store are in "
            "artbank.open_store(STORE)[NAME]"
        ) from error
    record, files = unpack_bank(data, where)
    return TrainedBank(record, files, read_models(settings, "load_bank", record.base_model))
