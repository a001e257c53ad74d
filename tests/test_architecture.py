"""The layers of docs/architecture.md against the imports of every module, and the sizes of packages and modules."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("contimg", "workers", "web")
MAX_ENTRIES = 12
MAX_LINES = 400
# Package data and the entry points of a package are not entries to read; `contimg.client` is one, of users' scripts.
NOT_ENTRIES = frozenset({"__init__", "__main__", "__pycache__", "client", "data", "static", "templates"})


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__").removesuffix(".__main__")


MODULES = {module_name(path): path for source in SOURCES for path in sorted((ROOT / source).rglob("*.py"))}


def documented_layers() -> dict[str, int]:
    """The layer of each package in the table of docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", text, re.MULTILINE)
    return {package: int(number) for number, packages in rows for package in re.findall(r"`([\w.]+)`", packages)}


LAYERS = documented_layers()


def layer(module: str) -> int | None:
    """The layer of the longest documented prefix; None for the top-level `contimg` module."""
    parts = module.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((LAYERS[prefix] for prefix in prefixes if prefix in LAYERS), None)


def imports(module: str, *, at_load: bool = False) -> set[str]:
    """The project's modules that a module imports; with `at_load`, only those imported when it is loaded."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    nodes: list[ast.AST] = list(ast.walk(tree))
    if at_load:
        nodes = [node for statement in tree.body for node in _statements_at_load(statement)]
    targets: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            targets |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                targets.add(submodule if submodule in MODULES else node.module)
    return {target for target in targets if target in MODULES} - {module}


def _statements_at_load(statement: ast.stmt) -> list[ast.AST]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return []
    if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
        return []
    return list(ast.walk(statement))


def test_every_package_has_a_layer() -> None:
    assert {module for module in MODULES if layer(module) is None} == {"contimg"}
    assert all((ROOT / Path(*package.split("."))).exists() or package in MODULES for package in LAYERS)


def test_imports_lead_down() -> None:
    upward = {
        f"{module} (layer {own}) -> {target} (layer {layer(target)})"
        for module in MODULES
        for target in imports(module)
        if (own := layer(module)) is not None and (layer(target) or 0) > own
    }
    assert not upward


def test_no_import_cycle() -> None:
    graph = {module: imports(module, at_load=True) for module in MODULES}
    state: dict[str, int] = {}
    cycles: list[str] = []

    def visit(module: str, path: tuple[str, ...]) -> None:
        state[module] = 1
        for target in sorted(graph[module]):
            # A package's __init__ is loaded before its modules, so importing the own package is not followed.
            if module.startswith(f"{target}."):
                continue
            if state.get(target) == 1:
                cycles.append(" -> ".join((*path[path.index(target) :], target)) if target in path else target)
            elif target not in state:
                visit(target, (*path, target))
        state[module] = 2

    for module in sorted(graph):
        if module not in state:
            visit(module, (module,))
    assert not cycles


def test_pages_and_api_share_services_only() -> None:
    """Neither the pages of a subject import a module of the REST API, nor the other way round."""
    apis = {module for module in MODULES if module.startswith("web.") and module.endswith(".api")} - {"web.http.api"}
    pages = {module for module in MODULES if module.startswith("web.") and "pages" in module}
    assert len(apis) == 8
    assert not {(page, target) for page in pages for target in imports(page) & apis}
    assert not {(api, target) for api in apis for target in imports(api) & pages}


def test_packages_are_small() -> None:
    for package in sorted({path.parent for path in MODULES.values()}):
        modules = {path.stem for path in package.glob("*.py")}
        packages = {path.name for path in package.iterdir() if path.is_dir() and any(path.rglob("*.py"))}
        entries = (modules | packages) - NOT_ENTRIES
        assert len(entries) <= MAX_ENTRIES, f"{package.relative_to(ROOT)}: {len(entries)} entries"


def test_modules_are_read_in_one_sitting() -> None:
    lines = {
        name: len(path.read_text(encoding="utf-8").splitlines())
        for name, path in MODULES.items()
        if path.stem not in NOT_ENTRIES
    }
    assert not {name: count for name, count in lines.items() if count > MAX_LINES}
    assert 80 <= median(lines.values()) <= 180


def test_store_imports_no_heavy_library() -> None:
    """Commands and the panel start soon, and users without a home directory can run them (astropy reads one)."""
    text = "import sys, contimg.store, contimg.cli.store; print(*sys.modules)"
    outcome = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert not {"astropy", "scipy", "numba", "pyarrow"} & set(outcome.stdout.split())


@pytest.mark.parametrize(
    ("modules", "forbidden"),
    [
        (
            "contimg.cli.tile.convert, contimg.settings",
            "astropy casacore casatools h5py numba scipy.special sqlalchemy",
        ),
        ("contimg.tile.convert.run", "astropy casatools ducc0 matplotlib scipy.special sqlalchemy"),
    ],
    ids=["command", "stage"],
)
def test_convert_imports_what_it_needs(modules: str, forbidden: str) -> None:
    """The command's help and errors need no numerical library, and a conversion none of those that image."""
    text = f"import sys, {modules}; print(*sys.modules)"
    outcome = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert not set(forbidden.split()) & set(outcome.stdout.split())


def test_settings_are_checked_without_numerical_libraries() -> None:
    """Every process of the stream checks them when it starts."""
    text = "import sys, contimg.settings.tree as t; list(t.section_classes(t.SECTION_MODULES)); print(*sys.modules)"
    outcome = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert not {"astropy", "casacore", "h5py", "numba", "scipy.special"} & set(outcome.stdout.split())


def test_library_imports_neither_celery_nor_flask() -> None:
    for name, path in MODULES.items():
        if name.startswith("contimg") and not name.startswith("contimg.cli"):
            tops = {
                part.split(".")[0]
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                for part in (
                    [alias.name for alias in node.names] if isinstance(node, ast.Import)
                    else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                )
            }  # fmt: skip
            assert not tops & {"celery", "flask", "kombu"}, name
