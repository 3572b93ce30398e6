"""Names of collections and styles as people have them become ids that are safe everywhere."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artbank.errors import ConfigError
from artbank.runtime.collection_ids import SAFE_NAME, collection_id
from artbank.runtime.style_names import parse_style, split_version, style_folder

IDS = {  # once given out, an id never changes
    "monet": "monet",
    "Ukiyo-e_2.0": "Ukiyo-e_2.0",
    "Van Gogh": "Van-Gogh-10152184",
    "van gogh": "van-gogh-cb094c1f",
    "Albrecht_Dürer": "Albrecht_Durer-344a4cd6",
    "葛飾北斎": "collection-d76f9fac",
    "O'Keeffe": "O-Keeffe-2a046f16",
    "_drafts": "drafts-d902cbb3",
    "Gilbert + George": "Gilbert-George-033f8fe1",
}


@pytest.mark.parametrize("name", IDS)
def test_a_name_has_the_same_id_for_ever(name: str) -> None:
    assert collection_id(name) == IDS[name]


@given(st.text(min_size=1, max_size=300))
def test_an_id_is_safe_short_and_its_own_id(name: str) -> None:
    found = collection_id(name)
    assert re.fullmatch(SAFE_NAME, found)
    assert found == name.strip() or len(found) <= 60
    assert collection_id(found) == found


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("name", ["Albrecht Dürer", "Đỗ Quang Em", "ガラス"])
def test_the_normal_form_of_a_name_does_not_matter(name: str, form: str) -> None:
    assert collection_id(unicodedata.normalize(form, name)) == collection_id(name)


def test_similar_names_have_ids_of_their_own() -> None:
    names = ["Van Gogh", "Van-Gogh", "Van_Gogh", "van gogh", "Vän Gogh", "Van  Gogh", "北斎", "広重", "Ж", "Ф"]
    assert len({collection_id(name).casefold() for name in names}) == len(names)


FOLDERS = {
    "monet": "monet",
    "monet@3": "monet@3",
    "monet:0.7 + hokusai@2:0.3": "monet_0.7+hokusai@2_0.3",
    "Van Gogh": "Van-Gogh-10152184",
    "Van-Gogh-10152184": "Van-Gogh-10152184",
    " Van Gogh@2 ": "Van-Gogh-10152184@2",
    "Van Gogh : 0.5+葛飾北斎@12:0.5": "Van-Gogh-10152184_0.5+collection-d76f9fac@12_0.5",
    "Art: a study": "Art-a-study-9daf8e46",
}


@pytest.mark.parametrize("spec", FOLDERS)
def test_a_style_has_one_folder_by_name_and_by_id(spec: str) -> None:
    assert style_folder(spec) == FOLDERS[spec]
    assert re.fullmatch(r"[A-Za-z0-9._@+-]+", style_folder(spec))


def test_a_mix_of_names_with_spaces_is_parsed() -> None:
    assert parse_style("Van Gogh@2:3 + 葛飾北斎") == [("Van Gogh@2", 0.75), ("葛飾北斎", 0.25)]
    with pytest.raises(ConfigError, match="cannot be read; expected NAME, NAME@VERSION"):
        parse_style("Art: a study")
    for weight in ("-1", "0", "inf"):
        with pytest.raises(ConfigError, match=f"cannot be read; expected weights above 0, found {weight}$"):
            parse_style(f"monet:{weight}+hokusai:2")


def test_only_digits_are_a_version() -> None:
    assert split_version("Van Gogh@12") == ("Van Gogh", "12")
    assert split_version("me@home") == ("me@home", None)
    assert split_version("@3") == ("@3", None)
    assert split_version("monet@٣") == ("monet@٣", None)
