from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from artbank.config import StylizeConfig, TrainConfig
from artbank.credentials import has_credentials, redact
from artbank.errors import ConfigError
from artbank.store.objects import Store

SECRET = "hunter2"
URIS = [
    f"s3://AKIAKEY:{SECRET}@bucket/folder",
    f"s3://AKIAKEY:ab/{SECRET}+c/d@bucket/folder",
    f"s3://AKIAKEY:a@b{SECRET}@bucket/folder",
    f"s3://{SECRET}@bucket",
    f"ftp://user:{SECRET}@host:21/folder",
    f"https://host/folder?AWSAccessKeyId=AKIAKEY&Expires=1&Signature={SECRET}",
    f"https://host/folder?X-Amz-Credential={SECRET}&X-Amz-Security-Token={SECRET}",
    f"abfs://container/folder?sv=2022&sig={SECRET}",
]
HARMLESS = [
    "s3://bucket/artist@example.org/a:b@c",
    "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/mine/a@b",
    "http://host:8080/a@b",
    "tcp://host:8786",
    "memory://store",
    "s3://bucket/folder?design=1",
    "/home/a:b@c/photos",
    "a folder",
]
BASE = {"gallery_uri": "g", "store_uri": "s"}


@pytest.mark.parametrize("uri", URIS)
def test_a_uri_with_credentials_is_told_from_others_and_hidden(uri: str) -> None:
    assert has_credentials(uri) and SECRET not in redact(uri)
    assert SECRET not in str(redact({"config": [{"store_uri": uri}], "text": f"at {uri} and so on"}))


@pytest.mark.parametrize("uri", HARMLESS)
def test_a_uri_without_credentials_is_left_alone(uri: str) -> None:
    assert not has_credentials(uri) and redact(uri) == uri
    assert TrainConfig.model_validate(BASE | {"store_uri": uri}).store_uri == uri


@pytest.mark.parametrize("uri", URIS)
@pytest.mark.parametrize("field", ["gallery_uri", "store_uri", "base_model", "scorer"])
def test_a_config_refuses_credentials_and_tells_nobody(field: str, uri: str) -> None:
    refused = refusal(BASE | {field: uri})
    assert "a URI must not hold credentials" in str(refused) and "***" in str(refused)


@pytest.mark.parametrize(
    "values",
    [
        {"runner": f"tcp://user:{SECRET}@host:8786"},
        {"store": URIS[0]},
        {"store_uri": [URIS[0]]},
        {"recipe": {"init_word": {"a": URIS[0]}}},
        {"max_megapixels": URIS[0]},
        {"store_uri": URIS[0], "recipe": {"max_steps": 0}},
    ],
    ids=lambda values: next(iter(values)),
)
def test_no_error_about_a_config_tells_credentials(values: dict[str, Any]) -> None:
    refusal(BASE | values)
    refusal({"gallery_uri": URIS[0], **{name: value for name, value in values.items() if name != "store_uri"}})


def test_other_errors_still_tell_what_was_found() -> None:
    assert "input_value=0" in str(refusal(BASE | {"recipe": {"max_steps": 0}}))


def refusal(values: dict[str, Any]) -> ValidationError:
    """Return the error about a config, from values or from JSON, checked to hold no secret."""
    with pytest.raises(ValidationError) as from_json:
        StylizeConfig.model_validate_json(json.dumps(values))
    with pytest.raises(ValidationError) as caught:
        TrainConfig.model_validate(values)
    for error in (from_json.value, caught.value):
        assert SECRET not in str(error) + repr(error.errors()) + repr(error.__cause__) + error.json()
    return caught.value


@pytest.mark.parametrize("uri", URIS)
def test_a_store_is_not_opened_by_a_uri_with_credentials(uri: str) -> None:
    with pytest.raises(ConfigError, match="holds credentials; remove them and set them in the environment") as caught:
        Store.open(uri)
    assert SECRET not in str(caught.value)
