"""Signed copies of pictures, with certificates made here; the tests that sign need the extra `c2pa`."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

from artbank.errors import ConfigError
from artbank.images.codec import Picture, encode
from artbank.images.content_credentials import CredentialSigner
from artbank.images.file_metadata import is_marked, mark_only
from artbank.images.xmp_packets import COMPOSITE
from artbank.records.photo_records import Result
from artbank.results.containers import PackedPicture, pack
from artbank.results.layout import RESULTS
from artbank.results.signed_copies import sign_output
from artbank.store.objects import Store
from artbank.store.parquet import table_bytes
from tests.support.image_files import draw
from tests.support.rows import result

needs_c2pa = pytest.mark.skipif(importlib.util.find_spec("c2pa") is None, reason="the extra c2pa is not installed")
KEYS = {"ec": lambda: ec.generate_private_key(ec.SECP384R1()), "ed25519": ed25519.Ed25519PrivateKey.generate}
TAR = "monet/0123456789abcdef-00000.tar"


def certify(subject: str, key: Any, issuer: tuple[x509.Certificate, Any] | None = None) -> x509.Certificate:
    """Return a certificate of a key, as C2PA asks for; without an issuer that of a root."""
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, subject), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Museum")]
    )
    signing_key = issuer[1] if issuer else key
    now = datetime.now(UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only")
    )
    usage |= {"decipher_only": None, "digital_signature": issuer, "key_cert_sign": not issuer, "crl_sign": not issuer}
    builder = (
        x509.CertificateBuilder(name if issuer is None else issuer[0].subject, name, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{name: bool(value) for name, value in usage.items()}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
    )
    if issuer is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    return builder.sign(signing_key, hashes.SHA256())


def write_credentials(folder: Path, key: Any) -> tuple[Path, Path]:
    """Write a certificate with its chain, and its key; returns their files."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = certify("Root", root_key)
    chain = [certify("Signer", key, (root, root_key)), root]
    certificate_file, key_file = folder / "chain.pem", folder / "key.pem"
    certificate_file.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain))
    form = serialization.PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return certificate_file, key_file


@pytest.fixture
def output(tmp_path: Path) -> Store:
    """Three pictures in files, and one in a container."""
    store = Store.open(str(tmp_path / "output"))
    rgb = np.asarray(draw(width_px=64, height_px=48))
    files = {
        f"monet/{key}": encode(Picture(rgb), key[1:], quality=90, metadata=mark_only())
        for key in ("a.jpg", "b.png", "c.webp")
    }
    rows = [row_of(name.partition("/")[2], name, data) for name, data in files.items()]
    packed = encode(Picture(rgb[::-1]), ".jpg", quality=90, metadata=mark_only())
    rows.append(row_of("d.jpg", TAR, packed))
    files[TAR] = pack(TAR, [PackedPicture.from_row(rows[-1], "d.jpg", packed)])
    store.write_many({**files, RESULTS: table_bytes(Result.to_table(rows))})
    return store


def row_of(key: str, name: str, data: bytes) -> Result:
    return result(key, "monet", file_name=name, file_size=len(data), file_sha256=hashlib.sha256(data).hexdigest())


def manifest_of(data: bytes, kind: str) -> dict[str, Any]:
    import c2pa  # pyright: ignore[reportMissingImports]

    with c2pa.Reader(f"image/{kind}", io.BytesIO(data)) as reader:
        return json.loads(reader.json())


@needs_c2pa
@pytest.mark.parametrize("kind", KEYS)
def test_every_picture_gets_a_signed_copy_and_the_output_stays_as_it_is(
    output: Store, tmp_path: Path, kind: str
) -> None:
    target = Store.open(str(tmp_path / "signed"))
    before = {stored.key: output.read(stored.key) for stored in output.list()}
    outcome = sign_output(output, target, CredentialSigner.open(*write_credentials(tmp_path, KEYS[kind]())))
    assert (outcome.num_signed, outcome.num_current, outcome.failed) == (4, 0, [])
    assert {stored.key: output.read(stored.key) for stored in output.list()} == before
    copies = {stored.key: target.read(stored.key) for stored in target.list("monet")}
    assert len(copies) == 4
    for name, data in copies.items():
        told = manifest_of(data, name.rpartition(".")[2].replace("jpg", "jpeg"))
        assert told["validation_state"] == "Valid"
        [own] = told["manifests"].values()
        [action] = [one["data"]["actions"][0] for one in own["assertions"] if one["label"].startswith("c2pa.actions")]
        assert action["digitalSourceType"].endswith(f"/{COMPOSITE}")
        assert is_marked(data)
        source = before.get(name)
        if source is not None:
            assert len(data) < len(source) + 12_000
            assert np.array_equal(*(np.asarray(Image.open(io.BytesIO(one))) for one in (source, data)))


