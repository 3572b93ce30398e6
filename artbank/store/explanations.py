"""Say for people what an error of a library means: what was expected, what was found, what to do.

Errors pass through the core unchanged, because retries depend on their class. Code that shows one to a person asks
here.
"""

from __future__ import annotations

import errno

from artbank.credentials import redact
from artbank.errors import ArtbankError
from artbank.store.transient_errors import REDIRECT_CODES

_ADVICE = {
    errno.ENOENT: "there is no {path}; correct the name, or mount or create it",
    errno.EACCES: "no permission for {path}; change its owner or mode, or run as a user who has it",
    errno.EPERM: "{path}: not permitted; change its owner or mode, or run as a user who has the right",
    errno.EISDIR: "{path} is a folder, expected a file; name a file",
    errno.ENOTDIR: "{path} is a file or lies below one, expected a folder; name a folder",
    errno.ENOTEMPTY: "{path} is a folder that holds files, expected a file; name another place",
    errno.EEXIST: "{path} exists and cannot be replaced; remove it or name another place",
    errno.ENOSPC: "no space is left for {path}; free space on that disk, then run the same command again",
    errno.EDQUOT: "your quota is used up for {path}; free space, then run the same command again",
    errno.EFBIG: "{path} became larger than the file system or `ulimit -f` allows; name another place",
    errno.EROFS: "{path} is on a read-only file system; name a place that can be written",
    errno.ENAMETOOLONG: "{path}: the name is longer than the file system allows; shorten it",
    errno.ELOOP: "{path} is a link, which could lead out of its folder, or in circles; replace it by what it leads to",
    errno.EMFILE: "too many open files for one process; raise `ulimit -n`",
    errno.ENFILE: "too many open files on this machine; close other programs",
    errno.ENOMEM: "no memory is left; close other programs, or use a machine with more",
    errno.EAGAIN: "the system cannot start another process or thread; raise `ulimit -u`, or close other programs",
    errno.EIO: "{path}: the disk or the store failed ({text}); check it, then run the same command again",
    errno.ESTALE: "{path}: the network file system lost it; mount it again, then run the same command again",
    errno.ECONNREFUSED: "nothing listens at the other end ({text}); start the server or correct its address",
    errno.ETIMEDOUT: "no answer in time ({text}); check the address and the network",
    errno.EHOSTUNREACH: "the host cannot be reached ({text}); check the address and the network",
    errno.ENETUNREACH: "the network cannot be reached ({text}); check the connection",
    errno.EADDRNOTAVAIL: "this machine has no such address ({text}); check the network",
}
_SYSTEM_FIX = "act on the message; then run the same command again"

