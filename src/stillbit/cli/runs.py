"""``stillbit runs``: what came out, side by side."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from stillbit.cli.options import parse


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Compare runs: a row a run, with its best accuracy and its size."""

    folders: tyro.conf.Positional[tuple[Path, ...]] = (Path("output"),)
    """Runs, or folders of runs."""
    json: bool = False
    """Print JSON instead of a table."""


def run(words: Sequence[str]) -> int:
    """A row a run."""
    asked = parse(Runs, words, prog="stillbit runs")
    rows = [_row(path) for folder in asked.folders for path in _runs(folder)]
    if not rows:
        raise ValueError(f"there is no run in {', '.join(map(str, asked.folders))}: stillbit train METHOD makes one")
    console = Console(width=None if sys.stdout.isatty() else 200)  # a file has no edge to break lines at
    if asked.json:
        console.print_json(data=rows)
        return 0
    table = Table(box=None, header_style="bold", pad_edge=False)
    reads = any(row["task"] for row in rows)
    columns = {name: heading for name, heading in COLUMNS.items() if reads or name not in ("task", "score")}
    for name, heading in columns.items():
        table.add_column(heading, justify="right" if name in NUMBERS else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(_words(name, row[name]) for name in columns))
    console.print(table)
    return 0


COLUMNS = {
    **{name: name for name in ("run", "method", "model", "task", "bits", "top1", "score", "epochs")},
    "bytes": "size",
    "seconds": "trained in",
}
NUMBERS = ("top1", "score", "epochs", "bytes", "seconds")


def _runs(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}: give a run, or the --output of some")
    if (folder / "recipe.json").is_file():
        return [folder]
    inside = [path.parent for path in folder.glob("*/recipe.json")]
    return sorted(inside, key=lambda path: (path / "recipe.json").stat().st_mtime)


def _row(folder: Path) -> dict[str, Any]:
    """What is known of a run, finished or not."""
    recipe = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    ended = folder / "result.json"
    result = json.loads(ended.read_text(encoding="utf-8")) if ended.is_file() else {}
    return {
        "run": str(folder),
        "method": recipe["method"],
        "model": recipe["model"]["model"],
        "task": recipe.get("text", {}).get("task", ""),
        "bits": _bits(recipe, result),
        "top1": result.get("top1"),
        "score": result.get("score"),
        "epochs": result.get("epochs"),
        "bytes": result.get("weight_bytes"),
        "seconds": result.get("seconds"),
    }


def _bits(recipe: dict[str, Any], result: dict[str, Any]) -> str:
    """What was asked for, or what was learned."""
    if recipe["quant"] is None:
        return "float"
    if "weight_bits" not in result or "activation_bits" not in result:
        return str(recipe["quant"]["bits"])
    return f"w{result['weight_bits']:.2f}a{result['activation_bits']:.2f}"


def _words(name: str, value: Any) -> str:
    if value is None:
        return "not ended" if name == "epochs" else ""
    if name == "seconds":
        return f"{value:.0f} s" if value < 600 else f"{value / 3600:.1f} h"
    if name == "bytes":
        return f"{value / 1e3:.0f} kB" if value < 1e6 else f"{value / 1e6:.2f} MB"
    return f"{value:.2f} %" if name in ("top1", "score") else str(value)
