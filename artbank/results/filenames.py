"""Names of pictures, made of photos' keys so that no file system takes one for another.

A picture has its photo's key, with a suffix it can be written under, wherever that is safe. It is marked by a hash of
the key, `roll/img~0123456789abcdef.jpg`, where it is not: where a file system that minds neither case nor Unicode's
many spellings would give two photos one name, where the name is too long, and where it looks marked already.

Folded texts are compared and never used as paths: folding makes `/` and `..` of signs that only look like them.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from artbank.images.suffixes import READ_SUFFIXES, WRITTEN_SUFFIXES

MAX_PART_BYTES = 240  # file systems end at 255 bytes; a synchronizing program may add an ending of its own
MAX_FOLDER_BYTES = 450  # with a last part 691: an S3 key holds 1024, output prefix and style included
_SHORT_FOLDER_BYTES = 60
_NUM_HEX = 16
_FOLDED_AT_ONCE = 65_536

_MARKED = re.compile(rf"~[0-9a-f]{{{_NUM_HEX}}}\.[a-z]+$")
_LIKE_A_PICTURE = re.compile(rf"({'|'.join(map(re.escape, WRITTEN_SUFFIXES))})[~. ]*$")
_INVISIBLE = (  # Unicode's default ignorable code points, which some file systems leave out when they compare
    r"[\x{AD}\x{34F}\x{61C}\x{115F}\x{1160}\x{17B4}\x{17B5}\x{180B}-\x{180F}\x{200B}-\x{200F}\x{202A}-\x{202E}"
    r"\x{2060}-\x{206F}\x{3164}\x{FE00}-\x{FE0F}\x{FEFF}\x{FFA0}\x{FFF0}-\x{FFF8}\x{1BCA0}-\x{1BCA3}"
    r"\x{1D173}-\x{1D17A}\x{E0000}-\x{E0FFF}]+"
)
_FOLDER_ENDINGS = r"[~. ]+/"  # Windows drops dots and spaces, `output_name` adds `~`
_ADDED_ENDINGS = r"(\.image|\.png)+$"  # all that `output_name` may add to a key, and more


def output_name(key: str, *, is_ambiguous: bool = False) -> str:
    """Return where the picture of a photo goes below its style's folder; no two keys share a name.

    JPEG, PNG and WebP keep their name; other image files get `.png` added, and names that are of no image `.image.png`.
    What already looks like an added name (`scan.tif.png`) gets one more `.png`. A folder whose name looks like a
    picture's gets `~` added. Folders that are too long become a single one.

    Args:
        key: The photo's; one that `keys.check_key` lets pass.
        is_ambiguous: Whether `find_ambiguous` found the key among those of its archive.
    """
    *folders, name = key.split("/")
    folders, name = [_folder_name(folder) for folder in folders], _picture_name(name)
    is_deep = _num_bytes("/".join(folders)) > MAX_FOLDER_BYTES or any(map(_is_long, folders))
    if is_ambiguous or is_deep or _is_long(name) or _MARKED.search(_fold_text(name)):
        name = _mark(name, key)
    if is_deep:
        folders = [f"{_cut(folders[-1], _SHORT_FOLDER_BYTES)}~{_digest('/'.join(folders))}"]
    return "/".join([*folders, name])


def find_ambiguous(keys: pa.ChunkedArray) -> pa.Array:
    """Return those keys whose plain names some file system may take for one another, and perhaps a few more.

    Args:
        keys: All keys of an archive; one that comes several times counts once.
    """
    distinct = keys.unique()
    starts = range(0, len(distinct), _FOLDED_AT_ONCE)
    likenesses = pa.chunked_array([_likeness(distinct.slice(s, _FOLDED_AT_ONCE)) for s in starts], pa.string())
    counted = likenesses.value_counts()
    shared = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
    return distinct.filter(pc.is_in(likenesses, value_set=shared).combine_chunks())


def _likeness(keys: pa.Array) -> pa.Array:
    """Return a text for each key that is the same wherever folding makes the same of two plain names."""
    bare = pc.replace_substring_regex(_fold(keys), _FOLDER_ENDINGS, "/")
    return pc.replace_substring_regex(bare, _ADDED_ENDINGS, "")


def _fold(texts: pa.Array) -> pa.Array:
    """Return texts without what file systems may not mind: case, spelling, invisible characters."""
    wide = pc.invert(pc.string_is_ascii(texts))
    folded = pc.ascii_lower(texts)
    return pc.replace_with_mask(folded, wide, _fold_wide(texts.filter(wide))) if pc.any(wide).as_py() else folded


def _fold_wide(texts: pa.Array) -> pa.Array:
    # Upper case first: several small letters share a capital one, `σ` and `ς`, and `ß` has none.
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


def _mark(name: str, key: str) -> str:
    stem, _, suffix = name.rpartition(".")
    ending = f"~{_digest(key)}.{suffix}"
    return _cut(stem, MAX_PART_BYTES - len(ending)) + ending


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_NUM_HEX]


def _is_long(part: str) -> bool:
    return _num_bytes(part) > MAX_PART_BYTES


def _num_bytes(text: str) -> int:
    return len(text.encode())


def _cut(text: str, num_bytes: int) -> str:
    return text.encode()[:num_bytes].decode(errors="ignore")
