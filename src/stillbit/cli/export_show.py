"""What an export or a verification shows: a line a file, the proof, and what every layer computes on."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from stillbit.analysis.table import scaled
from stillbit.deploy.proof.outcome import Proof
from stillbit.deploy.proof.words import compared, explained, layered, table_of, tied, totals

if TYPE_CHECKING:
    from stillbit.cli.export import Export
    from stillbit.cli.verify import Verify

ROWS = 20


def shown(asked: Export | Verify, proof: Proof, lines: list[str]) -> None:
    """``lines``, and the proof; only the proof where it shall be JSON."""
    # A file has no edge to break lines at.
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    aside = Console(stderr=True, highlight=False) if asked.json else console
    if asked.json:
        console.out(proof.to_json(), end="", highlight=False)
    else:
        console.print(table_of(compared(proof)))
        console.print(explained(proof), style="dim", markup=False)
        if asked.layers:
            _ties(console, proof)
            console.print()
            console.print(table_of(layered(proof.layers)))
        console.print(totals(proof.layers, proof.noun), markup=False)
    for line in lines:
        aside.print(line, markup=False, soft_wrap=True)


def _ties(console: Console, proof: Proof) -> None:
    """Where codes differ."""
    sheet = tied(proof)
    if sheet.rows:
        console.print()
        console.print(table_of(sheet._replace(rows=sheet.rows[:ROWS])))
        more = len(sheet.rows) - ROWS
        if more > 0:
            console.print(f"... and {more:,} more rows: --json has all")


def line_of(path: Path, size: int, floating: int) -> str:
    """``written: model.onnx (282 kB, 3.0 times smaller than in float)``."""
    times = floating / size
    than = f"{times:.1f} times smaller" if times >= 1 else f"{1 / times:.1f} times larger"
    return f"written: {path} ({scaled(size)}B, {than} than in float)"


def float_bytes(model: Any) -> int:
    """What the weights take in float32, without what quantizers add."""
    held = (value for name, value in model.state_dict().items() if "_quantizer." not in name)
    return sum(4 * value.numel() for value in held)


def written(paths: Mapping[Path, int], model: Any) -> list[str]:
    """A line a file."""
    floating = float_bytes(model)
    return [line_of(path, size, floating) for path, size in paths.items()]