@needs_c2pa
def test_only_new_and_changed_pictures_are_signed_again(output: Store, tmp_path: Path) -> None:
    target = Store.open(str(tmp_path / "signed"))
    signer = CredentialSigner.open(*write_credentials(tmp_path, KEYS["ec"]()))
    sign_output(output, target, signer)
    signed = {stored.key: target.read(stored.key) for stored in target.list("monet")}
    rows = [replace_row for replace_row in result_rows(output) if replace_row.key != "a.jpg"]
    changed = encode(Picture(np.asarray(draw(width_px=32, height_px=32))), ".jpg", quality=90)
    output.write("monet/a.jpg", changed)
    output.write(RESULTS, table_bytes(Result.to_table([*rows, row_of("a.jpg", "monet/a.jpg", changed)])))
    outcome = sign_output(output, target, signer)
    assert (outcome.num_signed, outcome.num_current) == (1, 3)
    again = {stored.key: target.read(stored.key) for stored in target.list("monet")}
    assert {name for name in again if again[name] != signed[name]} == {"monet/a.jpg"}


def result_rows(output: Store) -> list[Result]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return Result.from_table(pq.read_table(pa.BufferReader(output.read(RESULTS))))


@needs_c2pa
def test_pictures_that_are_missing_or_not_as_their_row_says_are_told(output: Store, tmp_path: Path) -> None:
    output.delete_many(["monet/a.jpg"])
    output.write("monet/b.png", output.read("monet/c.webp"))
    signer = CredentialSigner.open(*write_credentials(tmp_path, KEYS["ec"]()))
    outcome = sign_output(output, Store.open(str(tmp_path / "signed")), signer)
    assert (outcome.num_signed, len(outcome.failed)) == (2, 2)
    assert "is missing" in outcome.failed[0] and "not as its row says" in outcome.failed[1]


@needs_c2pa
def test_copies_are_never_written_into_the_output(output: Store, tmp_path: Path) -> None:
    signer = CredentialSigner.open(*write_credentials(tmp_path, KEYS["ec"]()))
    link = tmp_path.with_name(f"{tmp_path.name}-link")
    link.symlink_to(output.uri)
    for place in (output.uri, f"{output.uri}/signed", str(tmp_path), f"{link}/signed"):
        with pytest.raises(ConfigError, match="expected a place outside"):
            sign_output(output, Store.open(place), signer)


@needs_c2pa
def test_errors_of_keys_and_certificates_name_files_and_quote_nothing(tmp_path: Path) -> None:
    certificate, key = write_credentials(tmp_path, KEYS["ec"]())
    other = tmp_path / "other.pem"
    other.write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    self_signed = tmp_path / "self.pem"
    own_key = rsa.generate_private_key(65537, 2048)
    self_signed.write_bytes(certify("Self", own_key).public_bytes(serialization.Encoding.PEM))
    for files, text in (
        ((tmp_path / "none.pem", key), "expected a certificate"),
        ((certificate, tmp_path / "none.pem"), "expected a key"),
        ((certificate, other), "expected an unencrypted private key"),
        ((self_signed, key), "expected a certificate chain"),
    ):
        with pytest.raises(ConfigError, match=text) as error:
            CredentialSigner.open(*files)
        assert "c2VjcmV0" not in repr(error.value) and error.value.__cause__ is None


@pytest.mark.skipif(importlib.util.find_spec("c2pa") is not None, reason="the extra c2pa is installed")
def test_without_the_extra_the_error_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"artbank\[c2pa\]"):
        CredentialSigner.open(tmp_path / "chain.pem", tmp_path / "key.pem")
