"""Say honestly what a model computes on: a row a layer, and what stayed float and why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import StringIO
from math import ceil, prod
from typing import Any

from rich.console import Console
from rich.table import Table
from torch import nn

from stillbit.layers.base import QuantLayer
from stillbit.layers.merged_attention import MergedAttention
from stillbit.layers.rectify import Rectify
from stillbit.layers.walk import quantized, quantizers
from stillbit.layers.walk import weights as walked
from stillbit.quantizers.base import Quantizer, Startable
from stillbit.quantizers.learned_bits import LearnedBits
from stillbit.quantizers.moved import Moved
from stillbit.surgery import macs
from stillbit.surgery.swap import record_of

WEIGHT_LAYERS = (nn.Linear, nn.Conv2d, nn.Embedding)


@dataclass(frozen=True)
class Row:
    """One module: its quantizers by role, or why it stayed float."""

    module: str
    layer: str
    quantizers: dict[str, str]
    parameters: int
    macs: int | None
    note: str = ""


@dataclass(frozen=True)
class Summary:
    """Every row, and the totals. `print` it for a table; `weight_bytes` is what the codes and scales take packed."""

    rows: tuple[Row, ...]
    parameters: int
    weight_bytes: int
    macs: int | None
    macs_on_codes: int | None
    calibrated: bool
    learned_bits: tuple[float, float] | None = None
    """Where bits are learned: the average over all quantized weights, and over all quantizers of activations."""

    def __str__(self) -> str:
        """The table, a line for all layers that are alike."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        columns = [("module", "left"), ("layer", "left"), ("quantizers", "left"), ("params", "right")]
        columns += [("MACs", "right")] if self.macs is not None else []
        for column, justify in columns:
            table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
        for alike in _alike(self.rows):
            row, times = alike[0], f"{len(alike)} x " if len(alike) > 1 else ""
            cells = [
                common_name(tuple(r.module for r in alike)),
                row.layer,
                _words(row),
                times + _short(row.parameters),
            ]
            table.add_row(*cells, *([] if self.macs is None else [times + _short(row.macs or 0)]))
        page = StringIO()
        console = Console(file=page, width=150, highlight=False)
        console.print(table)
        console.print(self._totals())
        return "\n".join(line.rstrip() for line in page.getvalue().rstrip().splitlines())

    def _totals(self) -> str:
        lines = [f"{_short(self.parameters)} parameters, {self.weight_bytes / 1e6:.2f} MB packed"]
        if self.macs is not None and self.macs_on_codes is not None:
            share = self.macs_on_codes / max(self.macs, 1)
            lines.append(f"{_short(self.macs)} MACs a sample, {share:.1%} of them on codes")
        if self.learned_bits is not None:
            weight, activation = self.learned_bits
            lines.append(f"bits are learned: {weight:.2f} a weight and {activation:.2f} an activation on average")
        if not self.calibrated:
            lines.append("not calibrated: call stillbit.calibrate(model, batches) before you train or evaluate")
        return "\n".join(lines)