_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_S3_CODES = {
    "NoSuchBucket": "there is no such bucket; correct its name, or create it",
    "NoSuchKey": "there is no such object; correct its name",
    "AccessDenied": "the store refuses access; allow s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject "
    f"there to the key in {_KEYS}",
    "403": f"the store refuses access; check {_KEYS}, and what they may do there",
    "InvalidAccessKeyId": "the store does not know the access key; correct AWS_ACCESS_KEY_ID, or AWS_ENDPOINT_URL",
    "SignatureDoesNotMatch": "the store refuses the secret key; correct AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the credentials have expired; get new ones, AWS_SESSION_TOKEN included",
    "InvalidToken": "the store does not know the session token; set AWS_SESSION_TOKEN, or unset it",
    "RequestTimeTooSkewed": "this machine's clock differs from the store's by too much; set it",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set AWS_DEFAULT_REGION to it",
    "PermanentRedirect": "the bucket is in another region; set AWS_DEFAULT_REGION to it, or correct AWS_ENDPOINT_URL",
    "InvalidBucketName": "no bucket can have that name; correct it",
    "NotImplemented": "the store does not support this request; use a newer server",
    "InvalidObjectState": "the object is in cold storage; restore it first",
    "QuotaExceeded": "the store's quota is used up; free space there",
    "XMinioStorageFull": "the store's disks are full; free space there",
    "SlowDown": "the store is overloaded; run the same command again later",
    "ServiceUnavailable": "the store is not available; run the same command again later",
    "InternalError": "the store failed; run the same command again later",
}
_S3_CODES["500"] = (
    "the store failed, or something else answers, such as a web page; check AWS_ENDPOINT_URL, then run it again later"
)
_S3_CODES["401"] = _S3_CODES["403"]
_REDIRECTED = (
    "the store sends the request to another address, which is not followed; set AWS_ENDPOINT_URL to its own address"
)
_S3_CODES |= dict.fromkeys(set(REDIRECT_CODES).difference(_S3_CODES), _REDIRECTED)
_RETRY = "check that the store is running, AWS_ENDPOINT_URL and the network; then run the same command again"
_AWS_SETTINGS = "correct ~/.aws/config and ~/.aws/credentials, or set the AWS_* variables"
_CERTIFICATE = "set AWS_CA_BUNDLE to a file with its authority's certificate"
# Errors of the S3 client, by the names of their classes: importing them takes longer than most commands.
_CLIENT_ERRORS = {
    "NoCredentialsError": f"no credentials for S3 were found; set {_KEYS}, or AWS_PROFILE",
    "PartialCredentialsError": f"only a part of the credentials for S3 was found; set both {_KEYS}",
    "CredentialRetrievalError": "the credentials for S3 cannot be fetched ({text}); log in again, or set AWS_PROFILE",
    "TokenRetrievalError": "the login for S3 has expired ({text}); log in again",
    "UnauthorizedSSOTokenError": "the login for S3 has expired ({text}); log in again",
    "SSOTokenLoadError": "there is no login for S3 ({text}); log in first",
    "ProfileNotFound": "{text}; correct or unset AWS_PROFILE",
    "ConfigNotFound": f"{{text}}; {_AWS_SETTINGS}",
    "ConfigParseError": f"{{text}}; {_AWS_SETTINGS}",
    "InvalidConfigError": f"{{text}}; {_AWS_SETTINGS}",
    "InvalidRegionError": "{text}; correct AWS_DEFAULT_REGION",
    "NoRegionError": "{text}; set AWS_DEFAULT_REGION",
    "ParamValidationError": "the S3 client refuses the name of the bucket or the object ({text}); correct it",
    "EndpointConnectionError": f"the store does not answer ({{text}}); {_RETRY}",
    "ConnectTimeoutError": f"the store does not answer ({{text}}); {_RETRY}",
    "ReadTimeoutError": f"the store stopped answering ({{text}}); {_RETRY}",
    "ConnectionClosedError": f"the store closed the connection ({{text}}); {_RETRY}",
    "ConnectionError": f"the connection to the store failed ({{text}}); {_RETRY}",
    "ProxyConnectionError": "{text}; correct or unset HTTP_PROXY and HTTPS_PROXY, or add the store to NO_PROXY",
    "HTTPClientError": f"the connection to the store failed ({{text}}); {_RETRY}",
    "ResponseStreamingError": f"the store's answer broke off ({{text}}); {_RETRY}",
    "IncompleteReadError": f"the store's answer broke off ({{text}}); {_RETRY}",
    "ClientPayloadError": f"the store's answer broke off ({{text}}); {_RETRY}",
    "ResponseParserError": "expected the answer of an S3 server, found something else, such as a web page; correct "
    "AWS_ENDPOINT_URL",
    "BotoCoreError": "the S3 client failed ({text}); act on its message",
}
_PLAIN_HTTP = ("WRONG_VERSION_NUMBER", "wrong version number", "RECORD_LAYER_FAILURE", "record layer failure")
_OTHERS = {
    "MemoryError": "no memory is left; close other programs, or use smaller batches or images",
    "OutOfMemoryError": "the device's memory is full; use a smaller --batch-size, or another device",
    "NotImplementedError": "this kind of place does not support that ({text}); name a folder or s3:// prefix instead",
    "gaierror": "no host of that name is known ({text}); correct the address, or check the network",
    "ClientConnectorError": "nothing answers at the address ({text}); correct it, or check the network",
    "FSTimeoutError": f"the store did not answer in time; {_RETRY}",
}


def explain(error: BaseException) -> str:
    """Return an error as one line of what was expected, what was found and what to do."""
    if isinstance(error, ArtbankError):  # quotes no credentials
        text = str(error) or type(error).__name__
    else:
        text = redact(_explain_client_error(error) or _explain_system_error(error) or _name_unknown(error))
    return " ".join(text.split())


def is_explained(error: BaseException) -> bool:
    """Return whether `explain` knows what to do about an error, so that it is not a defect of artbank."""
    known = isinstance(error, (ArtbankError, OSError))
    return known or _explain_client_error(error) is not None


def _explain_client_error(error: BaseException) -> str | None:
    """Explain an error of a store's client, by the name of its class or of one of its bases."""
    text = str(error)
    if code := _s3_code(error):
        place = str(getattr(error, "filename", None) or "").rstrip("/")
        advice = _S3_CODES.get(code, f"the store answered {code}; act on it, then run the same command again")
        return f"{place}: {advice}" if place else advice
    if type(error).__name__ == "SSLError" and type(error).__module__.startswith("botocore"):
        return _explain_tls(text)
    if "Invalid endpoint" in text or "Not a valid endpoint" in text:
        return f"{text}: expected the address of an S3 server, such as https://host; correct AWS_ENDPOINT_URL"
    for kind in type(error).__mro__:
        if kind.__module__ == "builtins" and kind.__name__ not in _OTHERS:
            continue
        if advice := _CLIENT_ERRORS.get(kind.__name__) or _OTHERS.get(kind.__name__):
            return advice.format(text=text)
    return None


def _explain_tls(text: str) -> str:
    if any(sign in text for sign in _PLAIN_HTTP):
        return f"the store does not speak TLS ({text}); write http:// instead of https:// in AWS_ENDPOINT_URL"
    return f"the store's certificate is not trusted ({text}); {_CERTIFICATE}"


def _explain_system_error(error: BaseException) -> str | None:
    if not isinstance(error, OSError):
        return None
    text = error.strerror or str(error) or type(error).__name__
    path = str(error.filename2 or error.filename or "")
    advice = _ADVICE.get(error.errno or 0)
    if advice is None or ("{path}" in advice and not path):
        return f"{path}: {text}; {_SYSTEM_FIX}" if path else f"{text}; {_SYSTEM_FIX}"
    return advice.format(path=path, text=text)


def _name_unknown(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _s3_code(error: BaseException) -> str | None:
    """Return the code that an S3 server gave, such as `AccessDenied`."""
    cause: BaseException | None = error
    while cause is not None:
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code") or "") or None
        cause = cause.__cause__
    return None
