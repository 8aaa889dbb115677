"""Imports point downward only, as the table below says, and help shows without the heavy libraries."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "captioner"

LAYERS = {
    0: {"captioner", "errors", "config", "configfile", "text", "vocab", "transform", "caption", "calibration", "batch"}
    | {"files", "events", "heeding", "memory", "compute", "parallel", "processes", "registry"},
    1: {"data", "model", "sampling"},
    2: {"checkpoint", "constraints", "predictor", "preprocess", "rows", "folder", "training", "evaluation", "pages"}
    | {"experiment", "loading", "scoring", "export", "doctor", "quickstart"},
    3: {"serving"},
    4: {"cli", "__main__"},
}
"""Modules and folders of captioner/, lowest layer first: each may import from its own layer and those below."""

FORBIDDEN = {
    "data": {"model", "sampling"},
    "model": {"data", "sampling", "text", "vocab"},
    "sampling": {"data", "model", "text", "vocab"},
}
"""What parts of one layer, and those below, must not know of."""


def modules() -> dict[str, Path]:
    """Every module's dotted name below the package: ``data.images``; the package itself is ``captioner``."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        found[".".join(parts) or "captioner"] = path
    return found


MODULES = modules()


def part_of(module: str) -> str:
    return module.split(".")[0]


def layer_of(module: str) -> int:
    for layer, parts in LAYERS.items():
        if part_of(module) in parts:
            return layer
    raise AssertionError(
        f"captioner.{module} is in no layer: add '{part_of(module)}' to LAYERS in {Path(__file__).name}, "
        "and to the layers of the architecture's description"
    )


def statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports below ``node``, also those inside functions, but not those for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from statements(other)
        else:
            yield from statements(child)


def imports(module: str) -> set[str]:
    """The modules of captioner that ``module`` imports."""
    found = set()
    for statement in statements(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        else:
            assert statement.level == 0, f"captioner.{module}, line {statement.lineno}: write the import in full"
            # "from captioner.cli import train" imports a module, "from captioner.errors import nearest" does not.
            names = [f"{statement.module}.{alias.name}" for alias in statement.names]
        for name in names:
            if name.split(".")[0] == "captioner":
                inner = name.removeprefix("captioner").removeprefix(".")
                found.add(inner if inner in MODULES else inner.rpartition(".")[0] or "captioner")
    return found


def test_modules_are_found() -> None:
    assert {"captioner", "__main__", "data.images", "model", "cli.app"} <= set(MODULES)
    assert imports("cli.app") >= {"cli.train", "errors", "captioner"}
    assert "data.features" in imports("preprocess")


# __init__ names the public class for those who import it from there; the next test says that it does so late.
@pytest.mark.parametrize("module", [module for module in MODULES if module != "captioner"])
def test_no_import_points_upward(module: str) -> None:
    upward = {other for other in imports(module) if layer_of(other) > layer_of(module)}
    assert not upward, f"captioner.{module} is in layer {layer_of(module)} and must not import {sorted(upward)}"


def test_the_package_itself_imports_nothing_when_imported() -> None:
    tree = ast.parse(MODULES["captioner"].read_text(encoding="utf-8"))
    at_once = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in at_once] == ["from typing import TYPE_CHECKING, Any"]


@pytest.mark.parametrize("part", FORBIDDEN)
def test_parts_of_one_layer_know_nothing_of_each_other(part: str) -> None:
    known = {other for module in MODULES if part_of(module) == part for other in imports(module)}
    assert not {other for other in known if part_of(other) in FORBIDDEN[part]}


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {module: imports(module) - {"captioner"} for module in MODULES if module != "captioner"}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a cycle of imports: {' -> '.join([*path[path.index(module) :], module])}"
        if module not in done:
            for other in graph[module]:
                visit(other, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize(
    "line",
    ["--help", "train --help", "caption --help", "lint --help", "serve --help", "quickstart --help", "--version"],
)
def test_help_imports_no_heavy_library(line: str) -> None:
    code = (
        "import sys; sys.argv = ['captioner', *sys.argv[1:]]\n"
        "from captioner.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as leaving:\n    assert not leaving.code\n"
        "heavy = {'torch', 'torchvision', 'numpy', 'nltk', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'imported {sorted(heavy)}' if heavy else 0)"
    )
    finished = subprocess.run([sys.executable, "-c", code, *line.split()], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout


def test_the_public_class_is_there_and_other_names_are_not() -> None:
    import captioner
    from captioner.predictor import Captioner

    assert captioner.Captioner is Captioner
    with pytest.raises(AttributeError, match="module 'captioner' has no attribute 'Captoiner'"):
        _ = captioner.Captoiner
