"""The Python under src/stillbit as the house's tests see it: its files, and the names they use."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "stillbit"


def files() -> list[Path]:
    """Every Python file of the package."""
    found = sorted(PACKAGE.rglob("*.py"))
    assert found, f"no Python file under {PACKAGE}: the tests of the house would watch over nothing"
    return found


def names_used(code: str) -> Iterator[tuple[int, str]]:
    """Every name that the code reads or imports, by line: ``round``, ``torch.round``, ``.round`` of a value.

    Comments, docstrings and the names of arguments do not count.
    """
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                yield node.lineno, name
            case ast.Attribute():
                yield node.lineno, _dotted(node)
            case ast.Import(names=aliases):
                yield from ((node.lineno, alias.name) for alias in aliases)
            case ast.ImportFrom(module=module, names=aliases):
                yield from ((node.lineno, f"{module or ''}.{alias.name}") for alias in aliases)


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{_dotted(value)}.{attr}"
    return ""
