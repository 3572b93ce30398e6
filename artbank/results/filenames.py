"""File names of pictures: each photo's key becomes a name that no file system confuses with another.

A picture has its photo's key, with a suffix that it can be written under, wherever that is safe.
Elsewhere a hash of the key is added: `roll/img~0123456789abcdef.jpg`. That is so where two names
differ only in case or in how Unicode spells them, where the name is too long, and where it looks as
if it had such a hash already.

Case folding makes `/` and `..` out of characters that only look like them, so folded texts are
compared and never used as paths.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
from more_itertools import sliced

from artbank.images.suffixes import READ_SUFFIXES, WRITTEN_SUFFIXES
from artbank.runtime.hashing import short_hash

MAX_PART_BYTES = 240  # file systems allow 255 bytes; a synchronizing program may add a suffix
MAX_FOLDER_BYTES = 450  # 691 with the last part; an S3 key may have 1024, with the output's prefix and the style
_SHORT_FOLDER_BYTES = 60
_NUM_HEX = 16
_FOLDED_AT_ONCE = 65_536

_HASHED = re.compile(rf"~[0-9a-f]{{{_NUM_HEX}}}\.[a-z]+$")
_LIKE_A_PICTURE = re.compile(rf"({'|'.join(map(re.escape, WRITTEN_SUFFIXES))})[~. ]*$")
_INVISIBLE = (  # Unicode's default ignorable code points; some file systems ignore them
    r"[\x{AD}\x{34F}\x{61C}\x{115F}\x{1160}\x{17B4}\x{17B5}\x{180B}-\x{180F}\x{200B}-\x{200F}\x{202A}-\x{202E}"
    r"\x{2060}-\x{206F}\x{3164}\x{FE00}-\x{FE0F}\x{FEFF}\x{FFA0}\x{FFF0}-\x{FFF8}\x{1BCA0}-\x{1BCA3}"
    r"\x{1D173}-\x{1D17A}\x{E0000}-\x{E0FFF}]+"
)
_FOLDER_ENDINGS = r"[~. ]+/"  # Windows drops dots and spaces, `output_name` adds `~`
_ADDED_ENDINGS = r"(\.image|\.png)+$"  # everything that `output_name` may add to a key, and more


def output_name(key: str, *, is_ambiguous: bool = False) -> str:
    """Return the picture's name below its style's folder for a photo's key; no two keys share a name.

    JPEG, PNG and WebP photos keep their name. Other image files get `.png` added, files of other
    kinds `.image.png`. A name that looks as if a suffix had been added already (`scan.tif.png`)
    gets one more `.png`. A folder that is named like a picture gets `~` added. Folders that are too
    long together become a single one.

    Args:
        key: The photo's key; `keys.check_key` has accepted it.
        is_ambiguous: Whether `find_ambiguous` returns the key for its archive.
    """
    *folders, name = key.split("/")
    folders = [_folder_name(folder) for folder in folders]
    name = _picture_name(name)
    is_deep = _num_bytes("/".join(folders)) > MAX_FOLDER_BYTES or any(map(_is_long, folders))
    if is_ambiguous or is_deep or _is_long(name) or _HASHED.search(_fold_text(name)):
        name = _add_hash(name, key)
    if is_deep:
        folders = [f"{_cut(folders[-1], _SHORT_FOLDER_BYTES)}~{short_hash('/'.join(folders), _NUM_HEX)}"]
    return "/".join([*folders, name])


def find_ambiguous(keys: pa.ChunkedArray) -> pa.Array:
    """Return all keys whose names some file system may confuse, and perhaps a few more.

    Args:
        keys: All keys of an archive; repeated keys count once.
    """
    distinct = keys.unique()
    folded = pa.chunked_array([_comparable(chunk) for chunk in sliced(distinct, _FOLDED_AT_ONCE)], pa.string())
    counted = folded.value_counts()
    shared = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
    return distinct.filter(pc.is_in(folded, value_set=shared).combine_chunks())


def _comparable(keys: pa.Array) -> pa.Array:
    """Return a text for each key; two keys whose names may be confused have the same text."""
    bare = pc.replace_substring_regex(_fold(keys), _FOLDER_ENDINGS, "/")
    return pc.replace_substring_regex(bare, _ADDED_ENDINGS, "")


def _fold(texts: pa.Array) -> pa.Array:
    """Return texts without the differences that a file system may ignore: case, spelling, invisible characters."""
    wide = pc.invert(pc.string_is_ascii(texts))
    folded = pc.ascii_lower(texts)
    if not pc.any(wide).as_py():
        return folded
    return pc.replace_with_mask(folded, wide, _fold_wide(texts.filter(wide)))


def _fold_wide(texts: pa.Array) -> pa.Array:
    # Upper case first: several small letters, such as `σ` and `ς`, share a capital one, and `ß` has none.
    visible = pc.utf8_normalize(pc.replace_substring_regex(texts, _INVISIBLE, ""), form="NFKD")
    small = pc.replace_substring(pc.utf8_lower(pc.utf8_upper(visible)), "ß", "ss")
    return pc.utf8_normalize(small, form="NFKC")


def _fold_text(text: str) -> str:
    return _fold(pa.array([text]))[0].as_py()


def _picture_name(name: str) -> str:
    bare = name
    while bare.endswith(".png") and bare != ".png":
        bare = bare[: -len(".png")]
    suffix = PurePosixPath(bare).suffix.lower()
    if suffix in READ_SUFFIXES or (bare.endswith(".image") and bare != name):
        return f"{name}.png"
    if bare == name and suffix not in WRITTEN_SUFFIXES:
        return f"{name}.image.png"
    return name


def _folder_name(part: str) -> str:
    return f"{part}~" if _LIKE_A_PICTURE.search(_fold_text(part)) else part


def _add_hash(name: str, key: str) -> str:
    stem, _, suffix = name.rpartition(".")
    ending = f"~{short_hash(key, _NUM_HEX)}.{suffix}"
    return _cut(stem, MAX_PART_BYTES - len(ending)) + ending


def _is_long(part: str) -> bool:
    return _num_bytes(part) > MAX_PART_BYTES


def _num_bytes(text: str) -> int:
    return len(text.encode())


def _cut(text: str, num_bytes: int) -> str:
    return text.encode()[:num_bytes].decode(errors="ignore")
