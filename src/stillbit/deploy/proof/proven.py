"""Files that are read again and proven before they get their names: what was there before survives whatever happens."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from torch import nn

from stillbit.data.whole import draft
from stillbit.deploy.about import About
from stillbit.deploy.engine import Engine
from stillbit.deploy.file.packed import FORMAT, Packed, read
from stillbit.deploy.file.packed import write as write_packed
from stillbit.deploy.inputs import Given, cut
from stillbit.deploy.program import Program
from stillbit.deploy.proof.outcome import Proof
from stillbit.deploy.proof.run import Told, prove
from stillbit.deploy.runtime.integer import Integer

SHOWN = 2
"""Images of which test vectors are written."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be written, and what proves it."""

    program: Program
    about: About
    model: nn.Module | None
    """The training model."""
    images: Given
    """Or what else the program takes in: an array for each of its inputs."""
    told: Told


@dataclass(frozen=True, kw_only=True)
class Format:
    """A kind of file."""

    file: str
    """What it is called in a folder of its own."""
    mark: bytes
    """What every such file has inside."""
    write: Callable[[Work, Path], Any]
    extra: str | None = None
    needs: tuple[str, ...] = ()
    """Packages that are not always there, and what brings them."""
    beside: str | None = None
    """The suffix of a second file."""

    def missing(self) -> str | None:
        """What has to be installed first, in a sentence."""
        lacks = [name for name in self.needs if find_spec(name) is None]
        return f'it needs {" and ".join(lacks)}: pip install "stillbit[{self.extra}]"' if lacks else None


def _onnx(flavour: Literal["integer", "compact"]) -> Callable[[Work, Path], Any]:
    def write(work: Work, path: Path) -> Any:
        from stillbit.deploy.graphs.onnx_file import write_onnx

        return write_onnx(work.program, work.about, path, flavour=flavour)

    return write


def _openvino(work: Work, path: Path) -> Any:
    from stillbit.deploy.graphs.openvino_file import write_openvino

    return write_openvino(work.program, work.about, path)


def _vectors(work: Work, path: Path) -> Any:
    from stillbit.deploy.file.vectors import dump

    dump(work.program, cut(work.images, 0, SHOWN), path)


def _graph(file: str, flavour: Literal["integer", "compact"]) -> Format:
    return Format(file=file, mark=b"stillbit", write=_onnx(flavour), extra="onnx", needs=("onnx", "onnxruntime"))


FORMATS: dict[str, Format] = {
    "packed": Format(
        file="packed.safetensors",
        mark=FORMAT.encode(),
        write=lambda work, path: write_packed(Packed(program=work.program, about=work.about), path),
    ),
    "onnx": _graph("model.onnx", "integer"),
    "onnx-compact": _graph("model-compact.onnx", "compact"),
    "openvino": Format(
        file="model.xml",
        mark=b"stillbit",
        write=_openvino,
        extra="openvino",
        needs=("onnx", "openvino"),
        beside=".bin",
    ),
    "vectors": Format(
        file="vectors.safetensors",
        mark=b"stillbit vectors",
        write=_vectors,
    ),
}
ENGINES = {"onnx": "onnxruntime", "onnx-compact": "onnxruntime-compact", "openvino": "openvino"}
"""What runs a graph, and its name in a proof."""


@dataclass(frozen=True)
class Delivered:
    """What was proven and written, and why the rest was not."""

    proof: Proof
    refused: dict[str, str]
    """Formats whose own engine failed, where others did not."""


def deliver(work: Work, targets: Mapping[str, Path]) -> Delivered:
    """Write every format of ``targets`` under a name of its own, prove what was written, and only then rename.

    A graph whose engine fails is not written; if anything else fails, nothing is.
    """
    check_places(targets)
    with ExitStack() as stack:
        drafts = {}
        for name, target in targets.items():
            drafts[name] = draft(target.parent, target.stem, *_endings(FORMATS[name], target))
            stack.callback(_remove, FORMATS[name], drafts[name])
            try:
                FORMATS[name].write(work, drafts[name])
            except OSError as error:
                raise ValueError(
                    f"{target} could not be written ({error.strerror}): make room, or choose another --output"
                ) from error
        proof = _proven(work, drafts)
        failures = proof.failures()
        refused = {name: failures[ENGINES[name]] for name in targets if ENGINES.get(name) in failures}
        if len(refused) < len(failures) or len(refused) == len(targets):
            raise ValueError(f"nothing was written: {proof.failure()}")
        for name in targets.keys() - refused.keys():
            _rename(FORMATS[name], drafts[name], targets[name])
    kept = tuple(each for each in proof.comparisons if each.engine not in failures)
    return Delivered(replace(proof, comparisons=kept), refused)


def check_places(targets: Mapping[str, Path]) -> None:
    """Refuse what may not be written to: asked before anything is computed."""
    for name, target in targets.items():
        _check(name, FORMATS[name], target)


def sizes(name: str, path: Path) -> int:
    """Bytes of a file, and of what lies beside it."""
    return sum(file.stat().st_size for file in _files(FORMATS[name], path))


def _proven(work: Work, drafts: Mapping[str, Path]) -> Proof:
    """What was written is read again; what was not is proven from memory."""
    program = work.program
    if "packed" in drafts:
        again = read(drafts["packed"]).program
        assert again.steps == program.steps, "a packed file gives back what went in"
        program = replace(again, roundings=program.roundings)
    engines: dict[str, Engine] = {"exact": Integer(program, exact=True), "integer": Integer(program)}
    if "onnx" in drafts or "onnx-compact" in drafts:
        from stillbit.deploy.graphs.onnx_engine import OnnxRuntime

        engines |= {ENGINES[name]: OnnxRuntime(drafts[name]) for name in ("onnx", "onnx-compact") if name in drafts}
    if "openvino" in drafts:
        from stillbit.deploy.graphs.openvino_engine import OpenVino

        engines["openvino"] = OpenVino(drafts["openvino"])
    return prove(work.model, program, engines, work.images, work.told)


def _check(name: str, kind: Format, target: Path) -> None:
    """Only a file of the same kind is replaced: a slip of the keyboard costs no training."""
    if target.is_dir():
        raise ValueError(f"{target} is a folder: name a file in it, --output {target / kind.file}")
    if target.suffix != Path(kind.file).suffix:
        named = target.with_suffix(Path(kind.file).suffix).name
        raise ValueError(f"{name} files end in {Path(kind.file).suffix}, and this is {target.name}: --output {named}")
    if target.exists() and kind.mark not in target.read_bytes():
        raise ValueError(f"{target} is there, and stillbit export did not write it: choose another --output")


def _files(kind: Format, path: Path) -> list[Path]:
    return [path] if kind.beside is None else [path.with_suffix(kind.beside), path]


def _endings(kind: Format, path: Path) -> list[str]:
    """The suffix of the file itself comes first."""
    return [file.suffix for file in reversed(_files(kind, path))]


def _remove(kind: Format, draft: Path) -> None:
    for path in _files(kind, draft):
        path.unlink(missing_ok=True)


def _rename(kind: Format, draft: Path, target: Path) -> None:
    """The file that names the other comes last."""
    for path, final in zip(_files(kind, draft), _files(kind, target), strict=True):
        os.replace(path, final)