def _alike(rows: tuple[Row, ...]) -> list[list[Row]]:
    """Rows that differ only in the numbers of their names, together, in the order of the first of each."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        rest = f"{row.layer} {row.quantizers} {row.parameters} {row.macs} {row.note}"
        groups.setdefault((re.sub(r"\d+", "*", row.module), rest), []).append(row)
    return list(groups.values())


def common_name(names: tuple[str, ...]) -> str:
    """``blocks.{0-11}.attn``: the name that stands for all of ``names``; a number that varies is a range."""
    parts = [re.split(r"(\d+)", name) for name in names]
    said = []
    for column in zip(*parts, strict=True):
        numbers = sorted({int(c) for c in column if c.isdigit()})
        if len(set(column)) == 1:
            said.append(column[0])
        elif numbers == list(range(numbers[0], numbers[-1] + 1)):
            said.append(f"{{{numbers[0]}-{numbers[-1]}}}")
        else:
            said.append("{" + ",".join(map(str, numbers)) + "}")
    return "".join(said)


def _words(row: Row) -> str:
    """``query, key, value 4 LSQ/1``: roles that share a quantizer in one breath, then the note."""
    roles: dict[str, list[str]] = {}
    for role, bits in row.quantizers.items():
        roles.setdefault(bits, []).append(role)
    said = "  ".join(f"{', '.join(names)} {bits}" for bits, names in roles.items())
    return "; ".join(part for part in (said, row.note) if part)


def summary(model: nn.Module, example: Any = None) -> Summary:
    """What every layer of a quantized model computes on.

    ``example`` is an input to count multiply-accumulates with; timm models say themselves what they take in. Without
    one the column is left out.
    """
    record = record_of(model)
    counted = None
    if example is not None or macs.example_of(model) is not None:
        counted = macs.count(model, example)
    layers = dict(quantized(model))
    rows = [
        _row(name, module, layers.get(name), _why(name, record.floats), counted)
        for name, module in model.named_modules()
        if _shown(name, module, layers, record.floats)
    ]
    held: list[Startable | Rectify]
    held = [q for _, role, q in quantizers(model) if role != "weight" and isinstance(q, Startable)]
    held += [module for module in model.modules() if isinstance(module, Rectify)]
    return Summary(
        rows=tuple(rows),
        parameters=sum(p.numel() for p in model.parameters()),
        weight_bytes=_packed_bytes(model),
        macs=counted.total if counted else None,
        macs_on_codes=counted.on_codes if counted else None,
        calibrated=all(begun.is_started() for begun in held),
        learned_bits=_average_bits(model),
    )


def _why(name: str, floats: dict[str, str]) -> str:
    """Why a module is float; the two linears of a merged attention answer for the fused one they came from."""
    parent, _, child = name.rpartition(".")
    return floats.get(name) or (floats.get(f"{parent}.qkv", "") if child in ("qk", "v") else "")


def _shown(name: str, module: nn.Module, layers: dict[str, QuantLayer], floats: dict[str, str]) -> bool:
    return name in layers or name in floats or isinstance(module, WEIGHT_LAYERS)


def _row(name: str, module: nn.Module, layer: QuantLayer | None, why: str, counted: macs.Macs | None) -> Row:
    held = {} if layer is None else {role: _said(q) for role, q in layer.quantizers().items()}
    note = _merge_note(module) if isinstance(module, MergedAttention) else ""
    if getattr(module, "shares_input", False):
        note = "input: the codes of qk"
    if not held and not note:
        note = "float: " + (why or ("the plan says 32 bits" if layer is not None else "put in after quantize"))
    if isinstance(getattr(module, "query_rectify", None), Rectify):
        note = f"{note}; query and key rectified".removeprefix("; ")
    parameters = sum(p.numel() for p in module.parameters(recurse=isinstance(module, WEIGHT_LAYERS)))
    own = None if counted is None else counted.by_module.get(name, 0)
    return Row(name, type(module).__name__, held, parameters, own, note)


def _said(quantizer: Quantizer) -> str:
    blocks = "x".join(str(b) for b in quantizer.blocks if b > 1) or "1"
    first, *more = quantizer.parts()
    moved = " moved" if any(isinstance(module, Moved) for module in quantizer.modules()) else ""
    return f"{quantizer.worded()} {type(first).__name__}/{blocks}{moved}{' a run' if more else ''}"


def _merge_note(attention: MergedAttention) -> str:
    """What the query-key merge costs: a C x C matrix a head in place of two C x C / heads ones, and longer scores."""
    width = attention.qk.in_features
    weights = attention.qk.weight.numel() / (2 * width * attention.v.out_features)
    scores = width * attention.num_heads / attention.v.out_features
    return f"query and key merged: weights x{weights:.3g}, score MACs x{scores:.3g}"


def _packed_bytes(model: nn.Module) -> int:
    """Codes at their true width, a float32 for every scale and shift, everything else as it is stored."""
    widths: dict[int, float] = {}
    scales = sum(2 * module.before.numel() for module in model.modules() if isinstance(module, Moved))
    layers = dict(quantized(model))
    for name, role, quantizer in quantizers(model):
        learned = sum(hasattr(quantizer, added) for added in ("shift", "threshold"))
        scales += prod(quantizer.blocks) * (1 + learned)
        if role == "weight":
            widths[id(layers[name].weight)] = quantizer.mean_bits()
    kept = {id(v): v for k, v in model.state_dict(keep_vars=True).items() if "_quantizer." not in k}
    stored: float = sum(v.numel() * widths.get(key, 8 * v.element_size()) for key, v in kept.items())
    return ceil((stored + 32 * scales) / 8)


def _average_bits(model: nn.Module) -> tuple[float, float] | None:
    """Over weights, each counting once, and over quantizers of activations. None where no bits are learned."""
    every = list(quantizers(model))
    if not any(isinstance(q, LearnedBits) for _, _, q in every):
        return None
    sizes = [(weight.parameter.numel(), weight.quantizer.mean_bits()) for weight in walked(model)]
    weights = sum(size * bits for size, bits in sizes) / max(1, sum(size for size, _ in sizes))
    activations = [q.mean_bits() for _, role, q in every if role != "weight"]
    return weights, sum(activations) / max(1, len(activations))


def _short(number: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.0f}"
