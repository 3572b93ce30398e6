"""The dataset card of an output: the README.md with which its folder is a dataset of the Hugging Face hub.

Source: the fields of the hub's dataset cards and their `configs`, by its documentation of repositories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from artbank.errors import ResultsError
from artbank.report.markdown import escape, score_text, table
from artbank.results.containers import are_images, list_tar_columns
from artbank.results.layout import METADATA
from artbank.runtime.counts import number_are, number_text

CARD_COLUMNS = ("key", "style", "status", "file_name", "clip_style", "ssim", "base_model", "caption", "mark")
"""Columns of the results that a card is made from."""

_TAGS = ["art", "artbank", "style-transfer", "synthetic"]
_SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M"}
_LARGEST = "10M<n<100M"
_ALTERED = r"\$(\w|\{)|\\"
"""What `datasets` changes in paths."""
_DTYPES = {pa.string(): "string", pa.int64(): "int64", pa.float64(): "float64"}
"""Names of types in the features of `datasets`."""
_COLUMNS = {
    "key": "name of the photo in its archive",
    "style": "the style",
    "caption": "the photo's caption, where it had one and the run used it",
    "prompt": "the text that the picture was drawn with; the style is learned vectors, here by its name",
    "clip_style": "how like the style's artworks the picture is, a cosine of CLIP",
    "clip_content": "how like the photo it is, a cosine of CLIP",
    "ssim": "structural similarity of the lumas of picture and photo",
    "recipe_id": "equal where all settings and the model were equal",
    "mark": "`iptc` if the file says that a model made it",
}


def dataset_card(rows: pa.Table, title: str, licence: str) -> str:
    """Return the dataset card of an output, in Markdown with YAML before it.

    Args:
        rows: `results.parquet`, at least `CARD_COLUMNS`.
        title: Name of the dataset.
        licence: Id of a licence on the hub, such as `cc-by-4.0`; empty to name none.

    Raises:
        ResultsError: There is no picture.
    """
    done = rows.filter(pc.equal(rows["status"], "done"))
    if not len(done):
        raise ResultsError("expected at least one picture for a dataset card, found none; run stylize first")
    front = yaml.safe_dump(_front_matter(done, title, licence), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{_body(done, title)}"


def describe_altered_names(rows: pa.Table) -> str:
    """Return a sentence about the pictures that `datasets` would not find in a folder; empty if there are none.

    It takes `$NAME` in the path of a file for a variable of the environment, and a backslash for a slash.

    Args:
        rows: See `dataset_card`.
    """
    names = rows.filter(pc.equal(rows["status"], "done").fill_null(False))["file_name"]
    altered = names.filter(pc.match_substring_regex(names, _ALTERED).fill_null(False))
    if not len(altered):
        return ""
    count_text = number_text(len(altered), "picture")
    which = "its name" if len(altered) == 1 else "their names"
    return (
        f"{count_text} may not load from a folder, because `datasets` changes $ or \\ in {which}, such as "
        f"{altered[0].as_py()}; rename the photos, or stylize with --format webdataset or parquet"
    )


def describe_unnamed(files: Sequence[str], packed: Sequence[tuple[str, str]]) -> list[str]:
    """Return sentences about the pictures that would be published and that no table names.

    Args:
        files: Names of pictures in files of their own.
        packed: Key and style of pictures in containers.
    """
    notes = []
    if files:
        its = "its photo was" if len(files) == 1 else "their photos were"
        them = "it" if len(files) == 1 else "them"
        which = files[0] if len(files) == 1 else f"such as {files[0]}"
        notes.append(
            f"{number_are(len(files), 'picture')} in no row of results.parquet, and would be published: {which}; {its} "
            f"removed, or drawn again in another format. Run `artbank stylize` with --delete-removed, or delete {them} "
            "and run `artbank verify --repair`"
        )
    if packed:
        subject = "1 picture of a photo that is" if len(packed) == 1 else f"{len(packed):,} pictures of photos that are"
        where = "is in a container, and loads" if len(packed) == 1 else "are in containers, and load"
        key, style = packed[0]
        which = f"{key} in {style}" if len(packed) == 1 else f"such as {key} in {style}"
        them = "it" if len(packed) == 1 else "them"
        notes.append(
            f"{subject} no longer in the archive {where} with the others: {which}; `artbank stylize` with "
            f"--delete-removed deletes {them}"
        )
    return notes


def _front_matter(done: pa.Table, title: str, licence: str) -> dict[str, Any]:
    has_captions = bool(pc.any(pc.greater(pc.utf8_length(done["caption"].fill_null("")), 0)).as_py())
    configs = _list_configs(done)
    facts = {
        "pretty_name": title,
        "license": licence,
        "task_categories": ["image-to-image", *(["text-to-image"] if has_captions else [])],
        "tags": _TAGS,
        "size_categories": [next((name for most, name in _SIZES.items() if len(done) < most), _LARGEST)],
        "configs": [{"config_name": name, "data_files": files} for name, _, files in configs],
        "dataset_info": [
            {"config_name": name, "features": _list_tar_features(done)}
            for name, kind, _ in configs
            if kind == "webdataset"
        ],
    }
    return {name: value for name, value in facts.items() if value}


def _list_configs(done: pa.Table) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Return the name of a config of `datasets`, the format and the files of all styles, for each format."""
    is_image = are_images(done["file_name"])
    patterns = {
        "images": [METADATA, *_list_patterns(done.filter(is_image), "{style}/**/*{suffix}")],
        "webdataset": _list_patterns(_with_suffix(done, ".tar"), "{style}/*{suffix}"),
        "parquet": _list_patterns(_with_suffix(done, ".parquet"), "{style}/*{suffix}"),
    }
    if not pc.any(is_image).as_py():
        del patterns["images"]
    used = {name: files for name, files in patterns.items() if files}
    return [
        (kind if len(used) > 1 else "default", kind, [{"split": "train", "path": files}])
        for kind, files in used.items()
    ]


