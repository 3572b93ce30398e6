"""The errors of a store: which may heal by themselves and are worth a retry, and which concern a single object."""

from __future__ import annotations

import errno
from http.client import HTTPException

from artbank.errors import ArtbankError
from artbank.runtime.extras import is_installed

_LASTING_ERRORS = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)
_LASTING_NUMBERS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG),
    *(errno.ENOSYS, errno.EMSGSIZE, errno.ELOOP),
)
REDIRECT_CODES = ("301", "307", "421", "PermanentRedirect", "TemporaryRedirect")
"""Codes of an S3 server that sends a request elsewhere, see `backends.s3_session`."""
_CREDENTIAL_CODES = (
    *("ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "InvalidToken"),
    *("AccountProblem", "AllAccessDisabled", "InvalidPayer", "InvalidSecurity", "NotSignedUp"),
)
_STORE_CODES = (*_CREDENTIAL_CODES, *REDIRECT_CODES)


class WrongSizeError(OSError):
    """A store delivered another number of bytes than it had listed: a body that broke off, or a page about an error.

    Transient, also where the object was replaced since the listing: the next listing has its size.
    """


def is_transient(error: BaseException) -> bool:
    """Return whether an error of a store may heal by itself, so that a retry makes sense.

    True for an `OSError` and for errors of the S3 client, unless they are about the request itself: no such object, no
    permission, no credentials, no space, a name that is too long. artbank's own errors are never transient.
    """
    if isinstance(error, (ArtbankError, *_LASTING_ERRORS)):
        return False
    if isinstance(error, OSError):
        return error.errno not in _LASTING_NUMBERS and error_code(error) not in REDIRECT_CODES
    return isinstance(error, HTTPException) or _is_client_error(error)


def is_of_store(error: BaseException) -> bool:
    """Return whether a store raised an error, for whatever reason: it says nothing about a photo or an artwork."""
    return isinstance(error, (OSError, HTTPException, *_client_errors()[0]))


def concerns_one_object(error: object) -> bool:
    """Return whether an error concerns one object or folder alone, so that others may still be read.

    Such as no permission, an object in cold storage, or a name that is too long. Wrong or expired credentials, and
    whatever may heal by itself, concern the whole store.
    """
    return isinstance(error, OSError) and not is_transient(error) and error_code(error) not in _STORE_CODES


def error_code(error: BaseException) -> str | None:
    """Return the code in the answer of an S3 server that caused an error, such as `AccessDenied`; None without one."""
    return getattr(error.__cause__, "response", {}).get("Error", {}).get("Code")


def _is_client_error(error: BaseException) -> bool:
    raised, lasting = _client_errors()
    return isinstance(error, raised) and not isinstance(error, lasting)


def _client_errors() -> tuple[tuple[type[Exception], ...], tuple[type[Exception], ...]]:
    """Return the errors of the S3 client, and those among them that a retry does not heal."""
    if not is_installed("aiobotocore"):  # no error can be of a client that is not there
        return (), ()
    from aiohttp import ClientError as ConnectionFailure
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    lasting = (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.ProfileNotFound,
        exceptions.ParamValidationError,
    )
    return (exceptions.BotoCoreError, exceptions.ClientError, ResponseParserError, ConnectionFailure), lasting
