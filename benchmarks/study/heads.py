"""What a scale a head is worth in weight error, against how much the heads differ: VVTQ's reason for its MDQ.

    python benchmarks/study/heads.py output/float-0 output/float-1 output/float-2 --output benchmarks/results

Runs are float ones. Every query, key, value and projection is quantized with one scale and with one a head, both of
least squared error; what the second saves is put beside the spread of the heads' mean magnitudes. Heads of a trained
model are given: so the same is done with one head of every matrix made louder, step by step.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
import tyro
from torch import Tensor

from stillbit.analysis.parts import weight_layers
from stillbit.analysis.rows import spearman
from stillbit.models import names
from stillbit.quantizers.calibrate import mse
from stillbit.quantizers.grid import Grid
from stillbit.train import weights


@dataclass(frozen=True)
class Settings:
    """Whose heads."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Float runs of `stillbit train fp`."""
    bits: tuple[int, ...] = (4, 3, 2)
    louder: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 4.0)
    output: Path | None = None
    """A folder: the result goes there as CSV and Markdown."""


@dataclass(frozen=True)
class Row:
    """A matrix of an attention."""

    run: str
    layer: str
    role: str
    bits: int
    louder: float
    spread: float
    """Standard deviation of the heads' mean magnitudes over their mean."""
    whole: float
    """Relative squared error with one scale."""
    heads: float
    """With one a head."""

    @property
    def saved(self) -> float:
        """The share of the error that goes."""
        return 1 - self.heads / self.whole


def main(settings: Settings) -> None:
    """Quantize everything, print the table."""
    rows = [row for run in settings.runs for row in rows_of(run, settings)]
    text = page(settings, rows)
    print(text)
    if settings.output is not None:
        (settings.output / "study_heads.csv").write_text(tidy(rows))
        (settings.output / "study_heads.md").write_text(text)


def rows_of(run: Path, settings: Settings) -> list[Row]:
    """Every matrix with heads, at every width, as it is and with its first head made louder."""
    recipe = json.loads((run / "recipe.json").read_text())["model"]
    model = names.create(recipe["model"], num_classes=recipe["num_classes"], img_size=recipe["img_size"])
    weights.load(model, run)
    found: dict[tuple[str, str], list[Tensor]] = {}
    for layer in weight_layers(model):
        for part in layer.parts():
            if part.head is not None:
                found.setdefault((part.layer, part.role), []).append(part.weight.detach().flatten())
    return [
        Row(run.name, layer, role, bits, louder, *errors(heads, bits, louder))
        for (layer, role), heads in found.items()
        for louder in settings.louder
        for bits in settings.bits
    ]


def errors(heads: list[Tensor], bits: int, louder: float) -> tuple[float, float, float]:
    """Spread of the heads, error with one scale, error with one each."""
    stacked = torch.stack([heads[0] * louder, *heads[1:]])
    loud = stacked.abs().mean(1)
    whole, each = (error(stacked, bits, blocks) for blocks in ((1, 1), (len(heads), 1)))
    return (loud.std(correction=0) / loud.mean()).item(), whole, each


def error(x: Tensor, bits: int, blocks: tuple[int, int]) -> float:
    """Relative squared error with the scale that makes it least."""
    grid = Grid(bits, signed=True)
    scale = mse(x, grid, blocks).scale
    value = (x / scale).round().clamp(grid.low, grid.high) * scale
    return ((value - x).square().sum() / x.square().sum()).item()


def page(settings: Settings, rows: list[Row]) -> str:
    """How much is saved, by width and loudness, and how it goes with the spread."""
    lines = [
        "| bits | first head louder by | spread of the heads | one scale | one a head | saved |",
        "|---|---|---|---|---|---|",
    ]
    for bits in settings.bits:
        for louder in settings.louder:
            held = [row for row in rows if (row.bits, row.louder) == (bits, louder)]
            means = [fmean(getattr(row, what) for row in held) for what in ("spread", "whole", "heads", "saved")]
            spread, whole, heads, saved = means
            lines.append(f"| {bits} | {louder:g} | {spread:.3f} | {whole:.5f} | {heads:.5f} | {100 * saved:.1f} % |")
    said = []
    for bits in settings.bits:
        as_is = [row for row in rows if (row.bits, row.louder) == (bits, 1.0)]
        ranks = spearman(torch.tensor([row.spread for row in as_is]), torch.tensor([row.saved for row in as_is]))
        said.append(f"{ranks.item():.2f} at {bits} bits")
    about = (
        f"Relative squared errors, means over {len({(r.run, r.layer, r.role) for r in rows})} matrices of "
        f"{len(settings.runs)} trained float models. Over the matrices as they are, Spearman's correlation between the "
        f"spread of the heads' mean magnitudes and the share of the error that is saved is {', '.join(said)}."
    )
    return "\n".join([*lines, "", about, ""])


def tidy(rows: list[Row]) -> str:
    """All of them as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*Row.__dataclass_fields__, "saved"])
    for row in rows:
        said = [*vars(row).values(), row.saved]
        writer.writerow([f"{one:.6g}" if isinstance(one, float) else one for one in said])
    return out.getvalue()


if __name__ == "__main__":
    main(tyro.cli(Settings))
