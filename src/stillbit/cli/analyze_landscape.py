"""``stillbit analyze landscape``: how the loss looks around the trained weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.progress import Progress

from stillbit.cli.analyze import Asked, shown
from stillbit.cli.options import parse

if TYPE_CHECKING:
    from stillbit.analysis.landscape import Landscape
    from stillbit.analysis.scan import Side
    from stillbit.methods.subject import Subject


@dataclass(frozen=True, kw_only=True)
class AskedLandscape(Asked):
    """How the loss looks around the trained weights; a quantized model beside its float one, along the same directions.

    A scan that was stopped goes on where it was, with the same command.
    """

    dimensions: Literal[1, 2] = 1
    """Along one random direction, or over the plane of two."""
    points: int = 21
    """Points along a direction; odd, so that the weights themselves are one of them."""
    range: float = 1.0
    """How far to go; at 1 every filter moves by its own norm."""
    images: int = 256
    """Images, or texts, that the loss is measured on, as many of every class."""
    batch_size: int = 64
    """Images or texts at a time."""
    seed: int = 0
    """Of the directions."""
    hessian: bool = False
    """Find the top eigenvalue of the Hessian too."""
    fresh: bool = False
    """Begin anew where another scan lies already, and lose that one."""


def run(words: Sequence[str]) -> int:
    """The scan, from where it was."""
    asked = parse(AskedLandscape, words, prog="stillbit analyze landscape")
    from stillbit.analysis.hessian import PowerSettings
    from stillbit.analysis.record import write
    from stillbit.analysis.scan import ScanSettings, begin, scan
    from stillbit.methods.subject import open_subject, pictures

    settings = ScanSettings(dimensions=asked.dimensions, points=asked.points, reach=asked.range, seed=asked.seed)
    subject = open_subject(asked.target, checkpoint=asked.checkpoint, pretrained=asked.pretrained, device=asked.device)
    path = asked.place("landscape", subject.folder)
    batches = pictures(subject, asked.images, batch_size=asked.batch_size, **asked.of_data())
    sides = _sides(subject)
    begun = begin(sides, batches, settings, subject=subject.name, about=subject.about)
    if path is not None and path.exists() and not asked.fresh:
        begun = _continued(path, begun)
    with _watched(begun) as watch:

        def keep(found: Landscape) -> None:
            watch(found)
            if path is not None:
                write(found, path)

        record = scan(begun, sides, batches, keep, PowerSettings(seed=asked.seed) if asked.hessian else None)
    return shown(asked, record, subject.folder)


def _sides(subject: Subject) -> list[Side]:
    """The model, and the float one it came from if it is quantized."""
    from stillbit.analysis.scan import Side
    from stillbit.methods.subject import float_of, is_quantized

    if not is_quantized(subject):
        return [Side("float", subject.about, subject.model)]
    origin = float_of(subject)
    return [Side("quantized", subject.about, subject.model), Side("float", origin.about, origin.model)]


def _continued(path: Path, fresh: Landscape) -> Landscape:
    """The scan that lies at ``path``, which has to be the one that is wanted."""
    from stillbit.analysis.landscape import Landscape
    from stillbit.analysis.record import read
    from stillbit.analysis.scan import differences

    begun = read(Landscape, path)
    other = differences(begun, fresh)
    if other:
        raise ValueError(
            f"{path} holds another scan ({'; '.join(other)}): give the same options to go on, another --output to keep "
            "it, or --fresh to lose it"
        )
    return begun


@contextmanager
def _watched(begun: Landscape) -> Iterator[Callable[[Landscape], None]]:
    """A bar beside the output, for who waits at a terminal."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("points", total=sum(len(surface.losses) for surface in begun.surfaces))

        def watch(found: Landscape) -> None:
            known = sum(loss is not None for surface in found.surfaces for loss in surface.losses)
            bar.update(task, completed=known)

        watch(begun)
        yield watch
