"""Where prose names code, `stillbit.layers.linear` has to import, and `quantizers/snap.py:snap` to exist."""

import ast
import dataclasses
import importlib
import re

import pytest

from tests.house.pages import pages, read, spans
from tests.house.source import PACKAGE, ROOT

# Pages about the past may name what is gone.
LIVING = [page for page in pages() if page != "CHANGELOG.md" and not page.startswith("docs/adr/")]


def resolves(symbol: str) -> bool:
    """Whether a dotted name leads to something: a module, its attributes, the fields of a dataclass."""
    parts = symbol.split(".")
    for cut in range(len(parts), 0, -1):
        name = ".".join(parts[:cut])
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not name.startswith(error.name or "?"):
                raise
            continue
        return has(found, parts[cut:])
    return False


def has(owner: object, attributes: list[str]) -> bool:
    if not attributes:
        return True
    first, *rest = attributes
    if hasattr(owner, first):
        return has(getattr(owner, first), rest)
    fields = {field.name for field in dataclasses.fields(owner)} if dataclasses.is_dataclass(owner) else set()
    return first in fields and not rest


def defines(place: str) -> bool:
    """Whether ``path.py:name`` or ``path.py:Class.method``, from the root or the package, is defined."""
    path, _, symbol = place.partition(":")
    candidates = [folder / path for folder in (ROOT, PACKAGE) if (folder / path).is_file()]
    return any(symbol in definitions(ast.parse(file.read_text()), "") for file in candidates)


def definitions(node: ast.AST, prefix: str) -> set[str]:
    names: set[str] = set()
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.ClassDef(name=name):
                names |= {prefix + name} | definitions(child, f"{prefix}{name}.")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(prefix + name)
            case ast.Assign(targets=targets):
                names |= {prefix + target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(prefix + name)
    return names


def unresolved(text: str) -> list[str]:
    symbols = [match[0] for span in spans(text) if (match := re.match(r"stillbit(\.[A-Za-z_]\w*)+", span))]
    places = [match[0] for span in spans(text) if (match := re.match(r"[\w/]+\.py:[A-Za-z_][\w.]*", span))]
    return [name for name in symbols if not resolves(name)] + [name for name in places if not defines(name)]


@pytest.mark.parametrize("page", LIVING)
def test_every_symbol_a_page_names_exists(page: str) -> None:
    assert not unresolved(read(page))


@pytest.mark.parametrize(
    "text",
    [
        "`stillbit.quantise(model)`",
        "`stillbit.cellar`",
        "`stillbit.quantizers.grid.Lattice`",
        "`stillbit.quantizers.grid.Grid.wq_bitw`",
        "`quantizers/grid.py:Lattice`",
        "`cellar/grid.py:Grid`",
    ],
)
def test_a_symbol_that_does_not_exist_is_seen(text: str) -> None:
    assert unresolved(text)


@pytest.mark.parametrize(
    "text",
    [
        "`stillbit.__version__`",
        "`stillbit.quantizers.grid.Grid(bits=4)`",
        "`stillbit.quantizers.grid.Grid.bits`",
        "`quantizers/grid.py:Grid`",
        "`src/stillbit/quantizers/grid.py:Grid.bits`",
        "```text\n`stillbit.cellar`\n```",
    ],
)
def test_a_symbol_that_exists_is_left_alone(text: str) -> None:
    assert not unresolved(text)
