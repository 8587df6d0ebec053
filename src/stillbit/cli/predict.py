"""``stillbit predict``: what a deployed model sees in pictures. It needs torch, numpy and Pillow, and no timm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console

from stillbit.cli.options import parse


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Say what a deployed model sees in pictures."""

    file: tyro.conf.Positional[Path]
    """A file that stillbit export wrote: .safetensors, .onnx or .xml."""
    pictures: tyro.conf.Positional[tuple[Path, ...]]
    """Pictures, or folders of them."""
    top: int = 5
    """How many classes of each picture."""
    engine: Literal["integer", "exact", "reference", "onnxruntime", "openvino"] | None = None
    """What runs it; the usual one for its kind of file if not given."""
    json: bool = False
    """Print JSON instead of a table."""

    def __post_init__(self) -> None:
        """Refuse to say nothing."""
        if self.top < 1:
            raise ValueError(f"a picture shows one class at least, got {self.top}: --top 5")
        if not self.pictures:
            raise ValueError(f"there is nothing to look at: stillbit predict {self.file} PICTURE ...")


def run(words: Sequence[str]) -> int:
    """A block of lines a picture; a picture that cannot be used is named, and the others are shown."""
    asked = parse(Predict, words, prog="stillbit predict")
    from stillbit.deploy.engine import open_engine
    from stillbit.deploy.picture import files_of

    files = files_of(asked.pictures)
    engine, about = open_engine(asked.file, asked.engine)
    if about.preprocess is None:
        raise ValueError(f"{asked.file} does not say how it wants its pictures: export it again from its run")
    console, aside = Console(highlight=False), Console(stderr=True, highlight=False)
    found, broken = [], 0
    for number, path in enumerate(files):
        try:
            seen = _seen(engine, about, path, asked.top)
        except ValueError as error:
            broken += 1
            aside.print(f"stillbit: {error}", markup=False, soft_wrap=True)
            continue
        if not asked.json:
            _print(console, path, seen, apart=number > broken)
        found.append({"picture": str(path), "classes": seen})
    if asked.json:
        console.print_json(data=found)
    return 2 if broken else 0


def _seen(engine: Any, about: Any, path: Path, top: int) -> list[dict[str, Any]]:
    """The likeliest classes, the likeliest first."""
    import numpy as np

    from stillbit.deploy.picture import input_of, opened

    logits = engine(input_of(opened(path), about.preprocess)[None])[0].astype(np.float64)
    likely = np.exp(logits - logits.max())
    likely /= likely.sum()
    order = np.argsort(-likely, kind="stable")[:top]
    return [
        {"class": int(each), "name": _name(about.classes, int(each)), "probability": float(likely[each])}
        for each in order
    ]


def _name(classes: tuple[str, ...], number: int) -> str:
    return classes[number] if number < len(classes) else f"class {number}"


def _print(console: Console, path: Path, seen: list[dict[str, Any]], *, apart: bool) -> None:
    if apart:
        console.print()
    console.print(str(path), markup=False, soft_wrap=True, style="bold")
    for row in seen:
        console.print(f"  {row['probability']:7.2%}  {row['name']}", markup=False, soft_wrap=True)
