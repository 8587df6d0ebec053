"""What runs a deployed file: which engine there is for which kind of file, and how it is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from jaxtyping import Float32
from numpy import ndarray

from stillbit.deploy.about import About
from stillbit.deploy.inputs import Given, Wanted
from stillbit.deploy.program import Array


class Engine(Protocol):
    """A program, ready to run."""

    name: str
    wanted: Wanted
    """What it takes in."""

    def __call__(self, *given: Array) -> Float32[ndarray, "n classes"]:
        """Logits of a batch of images, or of what else the model takes in: ``engine(input_ids, attention_mask)``."""

    def codes(self, given: Given, forced: Mapping[str, Array] | None = None) -> Iterator[tuple[str, Array]]:
        """The integers of every step that has some, by the name of its output, in the order of the program."""


class Opened(NamedTuple):
    """An engine, and what its file says of itself."""

    engine: Engine
    about: About


HEAD = 4096
"""Bytes of a file in which it says what it is."""
PACKED, GRAPH, IR = ".safetensors", ".onnx", ".xml"
ENGINES = {
    PACKED: ("integer", "exact", "reference"),
    GRAPH: ("onnxruntime",),
    IR: ("openvino",),
}
"""By the suffix of the file, the usual one first. exact is the integer runtime with the reference's floats."""


def kind_of(path: Path) -> str:
    """The suffix that says what a file is; refused where it is none of a deployed file."""
    suffix = path.suffix.lower()
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give a file that stillbit export wrote, {_inside(path)}")
    if suffix not in ENGINES:
        raise ValueError(f"{path} is no deployed file: give a {', '.join(ENGINES)} that stillbit export wrote")
    if not path.is_file():
        raise ValueError(f"there is no file {path}: stillbit export RUN writes one")
    return suffix


def _inside(folder: Path) -> str:
    """Which file of a folder may be meant: of a run what was exported, of an export what lies in it."""
    names = ("packed.safetensors", "model.onnx", "model.xml")
    there = (path for home in (folder / "deploy", folder) for path in map(home.joinpath, names) if path.is_file())
    found = next(there, None)
    return f"such as {found}" if found is not None else f"as stillbit export {folder} makes one of a run"


def open_engine(path: str | os.PathLike[str], engine: str | None = None) -> Opened:
    """The engine that runs this file, by its suffix, or another that can."""
    path = Path(path)
    kind = kind_of(path)
    can = ENGINES[kind]
    chosen = engine or can[0]
    if chosen not in can:
        known = any(chosen in names for names in ENGINES.values())
        wrong = f"{chosen!r} runs another kind of file" if known else f"there is no engine {chosen!r}"
        raise ValueError(f"{wrong}: {path.name} runs on {' or '.join(can)}")
    if kind == PACKED:
        return _packed(path, chosen)
    made: Any
    if kind == GRAPH:
        from stillbit.deploy.graphs.onnx_engine import OnnxRuntime

        made = OnnxRuntime(path)
    else:
        from stillbit.deploy.graphs.openvino_engine import OpenVino

        made = OpenVino(path)
    return Opened(made, made.about)


def _packed(path: Path, chosen: str) -> Opened:
    from stillbit.deploy.file.packed import FORMAT, read

    with path.open("rb") as file:
        head = file.read(HEAD)
    if FORMAT.encode() not in head and len(head) == HEAD:  # what is shorter is damaged, and the reader says how
        raise ValueError(f"{path} is no deployed file: stillbit export makes one of a run")
    packed = read(path)
    if chosen == "reference":
        from stillbit.deploy.runtime.reference import Reference

        return Opened(Reference(packed.program), packed.about)
    from stillbit.deploy.runtime.integer import Integer

    return Opened(Integer(packed.program, exact=chosen == "exact"), packed.about)
