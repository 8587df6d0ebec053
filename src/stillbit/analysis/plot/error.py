"""How far quantized numbers are from float ones: signal over noise by layer, and what gradients agree on."""

from __future__ import annotations

from collections.abc import Sequence

from stillbit.analysis.error import Errors, TensorError
from stillbit.analysis.plot.charts import Bar, Heat, Part, Words, bars, heat
from stillbit.analysis.plot.figure import Figure, figure

ROWS = 80
"""Bars of a figure at most: the worst ones."""


def figures(record: Errors) -> tuple[Figure, ...]:
    """Weights, heads, activations, gradients; what was not measured is left out."""
    return (*_weights(record), *_heads(record), *_activations(record), *_gradients(record))


def _weights(record: Errors) -> tuple[Figure, ...]:
    if not record.weights:
        return ()
    caption = (
        "Signal-to-quantization-noise ratio of each layer's weights: 10 dB is noise of a tenth of the signal's energy, "
        "and every 6 dB are about a bit. Short bars are layers whose codes say least about the latent weights."
    )
    said = Words(title="Quantization error of weights", about=_worst(record.weights), x="signal to noise, dB")
    return (figure("error-weights", "Weights", caption, bars(said, _rows(record.weights))),)


def _activations(record: Errors) -> tuple[Figure, ...]:
    if not record.activations:
        return ()
    caption = (
        f"The same ratio for what each activation quantizer gets and gives, on {record.images:,} {record.what}. Its "
        "input is quantized upstream already, so this is the noise that each one adds."
    )
    said = Words(title="Quantization error of activations", about=_worst(record.activations), x="signal to noise, dB")
    return (figure("error-activations", "Activations", caption, bars(said, _rows(record.activations))),)


def _heads(record: Errors) -> tuple[Figure, ...]:
    held = [one for one in record.pieces if one.head is not None and one.sqnr is not None]
    if not held:
        return ()
    rows = list(dict.fromkeys(f"{one.layer} {one.role}" for one in held))
    columns = sorted({one.head for one in held if one.head is not None})
    known = {(f"{one.layer} {one.role}", one.head): one.sqnr for one in held}
    values = [[known.get((row, head)) for head in columns] for row in rows]
    said = Words(title="Quantization error by head", about="Rows are roles of layers, columns heads", x="head")
    caption = (
        "Signal to noise of the weights of single heads, in dB; pale heads lose most. Rows that change in colour have "
        "heads that one shared scale does not fit."
    )
    drawn = heat(said, Heat(rows, [str(head) for head in columns], values), unit=" dB")
    return (figure("error-heads", "Heads", caption, drawn, spare=True),)


def _gradients(record: Errors) -> tuple[Figure, ...]:
    held = [one for one in record.gradients if one.cosine is not None]
    if not held:
        return ()
    rows = [
        Bar(one.layer, (Part(one.cosine, f"{one.layer}: cosine {one.cosine:.3f}"),))
        for one in held
        if one.cosine is not None
    ]
    total = "" if record.agreement is None else f" Over all weights at once it is {record.agreement:.3f}."
    said = Words(title="Agreement of gradients", about="A bar a layer", x="cosine with the float gradient")
    caption = (
        "The cosine between the gradient that trains a layer's latent weights and the gradient of the same weights in "
        f"the float model, on the same images: 1 is the same direction, 0 says nothing about it.{total}"
    )
    return (figure("error-gradients", "Gradients", caption, bars(said, rows)),)


def _rows(given: Sequence[TensorError]) -> list[Bar]:
    held = [one for one in given if one.sqnr is not None]
    least = sorted(one.sqnr for one in held if one.sqnr is not None)[:ROWS]
    kept = [one for one in held if one.sqnr is not None and one.sqnr <= least[-1]]
    return [
        Bar(
            one.layer if one.role in ("weight", "input") else f"{one.layer} {one.role}",
            (Part(one.sqnr or 0.0, f"{one.layer}, {one.role}, {one.bits:g} bits: {one.sqnr:.1f} dB"),),
        )
        for one in kept
    ]


def _worst(given: Sequence[TensorError]) -> str:
    held = [one for one in given if one.sqnr is not None]
    if not held:
        return "There is no error at all"
    worst = min(held, key=lambda one: one.sqnr or 0.0)
    return f"The worst is {worst.layer}, {worst.role}, with {worst.sqnr:.1f} dB"
