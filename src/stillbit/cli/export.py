"""``stillbit export``: a trained model as a file that computes on integers, proven before it gets its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console

from stillbit.cli.options import parse
from stillbit.cli.unused import refuse_unused

if TYPE_CHECKING:
    from stillbit.deploy.about import About
    from stillbit.deploy.proof.outcome import Proof

Kind = Literal["packed", "onnx", "onnx-compact", "openvino", "vectors", "all", "folder"]
ALL = ("packed", "onnx", "onnx-compact", "openvino")
HUB = ("packed", "onnx")


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a trained model as it is deployed, and prove that it computes what training simulated."""

    target: tyro.conf.Positional[Path]
    """A run, or a model file of stillbit.save."""
    format: Kind = "packed"
    """packed: codes at their width, for stillbit. onnx: integer operators. onnx-compact: INT4 and INT2, for storage.
    openvino: its own files. all: these four, as far as their packages are installed. vectors: integers of two images,
    for people who build hardware. folder: what a model hub wants."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o", "--out"])] = None
    """The file, or a folder for it; the folder deploy of the run if not given."""
    checkpoint: Literal["best", "last"] = "best"
    """Which checkpoint of a run."""
    data_dir: Path | None = None
    """The folder with the images that prove it; a run knows its own."""
    dataset: str | None = None
    """What is there (folder, digits, hfds/NAME, wds); a run knows its own."""
    val_split: str | None = None
    """The split they are of; validation if not given."""
    noise: bool = False
    """Prove it on pictures of noise, where there are no images."""
    samples: int = 32
    """Images on which every code is compared."""
    images: int = 1000
    """Images on which first classes are compared, with codes unseen; 0 leaves that out."""
    tolerance: float = 1e-4
    """How far logits may be from each other on the same codes, relative to the largest."""
    agreement: float = 0.99
    """The share of images that must keep their first class, where ties change logits behind them."""
    layers: bool = False
    """Print what every layer computes on."""
    json: bool = False
    """Print the proof as JSON instead of tables."""

    def __post_init__(self) -> None:
        """Refuse numbers that prove nothing."""
        check_asked(self)


def check_asked(asked: Any) -> None:
    """What `Export` and `Verify` are both asked."""
    if asked.samples < 1:
        raise ValueError(f"a proof looks at one image at least, got {asked.samples}: --samples 32")
    if asked.images < 0:
        raise ValueError(f"there are no {asked.images} images: --images 1000, or 0 to leave that out")
    if not 0 < asked.tolerance < 1:
        raise ValueError(f"a tolerance is above 0 and below 1, got {asked.tolerance}: --tolerance 1e-4")
    if not 0 <= asked.agreement <= 1:
        raise ValueError(f"an agreement is a share, 0 to 1, got {asked.agreement}: --agreement 0.99")
    if asked.noise:
        refuse_unused(asked, "noise is drawn, and comes from no data", "data_dir", "dataset", "val_split")


def run(words: Sequence[str]) -> int:
    """Write, prove, rename, and say so."""
    asked = parse(Export, words, prog="stillbit export")
    from stillbit.cli.export_show import shown, written
    from stillbit.cli.export_work import notes_of, opened, telling, work_of
    from stillbit.deploy.folder import check_own
    from stillbit.deploy.proof.proven import check_places, deliver, sizes

    wanted, left_out = _formats(asked.format)
    targets = _targets(asked, wanted)
    check_places(targets)
    if asked.format == "folder":
        check_own(_proof_of(targets).parent)
    subject = opened(asked.target, asked.checkpoint)
    with telling(Console(stderr=True)) as progress:
        work = work_of(subject, asked, progress)
        for path in targets.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        delivered = deliver(work, targets)
    proof, targets = delivered.proof, {name: path for name, path in targets.items() if name not in delivered.refused}
    lines = written({path: sizes(name, path) for name, path in targets.items()}, subject.model)
    if asked.format == "folder":
        lines += _filled(_proof_of(targets).parent, work.about, proof)
    else:
        proof.write(_proof_of(targets))
        lines.append(f"written: {_proof_of(targets)}")
    lines += notes_of(subject, work.about)
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
