"""Parse the pages of a bucket's listing, for which the client's own parser takes 90 s for a million keys."""

from __future__ import annotations

import errno
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

_OK = 200  # status of HTTP


def parse_contents(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Parse the objects of one page of a listing faster than the client does; leave unusual pages to the client.

    A handler of botocore's event `before-parse`: it moves the objects from the answer into the parsed page.

    Args:
        response_dict: The answer: `status_code`, and `body`, XML, which loses the objects.
        customized_response_dict: Receives them as `Contents`, each with key, size in bytes, ETag and time.

    Raises:
        OSError: The answer is no listing. The client would take it for an empty one.
    """
    is_success = response_dict.get("status_code") == _OK
    if is_success and not response_dict["body"]:
        raise no_listing_error("an empty answer")
    try:
        page = ElementTree.fromstring(response_dict["body"])
        if is_success and page.tag.rpartition("}")[2] != "ListBucketResult":
            raise no_listing_error(f"<{page.tag.rpartition('}')[2]}>")
        namespace = page.tag.removesuffix("ListBucketResult")
        contents = [
            {
                "Key": entry.findtext(f"{namespace}Key"),
                "Size": int(size) if (size := entry.findtext(f"{namespace}Size")) else None,
                "ETag": entry.findtext(f"{namespace}ETag"),
                "LastModified": datetime.fromisoformat(entry.findtext(f"{namespace}LastModified", "")),
            }
            for entry in page.findall(f"{namespace}Contents")
        ]
    except (ElementTree.ParseError, ValueError):
        return
    if contents:
        page[:] = [child for child in page if child.tag != f"{namespace}Contents"]
        response_dict["body"] = ElementTree.tostring(page)
        customized_response_dict["Contents"] = contents


def no_listing_error(found: str) -> OSError:
    """Return the error for an answer that is no listing, such as a web page; `found` says what it is."""
    return OSError(errno.EIO, f"expected the listing of a bucket, found {found}; check AWS_ENDPOINT_URL")
