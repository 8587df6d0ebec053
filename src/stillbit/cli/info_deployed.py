"""What ``stillbit info`` says of a deployed file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from stillbit.analysis.table import scaled
from stillbit.deploy.about import About
from stillbit.deploy.engine import ENGINES, PACKED, open_engine
from stillbit.deploy.file.packed import FORMAT, bytes_of, read
from stillbit.deploy.proof.layers import layers_of
from stillbit.deploy.proof.words import layered, table_of, totals


def is_deployed(path: Path) -> bool:
    """Whether ``stillbit export`` wrote it, and not ``stillbit.save``."""
    if not path.is_file() or path.suffix.lower() not in ENGINES:
        return False
    return path.suffix.lower() != PACKED or FORMAT.encode() in path.read_bytes()[:4096]


def rows_of(path: Path) -> dict[str, Any]:
    """What a file says of itself, by name."""
    if path.suffix.lower() == PACKED:
        said, about = {"kind": "packed"}, read(path).about
    else:
        opened = open_engine(path)
        said, about = {"kind": f"a graph for {opened.engine.name}"}, opened.about
    return {"file": path, **said, **_of(about), "size": _size(path)}


def show_layers(path: Path, console: Console) -> None:
    """What every layer computes on; a graph knows only its own operators."""
    if path.suffix.lower() != PACKED:
        return
    layers = layers_of(read(path).program)
    console.print()
    console.print(table_of(layered(layers)))
    console.print(totals(layers), markup=False)


def _of(about: About) -> dict[str, Any]:
    wanted, facts = about.preprocess, about.facts
    pictures = None
    if wanted is not None:
        pictures = f"{'x'.join(map(str, wanted.size))}, {wanted.interpolation}, {wanted.crop_pct:.3g} of a side"
    made = ", ".join(f"{name} {facts[name]}" for name in ("stillbit", "torch", "timm") if name in facts)
    return {
        "model": about.model or None,
        "method": about.method or None,
        "bits": about.bits or None,
        "classes": len(about.classes) or None,
        "pictures": pictures,
        "top1": f"{facts['top1']:.2f} %" if "top1" in facts else None,
        "made with": made or None,
    }


def _size(path: Path) -> str:
    if path.suffix.lower() != PACKED:
        return f"{scaled(path.stat().st_size)}B"
    kinds = sorted(bytes_of(path)["kinds"].items(), key=lambda kind: -kind[1])
    return f"{scaled(path.stat().st_size)}B: " + ", ".join(f"{scaled(size)}B {kind}" for kind, size in kinds if size)