def _list_tar_features(done: pa.Table) -> list[dict[str, Any]]:
    """Return the features of `datasets` for tar files.

    Without them it derives types from the first five pictures, and fails at the first caption or flag after these, and
    where they are JPEG and PNG.
    """
    keys = _with_suffix(done, ".tar")["key"].to_pylist()
    return [
        {"name": name, "struct": [_feature(column) for column in kind]}
        if isinstance(kind, pa.Schema)
        else {"name": name, "dtype": kind}
        for name, kind in list_tar_columns(keys)
    ]


def _feature(column: pa.Field) -> dict[str, Any]:
    if pa.types.is_list(column.type):
        return {"name": column.name, "list": _DTYPES[column.type.value_type]}
    return {"name": column.name, "dtype": _DTYPES[column.type]}


def _with_suffix(done: pa.Table, suffix: str) -> pa.Table:
    return done.filter(pc.ends_with(done["file_name"], suffix))


def _list_patterns(rows: pa.Table, pattern: str) -> list[str]:
    names = zip(rows["style"].to_pylist(), rows["file_name"].to_pylist(), strict=True)
    endings = {(style, PurePosixPath(name).suffix) for style, name in names}
    return [pattern.format(style=style, suffix=suffix) for style, suffix in sorted(endings)]


def _body(done: pa.Table, title: str) -> str:
    models = ", ".join(escape(name) for name in sorted(set(done["base_model"].to_pylist())))
    marked = pc.sum(pc.equal(done["mark"].fill_null("none"), "iptc")).as_py() or 0
    styles = [_describe_style(done, style) for style in sorted(set(done["style"].to_pylist()))]
    sections = [
        f"# {escape(title)}",
        f"{number_text(len(done), 'picture')}, drawn from photos by artbank with the base model {models}, in the style "
        "of banks that were learned from artworks.",
        table(["style", "pictures", "mean clip_style", "mean ssim"], styles),
        f"## Columns\n\n{_list_columns(_COLUMNS)}",
        f"## Origin and licence\n\nA trained model drew these pictures. {marked:,} of {len(done):,} files say so "
        "themselves, by IPTC's DigitalSourceType. A picture depends on its photo, on the artworks of its style and on "
        "the base model. To publish it you need the rights to all three.",
    ]
    return "\n\n".join(sections) + "\n"


def _describe_style(done: pa.Table, style: str) -> tuple[str, str, str, str]:
    style_rows = done.filter(pc.equal(done["style"], style))
    means = [score_text(pc.mean(style_rows[name]).as_py()) for name in ("clip_style", "ssim")]
    return style, f"{len(style_rows):,}", means[0], means[1]


def _list_columns(columns: Mapping[str, str]) -> str:
    return "\n".join(f"* `{name}`: {text}" for name, text in columns.items())
