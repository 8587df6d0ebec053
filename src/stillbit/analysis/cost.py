"""What an image or a text costs: multiplications, bit operations and bytes, by layer; and what hardware would need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, final

import torch
from jaxtyping import Int
from torch import Tensor, nn

from stillbit.analysis import hardware
from stillbit.analysis.hardware import LONGEST, Hardware, Work
from stillbit.analysis.products import LayerCost, Measured, measure, products
from stillbit.analysis.record import Record
from stillbit.analysis.table import Column, Table, scaled
from stillbit.analysis.twin import float_twin
from stillbit.data.text_tables import Tables
from stillbit.layers.merged_attention import MergedAttention
from stillbit.quantizers.grid import FLOAT_BITS
from stillbit.surgery import macs
from stillbit.surgery.swap import quantize

UNIFORM = ("w8a8", "w4a4", "w3a3", "w2a2")
"""What else is counted; before them stands the float model."""
Example = Tensor | Mapping[str, Tensor]
"""One image, or what a model of texts takes in, by name."""
ENDS = ("patch", "stem", "head", "position")
"""Roles that keep 8 bits whatever the others have, and are left out of the hardware's comparison."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """The whole model at some bits, for a plot of accuracy against cost."""

    name: str
    bitops: float
    weight_bytes: float
    top1: float | None
    """None where nobody trained it."""


@final
@dataclass(frozen=True, kw_only=True)
class Cost(Record):
    """Of one image of one size, or one text of one length."""

    kind: ClassVar[str] = "cost"
    about: str
    """Where the model is from, and at which bits it was counted."""
    image: str
    """The size of the input, such as 3 x 224 x 224, or 128 tokens."""
    layers: tuple[LayerCost, ...]
    """In the order of the model."""
    parameters: int
    macs: float
    bitops: float
    weight_bytes: float
    """Of everything, that which is never quantized too."""
    activation_bytes: float
    """The sum over the layers."""
    points: tuple[Point, ...]
    """This model first, then what it would cost float and at uniform bits."""
    hardware: Hardware
    unit: Literal["image", "text"] = "image"
    """What is counted for."""

    def tables(self) -> tuple[Table, ...]:
        """The whole first, then the dearest layers, then hardware."""
        return self._totals(), self._dearest(), *self._designs(), self._units()

    def _totals(self) -> Table:
        columns = (
            Column(name="model"),
            Column(name="BitOPs, G", kind="number", about="Sum of MACs times the bits of both sides"),
            Column(name="of float", kind="share", about="BitOPs beside those of 32 x 32 bits"),
            Column(name="weights", kind="bytes", about="Codes at their true width, scales, everything else stored"),
            Column(name="top-1, %", kind="number"),
        )
        whole = self.macs * FLOAT_BITS**2
        told = [p for index, p in enumerate(self.points) if not (index and self._is_itself(p))]
        rows = tuple((p.name, p.bitops / 1e9, p.bitops / whole, p.weight_bytes, p.top1) for p in told)
        note = (
            f"One {self.unit} of {self.image}: {scaled(self.macs)} multiply-accumulates, "
            f"{scaled(self.activation_bytes)}B of activations enter products; {self.parameters:,} parameters "
            f"({self.about}). BitOPs = sum of MACs * bits * bits, float being 32; uniform bits leave 8 to the first "
            "and the last layer."
        )
        return Table(title=f"Cost of {self.one}", columns=columns, rows=rows, note=note)

    @property
    def one(self) -> str:
        """An image, or a text."""
        return f"an {self.unit}" if self.unit == "image" else f"a {self.unit}"

    def _is_itself(self, point: Point) -> bool:
        """Whether a point is the float model, and so is this one."""
        here = self.points[0]
        return point.name == "float" and (point.bitops, point.weight_bytes) == (here.bitops, here.weight_bytes)

    def _dearest(self) -> Table:
        columns = (
            Column(name="layer"),
            Column(name="product"),
            Column(name="MACs, M", kind="number"),
            Column(name="bits"),
            Column(name="BitOPs, M", kind="number"),
            Column(name="share", kind="share", about="Of all BitOPs"),
            Column(name="weights", kind="bytes"),
            Column(name="inputs", kind="bytes", about="Activations that enter the product"),
        )
        rows = tuple(
            (
                one.layer,
                one.product,
                one.macs / 1e6,
                f"{one.left_bits:.3g} x {one.right_bits:.3g}",
                one.bitops / 1e6,
                one.bitops / self.bitops if self.bitops else 0.0,
                one.weight_bytes,
                one.activation_bytes,
            )
            for one in sorted(self.layers, key=lambda one: -one.bitops)
        )
        note = "The dearest first. Bits of weight and input, query and key, probability and value."
        return Table(title="Cost by layer", columns=columns, rows=rows, note=note)

    def _designs(self) -> tuple[Table, ...]:
        held = self.hardware
        if not held.designs:
            return ()
        columns = (
            Column(name="array"),
            Column(name="area, um2", kind="number", about="Of a unit, for the same speed, with its share of rescaling"),
            Column(name="energy, uJ", kind="number", about=f"Of {self.one}"),
            Column(name="products", kind="number", about="Of that in products and sums, uJ"),
            Column(name="scales", kind="number", about="Of that in rescaling, uJ"),
            Column(name="how"),
        )
        rows = tuple((d.name, d.area, d.energy, d.mac_energy, d.scale_energy, d.about) for d in held.designs)
        mixed = (
            "imagined, half of each layer one bit wider, half one bit narrower" if held.imagined else "the model's own"
        )
        note = (
            f"A model, no measurement, of all products but those of the first and the last layer, at "
            f"{held.weight_bits:.3g} x {held.activation_bits:.3g} bits on average; mixed precision is {mixed}. Figures "
            f"of single operations: {held.source}. The record has the formulas."
        )
        return (Table(title="Single against mixed precision", columns=columns, rows=rows, note=note),)

    def _units(self) -> Table:
        columns = (
            Column(name="unit"),
            Column(name="area, um2", kind="number"),
            Column(name="energy, pJ", kind="number"),
        )
        rows = tuple((unit.name, unit.area, unit.energy) for unit in self.hardware.units)
        note = (
            f"A multiplier and its accumulator, {LONGEST} products being added up. Figures of single operations: "
            f"{self.hardware.source}."
        )
        return Table(title="One multiply-accumulate", columns=columns, rows=rows, note=note)


