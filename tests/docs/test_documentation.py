"""The documentation builds as a site, every link in it leads somewhere, and it fetches nothing from elsewhere."""

from __future__ import annotations

import html
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from pydantic import BaseModel

import artbank
from artbank import config, errors, recipes
from artbank.records import bank_records, photo_records
from artbank.records.row import Row
from tests.support.document_blocks import DOCUMENTS, ROOT

sys.path.insert(0, str(ROOT / "docs/_ext"))
import api_reference
import reference

MARKDOWN = MarkdownIt().enable("table")

FETCHED = re.compile(r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\b(?:src|srcset)=[\"'](?:https?:)?//")
STYLED = re.compile(r"<link\b[^>]*\brel=[\"'](?:stylesheet|preload|preconnect|icon)[\"'][^>]*href=[\"'](?:https?:)?//")
IN_STYLES = re.compile(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//")


def leaves(parent: type, *modules: ModuleType) -> list[type]:
    """Return the classes of some modules that are a parent's and nobody else's parent."""
    kinds = [kind for module in modules for kind in vars(module).values() if isinstance(kind, type)]
    own = {kind for kind in kinds if issubclass(kind, parent)}
    return sorted((kind for kind in own if not own & set(kind.__subclasses__())), key=lambda kind: kind.__name__)


MODELS = leaves(BaseModel, config, recipes)
ROWS = leaves(Row, bank_records, photo_records)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    words = ["--fail-on-warning", "--keep-going", "--quiet", "--builder", "html", "docs", str(folder)]
    done = subprocess.run([sys.executable, "-m", "sphinx", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def page(site: Path, name: str) -> str:
    """Return the text of a page without its tags."""
    return text_of((site / f"{name}.html").read_text())


def section(site: Path, name: str, anchor: str) -> str:
    """Return the text of a section of a page, without its tags and in one line."""
    [found] = re.findall(rf'<section id="{anchor}">(.*?)</section>', (site / f"{name}.html").read_text(), re.DOTALL)
    return " ".join(text_of(found).split())


def text_of(tagged: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", tagged))


def test_the_site_has_a_page_for_every_document(site: Path) -> None:
    documents = [path.relative_to(ROOT / "docs") for path in DOCUMENTS if path.is_relative_to(ROOT / "docs")]
    assert len(documents) > 15
    assert [name for name in documents if not (site / name.with_suffix(".html")).is_file()] == []


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    pages, styles = sorted(site.rglob("*.html")), sorted(site.rglob("*.css"))
    assert pages and styles
    assert [path.name for path in pages if FETCHED.search(path.read_text()) or STYLED.search(path.read_text())] == []
    assert [path.name for path in styles if IN_STYLES.search(path.read_text())] == []


@pytest.mark.parametrize(
    "tag",
    [
        '<script defer src="https://a.org/x.js">',
        '<img alt="a" src="//a.org/x.png">',
        '<link rel="stylesheet" href="https://a.org/x.css">',
    ],
)
def test_what_is_fetched_would_be_seen(tag: str) -> None:
    assert FETCHED.search(tag) or STYLED.search(tag)


def test_the_reference_of_the_command_line_has_every_command_and_option(site: Path) -> None:
    text, commands = page(site, "reference/commands"), dict(reference.list_commands())
    assert {"artbank train", "artbank banks", "artbank banks show", "artbank doctor"} < commands.keys()
    for words, command in commands.items():
        for parameter in command.params:
            if parameter.name != "help":
                assert parameter.help or parameter.param_type_name == "argument", f"{words} {parameter.name}"
                assert all(name in text for name in (*parameter.opts, *parameter.secondary_opts) if "-" in name)
                assert " ".join((parameter.help or "").split()).replace("`", "") in " ".join(text.split())


def test_the_reference_of_python_has_every_name_with_its_words_and_arguments(site: Path) -> None:
    text = " ".join(page(site, "reference/python").split())
    members = dict(api_reference.list_members())
    assert {"DrawingStyle.stylize", "TrainedBank.reference", "DrawnPicture.image"} < members.keys()
    for name, found in {**{name: getattr(artbank, name) for name in artbank.__all__}, **members}.items():
        first = (inspect.getdoc(found) or "").split("\n\n")[0]
        assert first and name in text and " ".join(first.replace("`", "").split()) in text, name
        if inspect.isfunction(found):
            described = set(re.findall(r"^ {4}(\w+): ", inspect.getdoc(found) or "", re.MULTILINE))
            assert inspect.signature(found).parameters.keys() - {"self"} <= described, name


def test_the_notebook_is_a_page_with_its_pictures(site: Path) -> None:
    shown = (site / "howto/python.html").read_text()
    assert shown.count("data:image/") >= 5 and "did you mean strength?" in shown


@pytest.mark.parametrize("model", MODELS)
def test_the_reference_of_the_configuration_has_every_field_with_its_words(site: Path, model: type[BaseModel]) -> None:
    text = section(site, "reference/configuration", model.__name__.lower())
    for name, field in model.model_fields.items():
        assert name in text and (field.description or "").replace("`", "") in text


def test_what_a_run_is_asked_to_do_is_in_more_than_one_model() -> None:
    assert {config.TrainConfig, config.WatchConfig, config.AlarmLimits, recipes.BankRecipe} < set(MODELS)
    assert config.RunConfig not in MODELS and len(ROWS) >= 4


@pytest.mark.parametrize("row", ROWS)
def test_every_column_is_described_and_nothing_else_is(site: Path, row: Any) -> None:
    described = reference.read_attributes(row)
    assert list(described) == row.SCHEMA.names
    text = " ".join(page(site, "reference/tables").split())
    assert all(words.replace("`", "") in text for words in described.values())


def test_every_kind_of_failure_and_every_error_is_described(site: Path) -> None:
    assert set(errors.FAILURES) == set(get_args(errors.Failure))
    text = " ".join(page(site, "reference/errors").split())
    assert all(words in text for words in errors.FAILURES.values())
    kinds = [name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 10 and all(name in text for name in kinds)


def test_ranges_and_defaults_are_told() -> None:
    told = reference.generate("config", "StylizeRecipe")
    assert "| `strength` | number, above 0, at most 1 | `0.9` |" in told
    assert "| `solver` | `ddim`, `dpm++2m`, `unipc`, `euler`, `euler_a`, `lcm` |" in told
    assert "| `archive_uri` | text | must be given |" in reference.generate("config", "StylizeConfig")


def links(path: Path) -> Iterator[str]:
    """Yield where the links and images of a document lead."""
    for token in MARKDOWN.parse(path.read_text()):
        for inner in token.children or ():
            if target := inner.attrs.get("href") or inner.attrs.get("src"):
                yield str(target)


def anchors(path: Path) -> set[str]:
    """Return the names that a forge gives the headings of a document."""
    tokens = MARKDOWN.parse(path.read_text())
    titles = [after.content for one, after in zip(tokens, tokens[1:], strict=False) if one.type == "heading_open"]
    plain = [re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles]
    generated = [re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain]
    return set(generated)


def broken(path: Path) -> Iterator[str]:
    """Yield the links of a document that lead nowhere when it is read on a forge."""
    for link in links(path):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = (path.parent / unquote(parts.path)) if parts.path else path
        if not target.exists() or (parts.fragment and parts.fragment not in anchors(target)):
            yield link


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere_on_a_forge_too(path: Path) -> None:
    assert list(broken(path)) == []


def test_the_readme_leads_to_every_document() -> None:
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md")} - {ROOT, ROOT / "docs"}
    others = [path for path in DOCUMENTS if path != ROOT / "README.md" and "{include}" not in path.read_text()]
    assert [path.name for path in others if not linked & {path, *path.parents}] == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text(
        "# One: `two`\n\n[a](#one-two) [b](#three) [c](b.md) ![d](c.png) [e](a.md#one-two) [f](https://a.org/x)\n"
    )
    assert list(broken(document)) == ["#three", "b.md", "c.png"]


def test_every_program_of_this_repository_that_a_document_names_is_there() -> None:
    texts = [path.read_text() for path in DOCUMENTS]
    names = {name for text in texts for name in re.findall(r"python\s+-m\s+((?:artbank|bench)[\w.]*\w)", text)}
    names |= {name.removesuffix(".py") for text in texts for name in re.findall(r"\bbench/\w+\.py\b", text)}
    paths = [ROOT / name.replace(".", "/") for name in names]
    assert len(paths) > 5
    assert [path.name for path in paths if not path.with_suffix(".py").is_file() and not path.is_dir()] == []
