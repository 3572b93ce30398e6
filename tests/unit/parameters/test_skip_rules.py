"""The rules that tell which files are no photos."""

from __future__ import annotations

import pytest

from artbank.errors import ConfigError
from artbank.images.suffixes import IMAGE_SUFFIXES
from artbank.parameters.skip_rules import SkipRules, list_rules

NO_PHOTOS = (
    *("2019/@eaDir/IMG_1.jpg/SYNOPHOTO_THUMB_XL.jpg", "#recycle/a.jpg", "a/$RECYCLE.BIN/S-1-5/$R1.jpg"),
    *("lost+found/a.jpg", "__MACOSX/a.jpg", "x/y/__macosx/z/a.jpg", "System Volume Information/a.jpg"),
    *("Photos.photoslibrary/resources/derivatives/a.jpg", "cat Previews.lrdata/1/a.jpg", "FOUND.000/a.jpg"),
    *("IMG_1.xmp", "IMG_1.AAE", "a/desktop.ini", "a/Thumbs.db", "IMG_1.MOV", "IMG_1.THM", "list.csv", "a.tar.gz"),
    *("monet.safetensors", "models/sd.ckpt", "shard/000001.cls", "shard/000001.npy", "train-00000.arrow"),
)
_16, _24 = "0123456789abcdef", "0123456789abcdef01234567"
OWN_FILES = (
    *(f"report/pictures/{_24}.jpg", f"2024/art/report/pictures/{_24}.jpg", f"runs/{_16}/contact-sheet.jpg"),
    *(f"comparison/page/pictures/{kind}-{_16}.jpg" for kind in ("photo", "picture", "artwork")),
    *(f"store/banks/Van-Gogh-10152184/{_16}/{_16}/album/artwork-00.webp", f"banks/monet/{_16}/{_16}/preview.jpg"),
)
PHOTOS = (
    *("a.jpg", "2019/IMG_1.JPG", "scan", "mov", "a.NEF", "a.svg", "xmp/a.jpg", "resources/a.jpg", "@eaDir.jpg"),
    *("eaDir/a.jpg", "found.0000/a.jpg", "my lost+found/a.jpg", "a.mov.jpg"),
    *("report/pictures/1.jpg", "report/pictures/my-cat-on-the-green-sofa.jpg", "runs/2024-06-01_dawn1/a.jpg"),
    *("page/pictures/photo-1.jpg", "banks/Seine/Paris_2024_dawn1/a.jpg", f"{_24}.jpg", f"monet/{_24}.jpg"),
)


@pytest.mark.parametrize("key", NO_PHOTOS)
def test_what_is_no_photo_is_skipped(key: str) -> None:
    assert SkipRules().skip(key)


@pytest.mark.parametrize("key", OWN_FILES)
def test_pages_contact_sheets_and_banks_of_artbank_are_no_photos(key: str) -> None:
    assert SkipRules().skip(key)
    assert SkipRules().skip(key.upper())


@pytest.mark.parametrize("key", PHOTOS)
def test_what_may_be_a_photo_is_not_skipped(key: str) -> None:
    assert not SkipRules().skip(key)


def test_no_rule_skips_images_that_are_read() -> None:
    assert not [rule for rule in list_rules() if rule.removeprefix("*").lower() in IMAGE_SUFFIXES]


@pytest.mark.parametrize(
    ("rules", "key", "is_skipped"),
    [
        (["*.draft.jpg"], "a/1.draft.jpg", True),
        (["*.draft.jpg"], "a/1.xmp", True),
        (["raw/*.jpg"], "2019/raw/1.jpg", True),
        (["raw/*.jpg"], "2019/raw/more/1.jpg", False),
        (["raw/"], "2019/RAW/more/1.jpg", True),
        (["!*.txt"], "a.txt", False),
        (["!*.txt"], "a.xmp", True),
        (["!*.txt"], "@eaDir/a.txt", False),
        (["!@eaDir/"], "@eaDir/a.jpg", False),
        (["!report/pictures/*"], f"report/pictures/{_24}.jpg", False),
        (["!default"], "@eaDir/a.xmp", False),
        (["!default", "*.gif"], "a.gif", True),
        (["*.jpg", "!best/", "best/old/"], "best/1.jpg", False),
        (["*.jpg", "!best/", "best/old/"], "best/old/1.jpg", True),
    ],
)
def test_the_last_rule_that_matches_decides(rules: list[str], key: str, is_skipped: bool) -> None:
    assert SkipRules(rules).skip(key) is is_skipped


@pytest.mark.parametrize("rule", ["", "!", "/", "a**b"])
def test_a_rule_that_is_no_glob_is_refused(rule: str) -> None:
    with pytest.raises(ConfigError, match="expected a glob such as"):
        SkipRules([rule])
