"""No module imports one above it; see the order at the top of `artbank/__init__.py`."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Collection, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import artbank

ROOT = Path(artbank.__file__).parent.parent
PACKAGES = ("artbank", "artbank_prefect", "tasks", "flows", "artbank_cli", "bench/peers")
FORBIDDEN = {
    "artbank": ("prefect", "tasks", "flows", "artbank_cli", "bench"),
    "artbank_prefect": ("artbank", "prefect", "artbank_cli", "bench"),
    "tasks": ("flows", "artbank_cli", "bench"),
    "flows": ("torch", "diffusers", "transformers", "pyarrow", "fsspec", "s3fs", "artbank_cli", "bench"),
    "artbank_cli": ("bench",),
    "bench/peers": ("prefect", "tasks", "flows", "artbank_cli"),
}
WITH_NAMES = ("artbank", "mini")
"""Packages whose `__init__` defines names of its own: the API and the version, the folder of the weights."""
FACE = ROOT / "artbank/__init__.py"
"""It names the API for type checkers, and imports it only when a name is used."""
STORIES = {"gallery", "archive"}
MODEL_PACKAGES = {"mini", "diffusion", "bank", "stylization", "scoring"}
ORDER = [
    line.split()[0]
    for line in (artbank.__doc__ or "").splitlines()
    if line.startswith("    ") and len(line.split()) > 1
]
"""The modules and packages of the core, lowest first, as its docstring lists them."""


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path, *, hints: bool = True) -> Iterator[str]:
    """Yield the dotted names that a module imports, wherever in it; those for type hints alone if `hints`."""
    tree = ast.parse(path.read_text())
    skipped = set() if hints else {id(inner) for node in ast.walk(tree) if _is_hint(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_hint(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def top(name: str) -> str:
    return name.removeprefix("artbank_prefect.").split(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_imports_one_above_it(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in imports(path, hints=package != "tasks")
        if top(name) in FORBIDDEN[package]
    ]
    assert modules(package) and found == []


def test_flows_know_only_what_a_run_is_asked_and_what_came_of_it() -> None:
    names = {name for path in modules("flows") for name in imports(path) if top(name) == "artbank"}
    assert names and {name.split(".")[1] for name in names} <= {"config", "errors", "runtime", "runs"}


def test_tasks_import_the_core_only_where_they_run() -> None:
    for path in modules("tasks"):
        at_top = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)]
        heavy = [node.module for node in at_top if top(node.module or "") in ("torch", "pyarrow", "diffusers")]
        assert heavy == []


def test_the_order_names_every_module_of_the_core() -> None:
    paths = [path for path in (ROOT / "artbank").iterdir() if path.is_dir() or path.suffix == ".py"]
    assert sorted(ORDER) == sorted({path.stem for path in paths} - {"__init__", "__main__", "__pycache__"})


def test_each_module_of_the_core_imports_only_those_before_it() -> None:
    wrong = []
    for path in modules("artbank"):
        own = path.relative_to(ROOT / "artbank").parts[0].removesuffix(".py")
        names = imports(path, hints=path != FACE)
        used = {name.split(".")[1] for name in names if name.startswith("artbank.")} - {"__version__", own}
        allowed = ORDER[: ORDER.index(own)] if own in ORDER else []
        wrong += [f"{own} imports {name}" for name in sorted(used) if name not in allowed]
    assert wrong == []


def test_the_two_stories_do_not_import_each_other() -> None:
    for own in STORIES:
        used = {name.split(".")[1] for path in modules(f"artbank/{own}") for name in imports(path) if "." in name}
        assert used & (STORIES - {own}) == set()


def test_results_know_no_model() -> None:
    used = {name.split(".")[1] for path in modules("artbank/results") for name in imports(path) if "." in name}
    assert used & MODEL_PACKAGES == set()


def test_no_modules_of_the_core_import_each_other_in_a_circle() -> None:
    names = {_dotted(path): path for path in modules("artbank")}
    graph = {
        name: {_module_of(used, names) for used in imports(path, hints=path != FACE)} - {None, name}
        for name, path in names.items()
    }
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_the_face_of_a_package_imports_nothing() -> None:
    faces = [path for path in modules("artbank") if path.name == "__init__.py" and path.parent.name not in WITH_NAMES]
    assert [str(path) for path in faces if list(imports(path))] == []


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _module_of(name: str, known: Collection[str]) -> str | None:
    """Return the module that an imported dotted name is, or is in; None where it is not of the core."""
    return next((module for module in (name, name.rpartition(".")[0]) if module in known), None)


def test_the_core_is_imported_without_prefect() -> None:
    code = "import sys; sys.modules['prefect'] = None\nimport artbank, artbank.config, artbank.catalog.catalog"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_flows_are_imported_without_torch() -> None:
    code = (
        "import artbank_prefect.flows.train_banks, artbank_prefect.flows.stylize_archive, sys\n"
        "print([name for name in ('torch', 'diffusers', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip().splitlines()[-1] == "[]"


MODELS = ("torch", "diffusers", "transformers", "prefect")
TABLES_AND_IMAGES = ("pyarrow", "PIL", "cv2", "scipy", "skimage", "numpy", "s3fs", "prometheus_client")


@pytest.mark.parametrize(
    ("names", "unwanted"),
    [
        ("artbank.report.markdown", MODELS + TABLES_AND_IMAGES),
        ("artbank.results.layout", MODELS + TABLES_AND_IMAGES),
        ("artbank.store.objects, artbank.store.leases, artbank.store.tensor_files", MODELS + TABLES_AND_IMAGES),
        ("artbank.config, artbank.runs.outcome, artbank.runtime.prefetch", MODELS + TABLES_AND_IMAGES),
        ("artbank_cli.main", MODELS + TABLES_AND_IMAGES),
        ("artbank.api.bank_store", MODELS),
        ("artbank.catalog.catalog, artbank.catalog.bank_files, artbank.results.verification.verify", MODELS),
        ("artbank.report.summaries, artbank.pages.outcome.page, artbank.pages.banks.build", MODELS),
        ("artbank.pages.comparison.page, artbank.comparison.preference", MODELS),
        ("artbank.images.pool, artbank.store.tensor_files, artbank.gallery.collections", MODELS),
        ("artbank.bank.bank", ("diffusers", "transformers", "prefect")),
        ("artbank.archive.local_run, artbank.gallery.local_run", MODELS),
        ("artbank.bank.bank_file", MODELS),
        (
            "artbank_cli.private_server, artbank_prefect.flows.stylize_archive",
            ("prefect.server", "fastapi", "sqlalchemy", "torch"),
        ),
    ],
)
def test_what_needs_no_model_loads_none(names: str, unwanted: tuple[str, ...]) -> None:
    code = f"import sys, {names}\nprint([name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
