"""The house's one rule: an import never points up. (Between neighbours of one layer it may go either way.)"""

import ast
from pathlib import Path

import pytest

import pyconv

ROOT = Path(pyconv.__file__).parent
# Layers from the ground up; a file may import from its own layer and from those before it.
LAYERS = [
    {"_version", "_extras", "_files", "__version__"},
    {"kernels"},
    {"ops"},
    {"graph", "functional"},
    {"nn", "optim"},
    {"train", "models", "data", "onnx", "interop", "viz", "analysis", "serialization", "config", "bench"},
    {"cli"},
    {"__init__", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FORBIDDEN = {
    ("ops", "graph"),
    ("kernels", "graph"),
    ("graph", "functional"),
}  # within or across layers, said in the design


def part(path):
    """The top-level part of the package that a file belongs to."""
    relative = path.relative_to(ROOT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path):
    """Parts of pyconv that a file imports, wherever in it, but for type checkers alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("pyconv."):
                    yield alias.name.split(".")[1], node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively: name the module in full"
            module = (node.module or "").split(".")
            if module[0] == "pyconv":
                for alias in node.names:
                    exported = (
                        pyconv._EXPORTS.get(alias.name) or alias.name
                    )  # a name of pyconv's own stands for its module
                    yield (module[1] if len(module) > 1 else exported.partition(".")[0]), node.lineno


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_never_point_up(path):
    here = part(path)
    assert here in LEVEL, f"{here} has no place among the layers: give it one in this test"
    for there, line in imports(path):
        assert there in LEVEL, f"{path}:{line} imports pyconv.{there}, which has no place among the layers"
        assert LEVEL[there] <= LEVEL[here], f"{path}:{line}: {here} must not import {there}, which stands above it"
        assert (here, there) not in FORBIDDEN, f"{path}:{line}: {here} must not import {there}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} opens without a docstring"