class _Counted(NamedTuple):
    """The sums over all products."""

    layers: tuple[LayerCost, ...]
    macs: float
    bitops: float
    weight_bytes: float

    @classmethod
    def of(cls, model: nn.Module, measured: Measured) -> _Counted:
        layers = products(model, measured)
        columns = ("macs", "bitops", "weight_bytes")
        return cls(layers, *(sum(getattr(one, column) for one in layers) for column in columns))

    def point(self, name: str, top1: float | None = None) -> Point:
        return Point(name=name, bitops=self.bitops, weight_bytes=self.weight_bytes, top1=top1)


def compute(
    model: nn.Module, *, subject: str, about: str, example: Example | None = None, top1: float | None = None
) -> Cost:
    """Of a float or a quantized model; ``example`` is one image, by default one of the model's own size, or `text`."""
    one = macs.example_of(model) if example is None else example
    if one is None:
        reads = getattr(model, "main_input_name", "") == "input_ids"
        what, asked = ("texts", "text(model, 128)") if reads else ("images", "one_image")
        raise ValueError(f"{subject} does not say how large its {what} are: give one, compute(..., example={asked})")
    measured = measure(model, one)
    counted = _Counted.of(model, measured)
    return Cost(
        subject=subject,
        about=about,
        image=" x ".join(str(n) for n in one.shape[1:]) if isinstance(one, Tensor) else f"{_tokens(one)} tokens",
        layers=counted.layers,
        parameters=sum(p.numel() for p in float_twin(model).parameters()),
        macs=counted.macs,
        bitops=counted.bitops,
        weight_bytes=counted.weight_bytes,
        activation_bytes=sum(one.activation_bytes for one in counted.layers),
        points=(counted.point(subject, top1), *_others(model, measured)),
        hardware=_hardware(counted.layers),
        unit="image" if isinstance(one, Tensor) else "text",
    )


def text(model: Any, tokens: int) -> dict[str, Int[Tensor, "1 tokens"]]:
    """One text of so many tokens for a model of transformers, with no numbers in it."""
    most = Tables.of(model.config).positions
    if not 1 <= tokens <= most:
        raise ValueError(f"a text of {tokens} tokens does not fit the {most} positions this model knows: 1 to {most}")
    return {"input_ids": torch.zeros(1, tokens, dtype=torch.long, device="meta")}


def _tokens(example: Mapping[str, Tensor]) -> int:
    return example["input_ids"].size(1)


def _others(model: nn.Module, measured: Measured) -> tuple[Point, ...]:
    """The float model, and what uniform bits would make of it; nothing where query and key are merged for good."""
    if any(isinstance(module, MergedAttention) for module in model.modules()):
        return ()
    plain = macs.without_numbers(float_twin(model))
    found = [_Counted.of(plain, measured).point("float")]
    return (*found, *(_Counted.of(quantize(plain, bits), measured).point(bits) for bits in UNIFORM))


def _hardware(layers: tuple[LayerCost, ...]) -> Hardware:
    """Of all products on codes between the ends; with module scales a projection has a block a head."""
    body = [
        one
        for one in layers
        if one.role not in ENDS and one.macs and one.outputs and max(one.left_bits, one.right_bits) < FLOAT_BITS
    ]
    works = [Work(one.macs, one.left_bits, one.right_bits, one.outputs, one.scales) for one in body]
    return hardware.compare(works, [max(one.scales, one.heads) for one in body])
