"""Where a base model's files come from, as a checked local folder: the embedded default, a folder, a store, a hub."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artbank.errors import BaseModelError
from artbank.mini import WEIGHTS
from artbank.store.objects import Store, StoredObject

logger = logging.getLogger(__name__)

MINI = "mini"
_PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
_CONFIGS = (
    "unet/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "tokenizer/tokenizer_config.json",
    "scheduler/scheduler_config.json",
)
_WEIGHTS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
}
_SUFFIXES = (".json", ".txt", ".safetensors")  # never pickles, never code
FETCHED = [f"{part}/*{suffix}" for part in _PARTS for suffix in _SUFFIXES]
"""What is taken of a repository on the hub, as patterns."""


def fetch_base_model(source: str, revision: str | None = None) -> Path:
    """Return the local folder of a Stable Diffusion in diffusers' layout, fetching it where it is elsewhere.

    Args:
        source: `mini`, a local folder, a store URI such as `s3://models/sd15`, or a hub id such as `owner/name`.
        revision: Commit, tag or branch of a hub id.

    Raises:
        BaseModelError: There is no such model, or its folder lacks a part.
        OSError: The store or the hub failed.
    """
    folder = _locate(source, revision)
    check(folder)
    return folder


def check(folder: Path) -> None:
    """Check that a folder holds every part of a Stable Diffusion, with safetensors weights.

    Raises:
        BaseModelError: Names what is missing, or what is no safetensors.
    """
    for part in _WEIGHTS:
        check_shards(folder / part)
    missing = [name for name in _CONFIGS if not (folder / name).is_file()]
    missing += [f"{part}/{stem}.safetensors" for part, stem in _WEIGHTS.items() if not _weights(folder / part, stem)]
    missing += _missing_shards(folder)
    if not missing:
        return
    pickled = any(folder.glob("*/*.bin")) or any(folder.glob("*.ckpt"))
    advice = "; its weights are pickles, which are never loaded: convert them to safetensors" if pickled else ""
    if (folder / "text_encoder_2").is_dir():
        advice += "; it looks like an SDXL, of which only Stable Diffusion 1.x and 2.x shapes are taken"
    raise BaseModelError(
        f"base model folder {folder} lacks {', '.join(missing)}; "
        f"expected a Stable Diffusion in diffusers' layout{advice}"
    )


def check_shards(folder: Path) -> None:
    """Check that weights in several files are safetensors, all beside their index.

    What an index names is opened by its suffix, as a pickle too, although safetensors were asked for.

    Raises:
        BaseModelError: They are not, or an index cannot be read.
    """
    for index in folder.glob("*.safetensors.index*.json"):
        try:
            names = {str(name) for name in json.loads(index.read_text("utf-8"))["weight_map"].values()}
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise BaseModelError(f"{index} cannot be loaded: expected a map of weights, found {error!r}") from error
        if odd := sorted(name for name in names if "/" in name or "\\" in name or not name.endswith(".safetensors")):
            raise BaseModelError(
                f"{index} names {odd[0]}; expected safetensors files beside it, for pickles are never loaded"
            )


def _missing_shards(folder: Path) -> list[str]:
    """Return the files that the indices of the weights which would be loaded name, and which are not there."""
    chosen = variant(folder)
    missing = []
    for part, stem in _WEIGHTS.items():
        index = folder / part / f"{stem}.safetensors.index{f'.{chosen}' if chosen else ''}.json"
        single = folder / part / f"{stem}{f'.{chosen}' if chosen else ''}.safetensors"
        if index.is_file() and not single.is_file():
            names = {str(name) for name in json.loads(index.read_text("utf-8"))["weight_map"].values()}
            missing += [f"{part}/{name}" for name in sorted(names) if not (folder / part / name).is_file()]
    return missing


def hash_base_model(folder: Path) -> str:
    """Return the SHA-256, hex, over the names and contents of the files that are loaded from a base model's folder."""
    total = hashlib.sha256()
    for path in _loaded_files(folder):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()} {digest}\n".encode())
    return total.hexdigest()


def variant(folder: Path) -> str | None:
    """Return diffusers' variant of the weights in a folder: None for plain names, else such as `fp16`."""
    if all(_weights(folder / part, stem, plain=True) for part, stem in _WEIGHTS.items()):
        return None
    names = sorted(path.name for path in (folder / "unet").glob(f"{_WEIGHTS['unet']}.*.safetensors"))
    return names[0].split(".")[1].split("-")[0] if names else None  # a shard is called stem.fp16-00001-of-00002


def _weights(part: Path, stem: str, *, plain: bool = False) -> list[Path]:
    found = [*part.glob(f"{stem}.safetensors"), *part.glob(f"{stem}-*.safetensors")]
    return found if plain else [*found, *part.glob(f"{stem}.*.safetensors")]


