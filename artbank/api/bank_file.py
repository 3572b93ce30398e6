"""A bank with all its files as one file: a zip without compression, read as untrusted input.

It holds the files that a store keeps of a bank, and `row.parquet`, the bank's row of the catalog.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping

from artbank.catalog.bank_files import BANK, REFERENCE, is_kept_file
from artbank.catalog.rows import parse_row
from artbank.errors import BankError, CatalogError
from artbank.records.bank_records import BankRecord
from artbank.runtime.collection_ids import SAFE_NAME
from artbank.runtime.hashing import full_hash
from artbank.store.parquet import table_bytes

_ROW = "row.parquet"
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # equal banks have equal files
_MOST_BYTES = 256 * 2**20
_SAFETENSORS = b'{"'  # begins its header, behind 8 bytes with the length
_BANK_ID = re.compile(r"[0-9a-f]{16}")


def pack_bank(record: BankRecord, files: Mapping[str, bytes]) -> bytes:
    """Return a bank as the content of one file.

    Args:
        record: Its row.
        files: Its files by name, see `bank_files.read_files`.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {_ROW: table_bytes(BankRecord.to_table([record])), **files}.items():
            archive.writestr(zipfile.ZipInfo(name, _FIRST_DAY), data)
    return packed.getvalue()


def unpack_bank(data: bytes, where: str) -> tuple[BankRecord, dict[str, bytes]]:
    """Return the row and the files of a packed bank.

    Args:
        data: From `pack_bank`.
        where: Its place, for the error.

    Raises:
        BankError: It is no such file, or is damaged.
    """
    try:
        files = dict(_read(data))
        record = parse_row(BankRecord, files.pop(_ROW), _ROW)
        if not re.match(SAFE_NAME, record.collection) or not _BANK_ID.fullmatch(record.bank_id):
            raise ValueError("its row names no bank")
        if REFERENCE not in files or full_hash(files[BANK]) != record.weights_sha256:
            raise ValueError("its weights or its reference are not those that were saved")
    except KeyError as error:
        raise _damaged(where, f"it has no {error.args[0]}") from error
    except zipfile.BadZipFile as error:
        raise _explain_other_file(data, where) from error
    except (ValueError, CatalogError, OSError, NotImplementedError) as error:
        raise _damaged(where, str(error)) from error
    return record, files


def _read(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each file; all together are no larger than the archive."""
    if len(data) > _MOST_BYTES:
        raise ValueError(f"it has {len(data):,} bytes, more than {_MOST_BYTES:,}")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        left = len(data)
        for entry in archive.infolist():
            if entry.filename != _ROW and not is_kept_file(entry.filename):
                raise ValueError(f"it holds {entry.filename!r}, which belongs to no bank")
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > left:
                raise ValueError(f"{entry.filename} in it is compressed")
            left -= entry.file_size
            yield entry.filename, archive.read(entry)


def _damaged(where: str, found: str) -> BankError:
    return BankError(f"{where} should be a bank that `save` wrote, but {found}; save it again, or fetch it again")


def _explain_other_file(data: bytes, where: str) -> BankError:
    if data[8:10] != _SAFETENSORS:
        return _damaged(where, "it is no such file")
    return BankError(
        f"{where} should be a bank that `save` wrote, but it is a safetensors file, as `artbank export` writes for "
        "other programs; take the bank from its store, artbank.open_store(STORE)[NAME]"
    )
