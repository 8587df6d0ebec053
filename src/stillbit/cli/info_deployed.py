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
from stillbit.deploy.proof.run import noun_of
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
    program = read(path).program
    layers = layers_of(program)
    console.print()
    console.print(table_of(layered(layers)))
    console.print(totals(layers, noun_of(program)), markup=False)


def _of(about: About) -> dict[str, Any]:
    facts, made_with = about.facts, ("stillbit", "torch", "timm", "transformers")
    made = ", ".join(f"{name} {facts[name]}" for name in made_with if name in facts)
    return {
        "model": about.model or None,
        "method": about.method or None,
        "bits": about.bits or None,
        "task": (about.text.task or None) if about.text is not None else None,
        "classes": _classes(about),
        "pictures": _pictures(about),
        **_texts(about),
        "score": f"{facts['score']:.2f} %" if "score" in facts else None,
        "top1": f"{facts['top1']:.2f} %" if "top1" in facts else None,
        "made with": made or None,
    }


def _classes(about: About) -> str | None:
    """How many; of texts, for which there are few, their names."""
    if not about.classes or about.text is None:
        return str(len(about.classes)) if about.classes else None
    return ", ".join(about.classes)


def _pictures(about: About) -> str | None:
    wanted = about.preprocess
    if wanted is None:
        return None
    return f"{'x'.join(map(str, wanted.size))}, {wanted.interpolation}, {wanted.crop_pct:.3g} of a side"


def _texts(about: About) -> dict[str, str]:
    reading = about.text
    if reading is None:
        return {}
    inside = "in the file" if reading.tokenizer else "beside the file, tokenizer.json"
    return {
        "texts": f"{'pairs' if reading.pairs else 'one at a time'}, of up to {reading.length} pieces",
        "inputs": ", ".join(reading.inputs),
        "tokenizer": inside,
    }


def _size(path: Path) -> str:
    if path.suffix.lower() != PACKED:
        return f"{scaled(path.stat().st_size)}B"
    kinds = sorted(bytes_of(path)["kinds"].items(), key=lambda kind: -kind[1])
    return f"{scaled(path.stat().st_size)}B: " + ", ".join(f"{scaled(size)}B {kind}" for kind, size in kinds if size)
