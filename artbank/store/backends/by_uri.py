"""Pick the backend of a store by its URI."""

from __future__ import annotations

import os
import re
from pathlib import Path

from artbank.credentials import has_credentials, redact
from artbank.errors import ConfigError
from artbank.runtime.extras import require_extra
from artbank.store.backends.backend import Backend
from artbank.store.backends.fsspec import FsspecBackend
from artbank.store.backends.local import LocalBackend
from artbank.store.backends.s3 import S3Backend
from artbank.store.backends.web_addresses import PROTOCOLS, client_options
from artbank.store.keys import check_key

_ENDPOINT = re.compile(r"https?://[^\s/]+(/\S*)?")
_PROTOCOL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)")
_LOCAL = ("file", "local")
_ONE_SLASH = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(?!/)")  # as pathlib makes of a URI; a drive has one letter
_DRIVE = re.compile(r"([A-Za-z]):(?=[\\/])")
_SHARE = re.compile(r"\\\\[^\\/]+[\\/]+(?=[^\\/])")  # the server of a Windows share


def open_backend(uri: str, *, is_durable: bool) -> tuple[str, Backend]:
    """Return the normalised URI of a folder, and its backend; see `Store.open`.

    Raises:
        ConfigError: The URI names no folder, holds credentials, or has an unknown protocol.
    """
    if has_credentials(uri):
        raise ConfigError(
            f"{redact(uri)} holds credentials; remove them and set them in the environment, such as AWS_ACCESS_KEY_ID"
        )
    protocol, rest = uri.split("://", 1) if _PROTOCOL.match(uri) else ("file", uri)
    if protocol != protocol.lower():
        raise ConfigError(f"expected a protocol in lower case, found {uri}; write {protocol.lower()}://{rest}")
    if protocol in _LOCAL:
        return _open_local(rest, is_durable)
    if protocol in ("s3", "s3a"):
        return _open_s3(rest)
    return _open_fsspec(uri)


def _open_local(path: str, is_durable: bool) -> tuple[str, Backend]:
    if not path or "\0" in path:
        raise ConfigError(f"expected the path of a folder, found {path!r}; use `.` for the current folder")
    if (typed := _ONE_SLASH.match(path)) and not Path(f"{typed[1]}:").exists():
        rest = path[typed.end() :]
        meant = f"/{rest}" if typed[1] in _LOCAL else f"{typed[1]}://{rest}, with two slashes and not as a pathlib.Path"
        raise ConfigError(f"expected a path or a URI such as s3://bucket/folder, found {path}; write {meant}")
    if os.name == "posix" and (mounted := _find_mounted(path)) and not Path(path).exists():
        raise ConfigError(
            f"expected a path of this system, found {path}; write it as it is mounted here, such as {mounted} in WSL"
        )
    root = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - resolve() would follow links
    return str(root), LocalBackend(root, is_durable)


def _find_mounted(path: str) -> str | None:
    """Return where WSL usually has a path of a Windows drive or share; None for another path."""
    if drive := _DRIVE.match(path):
        return f"/mnt/{drive[1].lower()}{path[drive.end() :]}".replace("\\", "/")
    if share := _SHARE.match(path):
        return f"/mnt/{path[share.end() :]}".replace("\\", "/")
    return None


def _open_s3(path: str) -> tuple[str, Backend]:
    bucket, _, prefix = path.strip("/").partition("/")
    if not bucket:
        raise ConfigError("expected s3://bucket/folder, found no bucket; name one")
    require_extra("s3fs", "s3", f"s3://{bucket}")
    if prefix:
        check_key(prefix)
    return f"s3://{bucket}/{prefix}".rstrip("/"), S3Backend(bucket, prefix, _find_endpoint())


def _find_endpoint() -> str | None:
    """Return the address of the S3 server in the environment, if there is one.

    Raises:
        ConfigError: It is no address, which the client would only notice at its first request.
    """
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if url := os.environ.get(name):
            if not _ENDPOINT.fullmatch(url):
                shown_url = redact(url if "://" in url else f"//://{url}").removeprefix("//://")
                raise ConfigError(
                    f"{name}: expected an address such as http://host:9000, found {shown_url}; correct it"
                )
            return url
    return None


def _open_fsspec(uri: str) -> tuple[str, Backend]:
    import fsspec

    if "::" in uri:
        raise ConfigError(f"expected a single location, found the chain {uri}; unpack it first")
    options = client_options() if uri.partition("://")[0].lower() in PROTOCOLS else {}
    try:
        fs, path = fsspec.url_to_fs(uri, use_listings_cache=False, **options)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"expected a path, s3:// or a protocol of fsspec, found {uri}: {error}") from error
    protocol, _, rest = uri.partition("://")
    return f"{protocol}://{rest.rstrip('/')}", FsspecBackend(fs, path)
