"""``stillbit methods``: what there is to train by."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from stillbit.cli.options import parse
from stillbit.methods import RECIPES, described


@dataclass(frozen=True, kw_only=True)
class Methods:
    """List the methods, with what each is made of."""


def run(words: Sequence[str]) -> int:
    """A row a method."""
    parse(Methods, words, prog="stillbit methods")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("method", "weights", "activations", "what it is"):
        table.add_column(column)
    for name, what in described().items():
        quant = RECIPES[name]().quant
        words_of = ("float", "float") if quant is None else (quant.weight, quant.activation)
        table.add_row(name, *words_of, what)
    console = Console(width=None if sys.stdout.isatty() else 200)  # a file has no edge to break lines at
    console.print(table)
    console.print("\nstillbit train METHOD --help", highlight=False)
    return 0
