"""Links of an output's artifacts."""

from __future__ import annotations

import pytest

from artbank_prefect.tasks.artifacts import _link, list_places

OUTPUT, SERVED = "s3://museum/out put", "https://museum.example/art/"


@pytest.mark.parametrize(
    ("place", "link"),
    [
        (OUTPUT, "https://museum.example/art/"),
        (f"{OUTPUT}/report/index.html", "https://museum.example/art/report/index.html"),
        (f"{OUTPUT}/runs/a b)#1?.jpg", "https://museum.example/art/runs/a%20b%29%231%3F.jpg"),
        (f"{OUTPUT} of 2025/report/index.html", "s3://museum/out%20put%20of%202025/report/index.html"),
        ("s3://banks/novak", "s3://banks/novak"),
    ],
)
def test_what_is_in_the_output_is_linked_below_its_public_address_and_nothing_else_is(place: str, link: str) -> None:
    assert _link(place, OUTPUT, SERVED) == _link(place, f"{OUTPUT}/", SERVED.rstrip("/")) == link


@pytest.mark.parametrize("output", ["/", "/art"])
def test_an_output_on_a_disk_is_linked_below_its_public_address(output: str) -> None:
    assert _link("/art/report/index.html", output, SERVED).endswith("/report/index.html")
    assert _link("/art/report/index.html", output, SERVED).startswith(SERVED)


@pytest.mark.parametrize("public_url", [None, ""])
def test_without_a_public_address_places_keep_their_own(public_url: str | None) -> None:
    assert _link(f"{OUTPUT}/a b.jpg", OUTPUT, public_url) == "s3://museum/out%20put/a%20b.jpg"
    assert _link("/out put/a.jpg", "/out put", public_url) == "file:///out%20put/a.jpg"


def test_the_table_of_places_shows_where_they_are_and_links_where_they_are_served() -> None:
    places = {"page": f"{OUTPUT}/report/index.html", "a|b": "s3://user:secret@banks/x"}
    text = list_places(places, {name: _link(place, OUTPUT, SERVED) for name, place in places.items()})
    page, bank = text.splitlines()[-2:]
    assert page.startswith("| page | [") and page.endswith("](https://museum.example/art/report/index.html) |")
    assert "out put/report" in page
    assert bank.startswith(r"| a\|b | [") and "secret" not in bank and bank.endswith("banks/x) |")
