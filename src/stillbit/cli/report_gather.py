"""What a page tells of a run: records that lie in it, cheap ones made on the spot, dear ones where they are wanted."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from stillbit.analysis.record import Record, read
from stillbit.analysis.report import Missing, Run

if TYPE_CHECKING:
    from stillbit.cli.report import Report

CLASSES = {
    "curves": "Curves",
    "oscillation": "Oscillations",
    "variation": "Variation",
    "error": "Errors",
    "sensitivity": "Sensitivity",
    "cost": "Cost",
    "landscape": "Landscape",
    "attention": "Attention",
}
"""The records, each in the file of its kind."""
CHEAP = {
    "curves": (),
    "oscillation": ("--checkpoint", "last"),
    "variation": (),
    "error": (),
    "cost": (),
}
"""Made on the spot, with these words, if a run does not have them; nothing is written to the run."""
LOOKS_AT_IMAGES = ("error", "sensitivity", "landscape", "attention")
"""Kinds to which choices of data are passed on."""


def check(folder: Path, checkpoint: str) -> None:
    """Refuse what is no run, or has nothing to look at, before others have been computed for nothing."""
    from stillbit.methods.target import of_run

    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}: give the folder that stillbit train wrote to")
    of_run(folder, checkpoint)


def named(folders: Sequence[Path]) -> list[str]:
    """The names of the folders, with as much of the path as tells them apart."""
    paths = [folder.resolve() for folder in folders]
    deep = 1
    names = [path.name for path in paths]
    while len(set(names)) < len(names):
        deep += 1
        names = ["/".join(path.parts[-deep:]) for path in paths]
    return names


def gather(folder: Path, name: str, asked: Report, tell: Callable[[str], None]) -> Run:
    """All records of a run; ``tell`` hears of what takes its time."""
    records: list[Record] = []
    missing: list[Missing] = []
    stale: list[Missing] = []
    damaged: list[Missing] = []
    for kind in CLASSES:
        path = folder / "analysis" / f"{kind}.json"
        held, broken = _held(kind, path)
        old = held is not None and is_stale(path, folder, kind, asked.checkpoint)
        if kind in asked.wanted and (old or held is None):
            tell(f"{name}: {kind} ...")
            _try(kind, folder, asked, path, records, missing)
        elif held is not None and not (old and kind in CHEAP):
            records.append(held)
            stale += [Missing(kind=kind, command=f"{_command(kind, folder)} {held.anew}".rstrip())] if old else []
        elif kind in CHEAP:
            damaged += [Missing(kind=kind, reason=broken)] if broken else []
            tell(f"{name}: {kind}")
            _try(kind, folder, asked, None, records, missing)
        else:
            missing.append(Missing(kind=kind, command=_command(kind, folder), reason=broken))
    return Run(name=name, records=tuple(records), missing=tuple(missing), stale=tuple(stale), damaged=tuple(damaged))


def _held(kind: str, path: Path) -> tuple[Record | None, str]:
    """The record that lies in the run, or why it cannot be read; neither where there is none."""
    if not path.is_file():
        return None, ""
    try:
        return read(_class(kind), path), ""
    except (ValueError, OSError) as error:  # one broken file is no reason to show nothing else
        return None, str(error)


def is_stale(path: Path, folder: Path, kind: str, checkpoint: str) -> bool:
    """Whether what the record is about is newer than the record."""
    about = {"curves": "metrics.jsonl", "oscillation": "last.pt"}.get(kind, f"{checkpoint}.pt")
    held = folder / about
    return held.is_file() and held.stat().st_mtime > path.stat().st_mtime


def _try(
    kind: str, folder: Path, asked: Report, path: Path | None, records: list[Record], missing: list[Missing]
) -> None:
    """Make a record, or say why there is none. ``path`` is where it stays; None keeps it nowhere."""
    words = _words(kind, folder, asked)
    if path is not None and path.is_file() and _class(kind).anew:
        words.append(_class(kind).anew)
    try:
        records.append(_made(kind, words, path))
    except (ValueError, OSError) as error:  # images that are gone are no reason to show nothing else
        missing.append(Missing(kind=kind, reason=str(error)))
        if kind == "oscillation":  # without a tracker there are still the latents
            try:
                records.append(_made(kind, [*words, "--latents-only"], None))
            except ValueError as second:
                missing[-1] = Missing(kind=kind, reason=str(second))


def _made(kind: str, words: Sequence[str], path: Path | None) -> Record:
    """The record that ``stillbit analyze`` makes of these words."""
    with TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        target = path or Path(folder) / f"{kind}.json"
        import_module(f"stillbit.cli.analyze_{kind}").run([*words, "--output", str(target)])
        return read(_class(kind), target)


def _words(kind: str, folder: Path, asked: Report) -> list[str]:
    words = [str(folder), *CHEAP.get(kind, ())]
    if kind != "curves":
        words += ["--device", asked.device]
    if kind not in ("curves", "oscillation"):
        words += ["--checkpoint", asked.checkpoint]
    if kind in LOOKS_AT_IMAGES:
        for option, value in asked.of_data().items():
            words += [f"--{option.replace('_', '-')}", str(value)]
    return words


def _command(kind: str, folder: Path) -> str:
    return f"stillbit analyze {kind} {folder}"


def _class(kind: str) -> type[Record]:
    found: type[Record] = getattr(import_module(f"stillbit.analysis.{kind}"), CLASSES[kind])
    return found
