"""Transient and permanent errors of a store are told apart."""

from __future__ import annotations

import errno
from http.client import IncompleteRead

import pytest
from aiohttp import ClientPayloadError
from botocore import exceptions
from botocore.parsers import ResponseParserError
from fsspec.exceptions import FSTimeoutError
from s3fs.errors import translate_boto_error

from artbank.errors import BankError, ConfigError
from artbank.store.transient_errors import concerns_one_object, is_transient


def s3_error(code: str) -> Exception:
    return translate_boto_error(exceptions.ClientError({"Error": {"Code": code, "Message": ""}}, "PutObject"))


@pytest.mark.parametrize(
    "error",
    [
        OSError("anything"),
        OSError(errno.EIO, "disk"),
        ConnectionResetError(),
        TimeoutError(),
        FSTimeoutError(),
        s3_error("SlowDown"),
        s3_error("InternalError"),
        s3_error("ServiceUnavailable"),
        s3_error("RequestTimeout"),
        s3_error("500"),
        s3_error("503"),
        s3_error("SomethingNew"),
        exceptions.ClientError({"Error": {"Code": "SlowDown"}}, "PutObject"),
        exceptions.EndpointConnectionError(endpoint_url="x"),
        exceptions.ConnectTimeoutError(endpoint_url="x"),
        exceptions.ReadTimeoutError(endpoint_url="x"),
        exceptions.CredentialRetrievalError(provider="x", error_msg="y"),
        ResponseParserError("cut off"),
        ClientPayloadError("cut off"),
        IncompleteRead(b""),
    ],
    ids=repr,
)
def test_what_may_heal_is_transient(error: Exception):
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("a"),
        PermissionError("a"),
        IsADirectoryError("a"),
        NotADirectoryError("a"),
        FileExistsError("a"),
        OSError(errno.ENOSPC, "full"),
        OSError(errno.ENAMETOOLONG, "long"),
        OSError(errno.EROFS, "read only"),
        s3_error("NoSuchBucket"),
        s3_error("NoSuchKey"),
        s3_error("AccessDenied"),
        s3_error("403"),
        s3_error("InvalidAccessKeyId"),
        s3_error("SignatureDoesNotMatch"),
        s3_error("ExpiredToken"),
        s3_error("NotImplemented"),
        exceptions.NoCredentialsError(),
        exceptions.ParamValidationError(report="bucket"),
        exceptions.ProfileNotFound(profile="x"),
        BankError("ours"),
        ConfigError("ours"),
        ValueError("a"),
        RuntimeError("a"),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_what_does_not_heal_is_not(error: BaseException):
    assert not is_transient(error)


def refusal(code: str) -> Exception:
    error = s3_error(code)
    error.__cause__ = exceptions.ClientError({"Error": {"Code": code}}, "GetObject")
    return error


@pytest.mark.parametrize(
    "error", [PermissionError("a"), refusal("AccessDenied"), refusal("InvalidObjectState")], ids=repr
)
def test_what_is_refused_of_one_object_concerns_that_one(error: Exception):
    assert concerns_one_object(error)


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "SlowDown"])
def test_credentials_and_outages_concern_all_objects(code: str):
    assert not concerns_one_object(refusal(code))
