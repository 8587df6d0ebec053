"""What an image costs, by layer and by bits, and what a chip would need for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stillbit.analysis.cost import Cost, Point
from stillbit.analysis.hardware import Design
from stillbit.analysis.plot.charts import Bar, Dot, Part, Words, bars, scatter
from stillbit.analysis.plot.figure import Figure, figure
from stillbit.analysis.svg.axis import short
from stillbit.analysis.svg.colour import series

PRODUCTS = {
    "weight": "weights times inputs",
    "scores": "query times key",
    "mixing": "probability times value",
    "elsewhere": "on float numbers that no quantizer reaches",
}
"""What a product multiplies."""


def figures(record: Cost) -> tuple[Figure, ...]:
    """By layer, then bytes, then hardware, then what other bits would cost."""
    return (_bitops(record), _bytes(record), *_points(record), *_hardware(record))


def compare(runs: Sequence[tuple[str, Cost]], colours: Mapping[str, str] | None = None) -> tuple[Figure, ...]:
    """Accuracy against bit operations, a dot a run."""
    held = [(name, record, _top1(record)) for name, record in runs]
    dots = [
        Dot(
            record.bitops,
            top1,
            name,
            f"{name}: {top1:.2f} % at {short(record.bitops)} BitOPs, {short(record.weight_bytes)}B",
            (colours or {}).get(name) or series(index),
        )
        for index, (name, record, top1) in enumerate(held)
        if top1 is not None and record.bitops > 0
    ]
    if len(dots) < 2:  # a dot alone compares nothing
        return ()
    unit = " or ".join(dict.fromkeys(record.one for _, record in runs))
    said = Words(
        title="Accuracy against bit operations", about="A dot a run", x=f"BitOPs {unit}", y="top-1, %", log_x=True
    )
    caption = (
        f"A dot a run: how good it is against how many bit operations {unit} costs (a product of w and a bits counts "
        "w a). The better runs are further up and further left; the axis of BitOPs is logarithmic."
    )
    return (figure("accuracy-bitops", "Accuracy against cost", caption, scatter(said, dots)),)


def _top1(record: Cost) -> float | None:
    return record.points[0].top1 if record.points else None


def _bitops(record: Cost) -> Figure:
    kinds = list(dict.fromkeys(one.product for one in record.layers))
    layers: dict[str, list[Part]] = {}
    for one in record.layers:
        name = one.layer or "elsewhere"
        said = (
            f"{name}, {PRODUCTS[one.product]}: {short(one.bitops)} BitOPs, {short(one.macs)} MACs of "
            f"{one.left_bits:g} x {one.right_bits:g} bits"
        )
        layers.setdefault(name, []).append(Part(one.bitops, said, series(kinds.index(one.product))))
    dearest = max(layers, key=lambda name: sum(part.value for part in layers[name]))
    words = Words(title="Bit operations by layer", about=f"Most are in {dearest}", x=f"BitOPs {record.one}")
    caption = (
        f"Bit operations of each layer for one {record.unit} of {record.image}; together {short(record.bitops)}, from "
        f"{short(record.macs)} multiply-accumulates. A product of a w-bit and an a-bit number counts w a."
    )
    classes = [(PRODUCTS[kind], series(index)) for index, kind in enumerate(kinds)]
    drawn = bars(words, [Bar(name, tuple(parts)) for name, parts in layers.items()], classes=classes)
    return figure("cost-layers", "Where the bit operations are", caption, drawn)


def _bytes(record: Cost) -> Figure:
    layers: dict[str, tuple[float, float]] = {}
    for one in record.layers:
        name = one.layer or "elsewhere"
        weight, activation = layers.get(name, (0.0, 0.0))
        layers[name] = weight + one.weight_bytes, activation + one.activation_bytes
    rows = [
        Bar(
            name,
            (
                Part(weight, f"{name}: {short(weight)}B of weights", "s0"),
                Part(activation, f"{name}: {short(activation)}B of activations", "s1"),
            ),
        )
        for name, (weight, activation) in layers.items()
    ]
    caption = (
        f"Bytes that each layer reads for one {record.unit}: its weights, as codes with their scales, and its "
        f"activations. The model's weights take {short(record.weight_bytes)}B in all."
    )
    said = Words(title="Bytes by layer", about="Weights and activations of each layer", x="bytes")
    drawn = bars(said, rows, classes=[("weights", "s0"), ("activations", "s1")])
    return figure("cost-bytes", "Where the bytes are", caption, drawn, spare=True)


def _points(record: Cost) -> tuple[Figure, ...]:
    here = record.points[:1]
    held = [*here, *(one for one in record.points[1:] if one.bitops > 0 and one.bitops != here[0].bitops)]
    if len(held) < 2:
        return ()
    rows = [Bar(one.name, (Part(one.bitops, _point(one), "s0" if index else "s1"),)) for index, one in enumerate(held)]
    asked = f"BitOPs {record.one}"
    said = Words(title="This model at other bits", about=f"Bit operations {record.one}", x=asked, log_x=True)
    caption = (
        "What the same model costs at other bits, on a logarithmic axis; this one is in its own colour. Point at a bar "
        "for its bytes."
    )
    return (figure("cost-bits", "At other bits", caption, bars(said, rows)),)


def _hardware(record: Cost) -> tuple[Figure, ...]:
    designs = record.hardware.designs
    if not designs:
        return ()
    classes = [("products and sums", "s0"), ("scales", "s1")]
    energy = [
        Bar(
            one.name,
            (
                Part(one.mac_energy, _energy(one, "products and sums", one.mac_energy), "s0"),
                Part(one.scale_energy, _energy(one, "scales", one.scale_energy), "s1"),
            ),
        )
        for one in designs
    ]
    area = [
        Bar(one.name, (Part(one.area, f"{one.name}: {one.area:,.0f} square micrometres. {one.about}"),))
        for one in designs
    ]
    bits = f"{record.hardware.weight_bits:.3g} x {record.hardware.activation_bits:.3g} bits on average"
    caption = (
        f"A model, no measurement: {{}} of a multiply-accumulate array at {bits}, after {record.hardware.source}. "
        "single has one width and a scale a module; mixed has as many bits on average, in units as wide as its widest "
        "operands (widest) or put together from narrow ones (composed)."
    )
    said = Words(title=f"Energy {record.one}", about="By design", x=f"microjoules {record.one}")
    return (
        figure(
            "cost-energy",
            f"Energy of {record.one}",
            caption.format("energy"),
            bars(said, energy, classes=classes),
        ),
        figure(
            "cost-area",
            "Area of a unit",
            caption.format("area"),
            bars(Words(title="Area of a unit", about="By design", x="square micrometres a unit"), area),
            spare=True,
        ),
    )


def _point(one: Point) -> str:
    accuracy = "" if one.top1 is None else f", top-1 {one.top1:.2f} %"
    return f"{one.name}: {short(one.bitops)} BitOPs, {short(one.weight_bytes)}B of weights{accuracy}"


def _energy(one: Design, what: str, value: float) -> str:
    return f"{one.name}, {what}: {value:.4g} microjoules. {one.about}"
