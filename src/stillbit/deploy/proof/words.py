"""A proof in words: tables for a terminal, and the same for a page."""

from __future__ import annotations

from io import StringIO
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stillbit.deploy.proof.layers import Layer, alike
from stillbit.deploy.proof.outcome import NEAR, Comparison, Proof
from stillbit.surgery.summary import common_name

NAMES = {
    "training": "training, fp32",
    "exact": "integer, exact",
    "onnxruntime-compact": "compact ONNX",
    "openvino": "OpenVINO",
}


class Sheet(NamedTuple):
    """A heading and rows of words; the first ``text`` columns are words, the others numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: int = 1


def compared(proof: Proof) -> Sheet:
    """A row an implementation."""
    judged = max((comparison.judged for comparison in proof.comparisons), default=0)
    head = ("engine", "integers", "differ", "ties", "logits", "free", "same number" if proof.numbers else "same top-1")
    rows = tuple(_row(comparison, judged) for comparison in proof.comparisons)
    return Sheet((*head, "top-1") if judged else head, rows)


def _row(held: Comparison, judged: int) -> tuple[str, ...]:
    """Accuracy only where it is of all the images: one on fewer is no other model's."""
    row = (
        _name(held),
        _short(held.integers),
        f"{held.differ:,}",
        f"{held.ties:,}",
        f"{held.same_codes:.1e}",
        f"{held.free:.1e}",
        f"{held.same}/{held.images}",
    )
    accuracy = f"{100 * held.right / judged:.2f} %" if judged and held.judged == judged else ""
    return (*row, accuracy) if judged else row


def explained(proof: Proof) -> str:
    """What the numbers of `compared` mean nothing without."""
    farthest = max((comparison.farthest for comparison in proof.comparisons), default=0.0)
    tied = any(comparison.differ for comparison in proof.comparisons)
    ties = (
        f"A tie lies on the boundary between two codes as far as float32 can tell ({proof.ulps} of its steps at the "
        f"largest value of its tensor); the farthest lies {farthest:.1e} of a step of its grid away. "
        if tied
        else ""
    )
    return (
        f"On {proof.images:,} {proof.seen}, against the numpy reference: codes, and exact sums of their products. "
        f"{ties}Logits: the largest difference on the same codes, relative to the largest logit; "
        f"{proof.tolerance:.0e} is allowed. Free: the same, each on codes of its own."
        f"{_near(proof)}{_unseen(proof)}"
    )


def _near(proof: Proof) -> str:
    """Of numbers, which are hardly ever the same to the bit."""
    return f" Same number: off by at most {NEAR:.0%} of the largest." if proof.numbers else ""


def _unseen(proof: Proof) -> str:
    """Of engines that compute otherwise when nobody looks."""
    return "".join(
        f" {_name(held)} fuses more where nobody looks: on {held.unseen} of {proof.images} {proof.noun} its logits are "
        "others than those of the run that showed its codes."
        for held in proof.comparisons
        if held.unseen
    )


def _name(held: Comparison) -> str:
    return NAMES.get(held.engine, held.engine)


def layered(layers: tuple[Layer, ...]) -> Sheet:
    """A row for all layers that are alike."""
    rows = []
    for group in alike(layers):
        row, times = group[0], f"{len(group)} x " if len(group) > 1 else ""
        name = common_name(tuple(layer.name for layer in group))
        macs = f"{times}{_short(row.macs)}" if row.macs else ""
        rows.append((name, row.computes, row.bits, macs, f"{times}{_short(row.bytes)}"))
    return Sheet(("layer", "computes on", "bits", "MACs", "bytes"), tuple(rows), text=3)


def totals(layers: tuple[Layer, ...], noun: str = "images") -> str:
    """How much of all is integer; ``noun`` is what a batch has many of."""
    macs = max(sum(layer.macs for layer in layers), 1)
    counts = {
        "of codes by codes": sum(layer.integer for layer in layers),
        "of floats that had been codes": sum(layer.dequantised for layer in layers),
        "of floats": sum(layer.floating for layer in layers),
    }
    said = ", ".join(f"{count / macs:.1%} {word}" for word, count in counts.items() if count)
    return f"{_short(macs)} MACs {'a text' if noun == 'texts' else 'an image'}: {said}"


def tied(proof: Proof) -> Sheet:
    """The layers in which something differs, and by which engine."""
    rows = [
        (
            _name(held),
            layer.name,
            f"{layer.integers:,} {layer.what}",
            f"{layer.differ:,}",
            f"{layer.ties:,}",
        )
        for held in proof.comparisons
        for layer in held.layers
        if layer.differ
    ]
    return Sheet(("engine", "layer", "of", "differ", "ties"), tuple(rows), text=2)


def table_of(sheet: Sheet) -> Table:
    """For a terminal."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, name in enumerate(sheet.head):
        table.add_column(escape(name), justify="left" if number < sheet.text else "right", overflow="fold")
    for row in sheet.rows:
        table.add_row(*map(escape, row))
    return table


def text_of(proof: Proof) -> str:
    """All of it, for a terminal of Python's."""
    page = StringIO()
    console = Console(file=page, width=120, highlight=False)
    for part in (
        table_of(compared(proof)),
        explained(proof),
        "",
        table_of(layered(proof.layers)),
        totals(proof.layers, proof.noun),
    ):
        console.print(part)
    return "\n".join(line.rstrip() for line in page.getvalue().rstrip().splitlines())


def markdown_of(sheet: Sheet) -> str:
    """For a page."""
    rule = ("---" if number < sheet.text else "---:" for number in range(len(sheet.head)))
    lines = (sheet.head, tuple(rule), *sheet.rows)
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _short(number: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.0f}"