def weight_files(folder: Path) -> dict[str, list[Path]]:
    """Return the files of the weights that are loaded from a base model's folder, by part."""
    chosen = variant(folder)
    return {
        part: sorted(
            _weights(folder / part, stem, plain=True)
            if chosen is None
            else (folder / part).glob(f"{stem}.{chosen}*.safetensors")
        )
        for part, stem in _WEIGHTS.items()
    }


def _loaded_files(folder: Path) -> list[Path]:
    files = [path for part in _PARTS for path in (folder / part).glob("*") if path.suffix in (".json", ".txt")]
    return sorted([*files, *(path for paths in weight_files(folder).values() for path in paths)])


def find_local(source: str, revision: str | None = None) -> Path | None:
    """Return the folder of a base model that is on this machine already, checked by nobody; None where it is not.

    Of a store URI the store is asked for its listing, of a hub id nobody is asked.

    Raises:
        BaseModelError: The source is neither folder, store URI nor hub id.
        OSError: The store failed.
    """
    if "://" not in source:
        with contextlib.suppress(BaseModelError):
            return _locate(source, revision, local_files_only=True)
        _check_id(source)
        return None
    copy = plan_local_copy(source)
    return copy.folder if copy.is_there() else None


def _locate(source: str, revision: str | None, *, local_files_only: bool = False) -> Path:
    if source == MINI:
        return WEIGHTS
    if Path(source).expanduser().is_dir():
        return Path(source).expanduser().resolve()
    if "://" in source:
        return _fetch(source)
    _check_id(source)
    return _download(source, revision, local_files_only=local_files_only)


def _check_id(source: str) -> None:
    if source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise BaseModelError(
            f"base model {source!r} is no folder; expected 'mini', a folder, a store URI or a hub id owner/name"
        )


def _download(source: str, revision: str | None, *, local_files_only: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    options: Any = {"allow_patterns": FETCHED, "local_files_only": local_files_only}
    try:
        return Path(snapshot_download(source, revision=revision, **options))
    except LocalEntryNotFoundError as error:
        raise BaseModelError(
            f"base model {source!r} is no folder here, and the hub cannot be reached; pass a folder or a store URI"
        ) from error
    except HfHubHTTPError as error:
        raise BaseModelError(f"the hub has no base model {source!r} at revision {revision or 'main'}") from error


def cache_folder() -> Path:
    """Return where fetched models are kept: `$ARTBANK_CACHE`, else `~/.cache/artbank`."""
    return Path(os.environ.get("ARTBANK_CACHE") or Path.home() / ".cache/artbank")


@dataclass(frozen=True)
class LocalCopy:
    """A base model in a store, and its copy on this machine.

    Attributes:
        store: Where it comes from.
        wanted: What is loaded of it.
        folder: Where the copy is, or would be.
    """

    store: Store
    wanted: list[StoredObject]
    folder: Path

    @property
    def checksum_file(self) -> Path:
        """The file with the hash of the copy."""
        return self.folder.with_name(f"{self.folder.name}.sha256")

    def is_there(self) -> bool:
        """Say whether the copy is here with the bytes that came."""
        return (
            self.folder.is_dir()
            and self.checksum_file.is_file()
            and self.checksum_file.read_text() == hash_base_model(self.folder)
        )


def plan_local_copy(uri: str) -> LocalCopy:
    """Look what there is of a base model in a store.

    Raises:
        BaseModelError: There is none.
        OSError: The store failed.
    """
    store = Store.open(uri)
    wanted = [o for o in store.list() if Path(o.key).suffix in _SUFFIXES and o.key.split("/")[0] in _PARTS]
    if not wanted:
        raise BaseModelError(f"there is no base model at {uri}; expected a Stable Diffusion in diffusers' layout")
    listing = json.dumps([(o.key, o.size, o.etag) for o in wanted])
    name = hashlib.sha256(f"{store.uri} {listing}".encode()).hexdigest()[:16]
    return LocalCopy(store, wanted, cache_folder() / "models" / name)


def _fetch(uri: str) -> Path:
    """Copy a base model out of a store once; a copy whose bytes are no longer those that came is fetched anew."""
    copy = plan_local_copy(uri)
    target = copy.folder
    if copy.is_there():
        return target
    logger.info("fetching base model %s to %s", uri, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        partial = Path(scratch) / target.name
        for stored in copy.wanted:
            path = partial / stored.key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(copy.store.read(stored.key))
        check(partial)
        digest = hash_base_model(partial)
        shutil.rmtree(target, ignore_errors=True)
        with contextlib.suppress(OSError):  # another process has just put the same files there
            partial.replace(target)
    copy.checksum_file.write_text(digest)
    return target
