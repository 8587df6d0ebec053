"""A row a run: the tidy table from which everything else is drawn, and the words for its numbers."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, NamedTuple, get_type_hints

from stillbit.study.settings import called
from stillbit.train.files import write_text


@dataclass(frozen=True, kw_only=True)
class Row:
    """A run, finished or not. What is not known is None, and empty in the file."""

    kind: Literal["cell", "parent", "labels"]
    name: str
    """Of its folder."""
    model: str
    method: str
    switch: str
    bits: str
    seed: int
    status: str
    top1: float | None = None
    """In percent, after the last epoch."""
    best: float | None = None
    """Of the best epoch, which was chosen on the same images."""
    best_epoch: int | None = None
    epochs: int | None = None
    steps: int | None = None
    oscillation: float | None = None
    """Share in percent of the weights of up to four bits."""
    undecided: float | None = None
    """Share in percent of the same weights that lie in the band of OFQ's annealing, 0.005 of a step from a boundary."""
    sdam: float | None = None
    """Over modules, of the latent weights."""
    sdam_relative: float | None = None
    weight_error: float | None = None
    """In percent: squared error over squares, mean over the layers."""
    latent: float | None = None
    """Top-1 of the latent weights as float weights."""
    gbitops: float | None = None
    """10^9 bit operations of an image."""
    weight_bytes: int | None = None
    seconds: float | None = None
    """In training, with its evaluations."""
    steps_per_second: float | None = None
    """Median over the training, without evaluations."""
    recipe: str = ""
    environment: str = ""
    error: str = ""

    @property
    def title(self) -> str:
        """The method with its switch."""
        return called(self.method, self.switch)


class Metric(NamedTuple):
    """A column with numbers that tables, claims and figures are about."""

    name: str
    """Of the column."""
    heading: str
    digits: int = 2


METRICS = {
    metric.name: metric
    for metric in (
        Metric("top1", "Top-1 after the last epoch, %"),
        Metric("best", "Top-1 of the best epoch, %"),
        Metric("oscillation", "Weights that oscillate, %"),
        Metric("undecided", "Weights within 0.005 of a step of a boundary, %", 3),
        Metric("sdam", "SDAM over modules", 5),
        Metric("sdam_relative", "SDAM over modules, relative", 4),
        Metric("weight_error", "Error of the weights, %"),
        Metric("latent", "Top-1 of the latent weights, %"),
        Metric("gbitops", "BitOPs of an image, 10^9", 4),
        Metric("weight_bytes", "Bytes of the weights", 0),
        Metric("seconds", "Seconds of training", 1),
        Metric("steps_per_second", "Steps a second"),
    )
}
COLUMNS = tuple(field.name for field in fields(Row))


def width(bits: str) -> tuple[int, int]:
    """Bits of weights and of activations; 32 of what is float."""
    found = re.fullmatch(r"w(\d+)a(\d+)", bits.lower())
    return (int(found[1]), int(found[2])) if found else (32, 32)


def widths(rows: Sequence[Row]) -> list[str]:
    """All bits that there are, the widest first, as the papers have them."""
    return sorted(dict.fromkeys(row.bits for row in rows), key=width, reverse=True)


def value(row: Row, metric: str) -> float | None:
    """A number of a row."""
    held = getattr(row, metric)
    return None if held is None else float(held)


def write(rows: Sequence[Row], path: Path) -> None:
    """All rows, or the file as it was."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in asdict(row).items()} for row in rows)
    write_text(path, out.getvalue())


def read(path: Path) -> list[Row]:
    """The inverse of `write`."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"there is no {path}: run the study first, stillbit study FILE") from None
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise ValueError(f"{path} has other columns than this stillbit writes: stillbit study FILE writes it anew")
    return [_row(said, f"line {number} of {path}") for number, said in enumerate(reader, 2)]


def _row(said: dict[str, str], where: str) -> Row:
    hints = get_type_hints(Row)
    held: dict[str, object] = {}
    for name, text in said.items():
        kind = hints[name]
        if kind in (int, int | None, float | None):
            held[name] = _number(text, whole=kind != float | None, what=f"{where}: {name}")
        else:
            held[name] = text
    return Row(**held)  # type: ignore[arg-type]


def _number(text: str, *, whole: bool, what: str) -> float | int | None:
    if not text:
        return None
    try:
        found = int(text) if whole else float(text)
    except ValueError:
        raise ValueError(f"{what} is no number, but {text!r}") from None
    return found if math.isfinite(found) else None
