"""``stillbit export``: a trained model as a file that computes on integers, proven before it gets its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console

from stillbit.cli.options import parse
from stillbit.cli.proving import Proving

if TYPE_CHECKING:
    from stillbit.deploy.about import About
    from stillbit.deploy.proof.outcome import Proof

Kind = Literal["packed", "onnx", "onnx-compact", "openvino", "vectors", "all", "folder"]
ALL = ("packed", "onnx", "onnx-compact", "openvino")
HUB = ("packed", "onnx")
SHORTEST = 8
"""Pieces of a text, as for `stillbit train --max-length`."""


@dataclass(frozen=True, kw_only=True)
class Export(Proving):
    """Write a trained model as it is deployed, and prove that it computes what training simulated."""

    target: tyro.conf.Positional[Path]
    """A run, or a model file of stillbit.save."""
    format: Kind = "packed"
    """packed: codes at their width, for stillbit. onnx: integer operators. onnx-compact: INT4 and INT2, for storage.
    openvino: its own files. all: these four, as far as their packages are installed. vectors: integers of two images,
    for people who build hardware. folder: what a model hub wants."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o", "--out"])] = None
    """The file, or a folder for it; the folder deploy of the run if not given."""
    length: int | None = None
    """Of a run about texts: the pieces of every input. A shorter text is filled up, a longer one loses its end. If not
    given, what the run was trained with: its --max-length, or 128."""

    def __post_init__(self) -> None:
        """Refuse numbers that prove nothing, and a length at which there is no text."""
        super().__post_init__()
        if self.length is not None and self.length < SHORTEST:
            raise ValueError(f"a text has room for {SHORTEST} pieces at least, got {self.length}: --length 128")


def run(words: Sequence[str]) -> int:
    """Write, prove, rename, and say so."""
    asked = parse(Export, words, prog="stillbit export")
    from stillbit.cli.export_show import shown, written
    from stillbit.cli.export_texts import beside
    from stillbit.cli.export_work import opened, telling, work_of
    from stillbit.deploy.folder import check_own
    from stillbit.deploy.proof.proven import check_places, deliver, sizes

    wanted, left_out = _formats(asked.format)
    targets = _targets(asked, wanted)
    check_places(targets)
    if asked.format == "folder":
        check_own(_proof_of(targets).parent)
    subject = opened(asked.target, asked.checkpoint)
    with telling(Console(stderr=True)) as progress:
        work, notes = work_of(subject, asked, progress, asked.length)
        for path in targets.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        delivered = deliver(work, targets)
    proof, targets = delivered.proof, {name: path for name, path in targets.items() if name not in delivered.refused}
    lines = written({path: sizes(name, path) for name, path in targets.items()}, subject.model)
    lines += beside(subject, work.about, _proof_of(targets).parent)
    if asked.format == "folder":
        lines += _filled(_proof_of(targets).parent, work.about, proof)
    else:
        proof.write(_proof_of(targets))
        lines.append(f"written: {_proof_of(targets)}")
    lines += notes
    lines += [f"left out: {name}, {why}" for name, why in left_out.items()]
    shown(asked, proof, lines)
    if delivered.refused:
        raise ValueError("; ".join(f"{name} was not written: {why}" for name, why in delivered.refused.items()))
    return 0


def _filled(home: Path, about: About, proof: Proof) -> list[str]:
    """Write what else belongs into a hub's folder; the lines that say so."""
    from stillbit.deploy.folder import fill

    filled, readme = fill(home, about, proof), home / "README.md"
    kept = [] if readme in filled else [f"note: {readme} is your own, and stays as it is"]
    return [f"written: {path}" for path in filled] + kept


def _proof_of(targets: dict[str, Path]) -> Path:
    """Where the proof goes: under the name of the only file, or its own."""
    first = next(iter(targets.values()))
    return first.with_name(f"{first.stem}.proof.json" if len(targets) == 1 else "proof.json")


def _formats(said: Kind) -> tuple[tuple[str, ...], dict[str, str]]:
    """Which files to write, and which ones not, each with the reason."""
    from stillbit.deploy.proof.proven import FORMATS

    if said not in ("all", "folder"):
        missing = FORMATS[said].missing()
        if missing is not None:
            raise ValueError(f"{said} cannot be written here, {missing}")
        return (said,), {}
    every = ALL if said == "all" else HUB
    reasons = {name: FORMATS[name].missing() for name in every}
    left_out = {name: why for name, why in reasons.items() if why is not None}
    return tuple(name for name in every if name not in left_out), left_out


def _targets(asked: Export, wanted: tuple[str, ...]) -> dict[str, Path]:
    """Where each file goes."""
    from stillbit.deploy.proof.proven import FORMATS

    home = asked.output or _home(asked.target) / ("hub" if asked.format == "folder" else "")
    alone = len(wanted) == 1 and asked.format not in ("all", "folder")
    if alone and asked.output is not None and asked.output.suffix and not asked.output.is_dir():
        return {wanted[0]: asked.output}
    if home.exists() and not home.is_dir():
        raise ValueError(f"{home} is a file, and {asked.format} goes into a folder: --output FOLDER")
    return {name: home / FORMATS[name].file for name in wanted}


def _home(target: Path) -> Path:
    """Beside what it is of."""
    return target / "deploy" if target.is_dir() else target.with_name(f"{target.stem}-deploy")
