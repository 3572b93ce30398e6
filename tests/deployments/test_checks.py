"""`artbank deploy` checks what it would hand to flows before it puts anything on the server."""

from __future__ import annotations

import pytest

from artbank.errors import ConfigError
from artbank_cli.deployment.deploy import make_deployment
from artbank_cli.deployment.files import PLACES


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"ARTBANK_STYLIZE_CRON": "x y"},
            "--stylize-cron 'x y': expected five fields of cron, such as '0 6 \\* \\* \\*'",
        ),
        ({"ARTBANK_STYLIZE_CRON": "0 25 * * *"}, "--stylize-cron '0 25 .* expected five fields of cron"),
        ({"ARTBANK_STYLE": "monet:0.5+"}, "style 'monet:0.5\\+' cannot be read; expected NAME"),
        ({"ARTBANK_STYLE": "monet,monet"}, "stylize-archive: styles: a style is named twice in monet, monet"),
        ({"ARTBANK_STYLE": " , "}, "stylize-archive: styles: "),
        (
            {"ARTBANK_GALLERY": "s3://me:word@museum/gallery"},
            "train-banks: gallery_uri: a URI must not hold credentials",
        ),
        ({"ARTBANK_DASK": "host:8786"}, "train-banks: runner: expected auto, threads, dask, or the address"),
    ],
)
def test_a_value_that_no_run_could_use_is_refused_before_anything_is_put_on_the_server(
    given: dict[str, str], message: str
) -> None:
    places = {name: name.lower() for name in PLACES} | {"ARTBANK_PHOTOS": 'D:\\the "best" photos'}
    make_deployment("process", places, [], None, "https://chat.example/hook").check()
    with pytest.raises(ConfigError, match=message) as raised:
        make_deployment("process", places | given, [], None, None).check()
    assert "word" not in str(raised.value)


@pytest.mark.parametrize("url", ["chat.example/hook", "mailto:me@museum.example", "https://"])
def test_an_address_for_alarms_that_is_none_is_refused_and_not_shown(url: str) -> None:
    places = {name: name.lower() for name in PLACES}
    with pytest.raises(
        ConfigError, match="--notify: expected an address that begins with https:// or http://"
    ) as raised:
        make_deployment("process", places, [], None, url).check()
    assert url not in str(raised.value).replace("begins with https://", "")
