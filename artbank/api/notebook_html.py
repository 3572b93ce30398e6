"""HTML that notebooks show for banks, stores and pictures; it holds its images and asks for nothing from elsewhere."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from PIL import Image

from artbank.report.markdown import visible

_MOST_PX = 512  # of a side: the notebook keeps every image that it shows
_QUALITY = 90


def pair(photo: Image.Image, picture: Image.Image, caption: str) -> str:
    """Return a photo and its picture side by side, with a caption below."""
    images = "".join(_image(image, alt) for image, alt in ((photo, "photo"), (picture, caption)))
    return f"<figure style='margin:0'>{images}<figcaption>{_text(caption)}</figcaption></figure>"


def facts(title: str, rows: Mapping[str, str], preview: bytes | None) -> str:
    """Return a title, a table of facts, and a preview (a JPEG) if there is one."""
    shown = "" if preview is None else f"{_embed(preview, title)}<br>"
    body = "".join(f"<tr><th style='text-align:left'>{_text(k)}</th><td>{_text(v)}</td></tr>" for k, v in rows.items())
    return f"<div><b>{_text(title)}</b><br>{shown}<table>{body}</table></div>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [_row("th", head), *(_row("td", row) for row in rows)]
    return f"<table>{''.join(lines)}</table>"


def text_block(text: str) -> str:
    """Return a text as it is."""
    return f"<pre>{_text(text)}</pre>"


def _row(kind: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{kind}>{_text(cell)}</{kind}>' for cell in cells)}</tr>"


def _text(text: str) -> str:
    return escape(visible(text))


def _image(image: Image.Image, alt: str) -> str:
    small = image.convert("RGB")
    small.thumbnail((_MOST_PX, _MOST_PX))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_QUALITY)
    return _embed(file.getvalue(), alt)


def _embed(jpeg: bytes, alt: str) -> str:
    source = f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
    return f"<img src='{source}' alt='{_text(alt)}' style='display:inline;max-width:49%'>"
