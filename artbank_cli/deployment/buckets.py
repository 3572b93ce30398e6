"""Create the buckets of a deployment's places."""

from __future__ import annotations

from collections.abc import Iterable

from artbank_cli.output import say


def create_buckets(places: Iterable[str]) -> None:
    """Create the missing buckets of the s3:// addresses."""
    from s3fs import S3FileSystem

    fs = S3FileSystem()
    buckets = {place.removeprefix("s3://").partition("/")[0] for place in places if place.startswith("s3://")}
    for bucket in sorted(buckets):
        if fs.exists(bucket):
            say(f"bucket {bucket}: is there")
        else:
            fs.call_s3("create_bucket", Bucket=bucket)  # mkdir would name a region, which some gateways refuse
            say(f"bucket {bucket}: created")
