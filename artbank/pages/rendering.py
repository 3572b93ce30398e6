"""Render templates to HTML."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from artbank import __version__
from artbank.report.markdown import caption_text, plain, score_text, share_text, visible
from artbank.runtime.durations import seconds_text


def render(template: str, **facts: Any) -> str:
    """Render a template of `artbank/pages/templates`.

    Args:
        template: Its file name.
        facts: The template's variables; all are escaped, except `Markup`. Templates that extend
            `base.html` need `assets`: the files to link, relative to the page.

    Raises:
        jinja2.UndefinedError: The template uses a variable that is not given.
    """
    return _templates().get_template(template).render(version=__version__, **facts)


@cache
def _templates() -> Environment:
    loader = PackageLoader("artbank.pages")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "plain": plain,
        "visible": visible,
        "caption": caption_text,
        "score": score_text,
        "share": share_text,
        "duration": seconds_text,
    }
    environment.filters["number"] = lambda value: f"{value:,}"
    return environment
