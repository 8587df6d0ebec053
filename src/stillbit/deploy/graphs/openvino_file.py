"""A program as OpenVINO's own format: a graph in a .xml, its weights in a .bin beside it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from stillbit.deploy.about import About
from stillbit.deploy.graphs.onnx_file import model_of
from stillbit.deploy.graphs.sides import Dialect
from stillbit.deploy.program import Program

SECTION = "stillbit"
"""Of the runtime information in the .xml."""
WEIGHTS = "weights"
HASH = re.compile(rb'<weights value="([0-9a-f]{64})"')
"""Of the .bin, as the .xml has it, so that nobody computes with a graph and the weights of another."""


def write_openvino(program: Program, about: About, path: Path) -> int:
    """Write ``path``, a .xml, and the .bin beside it: both or nothing. How many bytes they have."""
    path = Path(path)
    if path.suffix != ".xml":
        raise ValueError(f"OpenVINO reads graphs from .xml: write {path.with_suffix('.xml')}")
    openvino = package()
    graph, written = model_of(program, about, Dialect(openvino=True))
    model = openvino.Core().read_model(graph.SerializeToString())
    for key, value in written.to_strings().items():
        model.set_rt_info(value, [SECTION, key])
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        made = Path(folder) / path.name
        openvino.save_model(model, made, compress_to_fp16=False)
        model.set_rt_info(hash_of(made.with_suffix(".bin")), [SECTION, WEIGHTS])
        openvino.save_model(model, made, compress_to_fp16=False)
        size = made.stat().st_size + made.with_suffix(".bin").stat().st_size
        _moved_together({made.with_suffix(".bin"): path.with_suffix(".bin"), made: path}, Path(folder) / "before")
    return size


def hash_of(weights: Path) -> str:
    """Of the bytes in a file."""
    return hashlib.sha256(weights.read_bytes()).hexdigest()


def _moved_together(moves: dict[Path, Path], aside: Path) -> None:
    """Move files to where they belong; if that ends in the middle, those that were there before come back."""
    aside.mkdir()
    kept = {target: aside / target.name for target in moves.values() if target.exists()}
    for target, copy in kept.items():
        shutil.copy2(target, copy)
    try:
        for source, target in moves.items():
            with source.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(source, target)
    except BaseException:
        for target in moves.values():
            if target in kept:
                os.replace(kept[target], target)
            else:
                target.unlink(missing_ok=True)
        raise


def package() -> Any:
    """OpenVINO, if it is there."""
    try:
        import openvino
    except ImportError:
        raise ValueError('OpenVINO needs a package more: pip install "stillbit[openvino]"') from None
    return openvino
