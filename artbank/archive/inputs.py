"""Check that the inputs of a run over an archive are there, apart from its output, and as whole as in the last run."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Sequence

import pyarrow as pa

from artbank.archive.photo_captions import add_captions
from artbank.archive.stores import RunStores
from artbank.archive.styles import StyleChoice
from artbank.catalog import store_places
from artbank.catalog.store_places import check_apart_from_output, check_has_banks
from artbank.config import StylizeConfig
from artbank.errors import ConfigError
from artbank.images.suffixes import WRITTEN_SUFFIXES
from artbank.parameters.skip_rules import is_packed
from artbank.results import archive_listing
from artbank.runtime.counts import number_text
from artbank.store.etags import StoredObject
from artbank.store.objects import Store
from artbank.store.places import check_apart, check_there, nothing_there, unpack
from artbank.store.skipped import SkippedFiles, count_skipped, find_packed, warn_of_skipped

_EXPECTED = "photos"


def check_places(stores: RunStores) -> None:
    """Check that archive and banks are there, and that archive, output and store lie outside of each other.

    Raises:
        ConfigError: They do not.
        OSError: A store failed.
    """
    _check_is_no_picture(stores.output)
    check_apart({"archive": stores.archive}, {"output": stores.output, "store": stores.banks})
    _check_archive(stores.archive)
    check_has_banks(stores.banks)
    check_apart_from_output(stores.banks, stores.output)


def _check_archive(archive: Store) -> None:
    """Check that there is an archive; people name one photo for a first try."""
    try:
        check_there(archive, _EXPECTED)
    except ConfigError as error:
        folder, _, name = archive.uri.rpartition("/")
        if folder.endswith("/") or not _is_file(folder, name):  # a bucket alone is no file
            raise
        if is_packed(name):
            raise unpack(archive) from error
        raise ConfigError(
            f"{archive.uri} is a file, expected a folder of {_EXPECTED}; to redraw this one alone, name its folder "
            f"{folder} and add --include {shlex.quote(glob.escape(name))}"
        ) from error


def _is_file(folder: str, name: str) -> bool:
    try:
        return Store.open(folder).exists(name)
    except NotADirectoryError:  # the archive lies below a file
        return False


def _check_is_no_picture(output: Store) -> None:
    """Check that a new output does not have the name of a picture."""
    if output.uri.lower().endswith(WRITTEN_SUFFIXES) and not output.has_objects():
        raise ConfigError(f"{output.uri} is the name of a picture, expected a folder for all of them; name a folder")


def check_outside_galleries(output: Store, styles: Sequence[StyleChoice]) -> None:
    """Check that the output lies outside of the galleries of the styles, whose next training would learn from it.

    Raises:
        ConfigError: It does not.
    """
    store_places.check_outside_galleries(output, "output", (bank for style in styles for bank, _ in style.banks))


def list_photos(
    config: StylizeConfig, stores: RunStores, skipped: SkippedFiles, captions: list[StoredObject] | None = None
) -> pa.Table:
    """List the photos of an archive: key, size, etag. Logs what may be photos and is skipped.

    Args:
        config: The configuration of the run.
        stores: Its stores.
        skipped: Collects what is no photo, and what cannot be listed.
        captions: Collects the files that may hold captions, see `archive_listing.list_archive`.

    Raises:
        ConfigError: There is no photo.
        OSError: The store failed.
    """
    archive = stores.archive
    photos = archive_listing.list_archive(
        archive, config.skip, checksum=config.checksum, skipped=skipped, captions=captions
    )
    warn_of_skipped(archive.uri, skipped.kinds())
    if len(photos):
        return photos
    for stored in captions or ():
        skipped.add("no_photo", stored.key)
    if not skipped.kinds():
        raise nothing_there(archive, _EXPECTED)
    found = ", ".join(f"{kind.kind} ({kind.names[0]})" for kind in skipped.kinds())
    files = number_text(count_skipped(skipped.kinds()), "file")
    packed = find_packed(skipped.kinds())
    to_do = f"unpack {packed}: photos inside of a file are not read" if packed else "correct its name, or --skip"
    raise ConfigError(f"expected {_EXPECTED} in {archive.uri}, found nothing but {files} to skip: {found}; {to_do}")


def read_captions(
    config: StylizeConfig,
    stores: RunStores,
    selected: pa.Table,
    photos: pa.Table,
    files: Sequence[StoredObject],
    skipped: SkippedFiles,
) -> pa.Table:
    """Return the selected photos with their captions, if the recipe has `photo_captions`; see `add_captions`."""
    if not config.recipe.photo_captions:
        return selected
    return add_captions(stores.archive, selected, photos, files, max_bytes=config.max_bytes, skipped=skipped)


def select_photos(config: StylizeConfig, photos: pa.Table) -> pa.Table:
    """Return the photos that `include` and `exclude` select.

    Raises:
        ConfigError: They select none.
    """
    selected = archive_listing.filter_by_globs(photos, include=config.include, exclude=config.exclude)
    if not len(selected):
        globs = [*(f"--include {glob}" for glob in config.include), *(f"--exclude {glob}" for glob in config.exclude)]
        raise ConfigError(
            f"{' '.join(globs)}: none of the {len(photos):,} photos in {config.archive_uri} is left, such as "
            f"{photos['key'][0].as_py()}; correct the globs"
        )
    return selected
