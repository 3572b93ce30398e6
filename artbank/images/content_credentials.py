"""Sign pictures with C2PA (Content Credentials), through c2pa-python of the extra `c2pa`.

A signature holds a random number and the hash of the file: a signed picture has other bytes each time. The key stays in
this process; no error, log or row quotes it.

Source: C2PA specification 2.x, "Actions" and "Digital signatures"; c2pa-python's settings.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
from pathlib import Path
from typing import Any, Self

from PIL import Image

from artbank.errors import ConfigError, ImageError
from artbank.images.xmp_packets import COMPOSITE, SOURCE_TYPES

_MEDIA_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
_EC_ALGORITHMS = {256: "es256", 384: "es384", 521: "es512"}
_SETTINGS = {
    "builder": {"thumbnail": {"enabled": False}},  # of 150 to 700 kB, in each file
    "verify": {"remote_manifest_fetch": False},
}


class CredentialSigner:
    """Signs pictures with one certificate."""

    def __init__(self, signer: Any):
        """Wrap a signer of c2pa-python; `open` makes one."""
        self._c2pa = _import_c2pa()
        self._signer = signer
        self._context = self._c2pa.Context.from_dict(_SETTINGS)

    @classmethod
    def open(cls, certificate: Path, key: Path, timestamp_url: str | None = None) -> Self:
        """Read a certificate and its key.

        Args:
            certificate: PEM file with the certificate, and those that lead to its root.
            key: PEM file with the unencrypted private key: EC (P-256, P-384, P-521), RSA or Ed25519.
            timestamp_url: Address of a time stamp authority (RFC 3161), which gets a hash of each signature; None for
                no time stamp.

        Raises:
            ConfigError: c2pa-python is missing, a file cannot be read, or key and certificate cannot sign.
        """
        c2pa = _import_c2pa()
        secret = _read(key, "key")
        facts: dict[str, Any] = {
            "alg": _find_algorithm(secret, key).encode(),
            "sign_cert": _read(certificate, "certificate"),
            "private_key": secret,
            "ta_url": timestamp_url.encode() if timestamp_url else None,
        }
        try:
            signer = cls(c2pa.Signer.from_info(c2pa.C2paSignerInfo(**facts)))
            signer.sign(_draw_trial(), ".png", "trial")
        except Exception:  # the library's own types, whose texts may quote the key
            raise ConfigError(
                f"expected a certificate chain in {certificate} that {key} can sign with, as C2PA asks for "
                "(extended key usage, key identifiers), found another; test both with c2patool"
            ) from None
        return signer

    def sign(self, data: bytes, suffix: str, title: str) -> bytes:
        """Return a picture with a signed manifest: a model made it from a photo.

        Args:
            data: The picture's file.
            suffix: Its suffix, one of `suffixes.WRITTEN_SUFFIXES`.
            title: Its name, which the manifest quotes.

        Raises:
            ImageError: It cannot be signed.
        """
        signed = io.BytesIO()
        try:
            with self._c2pa.Builder(_manifest(title), self._context) as builder:
                builder.sign(self._signer, _MEDIA_TYPES[suffix.lower()], io.BytesIO(data), signed)
        except Exception as error:  # the library's own types
            raise ImageError(f"C2PA cannot sign it ({type(error).__name__.strip('_')})") from None
        return signed.getvalue()


def _draw_trial() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    return file.getvalue()


def _manifest(title: str) -> dict[str, Any]:
    action = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPES + COMPOSITE}
    return {
        "claim_generator_info": [{"name": "artbank"}],
        "title": title,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }


def _import_c2pa() -> Any:
    if importlib.util.find_spec("c2pa") is None:
        raise ConfigError("expected c2pa-python to sign pictures, found none; install the extra artbank[c2pa]")
    return importlib.import_module("c2pa")


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"expected a {what} in {path}, but it cannot be read: {error.strerror}") from None


def _find_algorithm(secret: bytes, path: Path) -> str:
    """Return C2PA's name of the algorithm that a private key signs with."""
    serialization: Any = importlib.import_module("cryptography.hazmat.primitives.serialization")
    try:
        key = serialization.load_pem_private_key(secret, password=None)
    except Exception:  # whatever it says may quote the key
        raise ConfigError(
            f"expected an unencrypted private key in PEM in {path}, found other bytes; convert it with openssl pkey"
        ) from None
    kind = type(key).__name__
    name = {"RSAPrivateKey": "ps256", "Ed25519PrivateKey": "ed25519"}.get(kind.strip("_"))
    name = name or _EC_ALGORITHMS.get(getattr(key, "key_size", 0))
    if name is None:
        raise ConfigError(f"expected an EC, RSA or Ed25519 key in {path}, found another; C2PA signs with these")
    return name
