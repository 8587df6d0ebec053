"""Which weights do not settle: shares by layer and over time, paths of single weights, histograms of latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stillbit.analysis.oscillation import Oscillations, Tracked
from stillbit.analysis.plot.charts import Bar, Dot, Heat, Part, Series, Words, bars, heat, lines, scatter
from stillbit.analysis.plot.codes import latents, paths
from stillbit.analysis.plot.figure import Figure, figure
from stillbit.analysis.svg.colour import series
from stillbit.analysis.svg.plane import cut

COLUMNS = 32
"""Steps of a map of layers over time."""


def figures(record: Oscillations) -> tuple[Figure, ...]:
    """Of one run: what the tracker saw, if there was one, and the latents."""
    tracked = record.tracked
    seen = () if tracked is None else (_by_layer(tracked), *_over_time(tracked), *paths(tracked), *_heads(tracked))
    return (*seen, *latents(record.latents))


def compare(runs: Sequence[tuple[str, Oscillations]], colours: Mapping[str, str] | None = None) -> tuple[Figure, ...]:
    """The share of oscillating weights of several runs, epoch by epoch."""
    held = [
        Series(
            name,
            [(float(one.step), 100 * one.oscillating) for one in record.tracked.moments],
            (colours or {}).get(name, ""),
        )
        for name, record in runs
        if record.tracked is not None and record.tracked.moments
    ]
    if len(held) < 2:
        return ()
    said = Words(
        title="Oscillating weights",
        about="Share by step, a line a run",
        x="step",
        y="% of weights",
        zero=True,
        whole_x=True,
    )
    caption = "Share of the weights that oscillate, at the end of each epoch. A falling line is a model that settles."
    return (figure("oscillation-runs", "Oscillating weights, run by run", caption, lines(said, held)),)


def _by_layer(tracked: Tracked) -> Figure:
    worst = max(tracked.layers, key=lambda one: one.oscillating)
    rows = [
        Bar(one.layer, (Part(100 * one.oscillating, f"{one.layer}: {100 * one.oscillating:.2f} % of {one.weights:,}"),))
        for one in tracked.layers
    ]
    said = Words(
        title="Oscillating weights by layer",
        about=f"Most oscillate in {worst.layer}, {100 * worst.oscillating:.2f} %",
        x="% of the layer's weights",
    )
    caption = (
        f"Share of each layer's weights that oscillate at step {tracked.step:,}: whose running frequency of flips back "
        f"and forth (m = {tracked.momentum:g}, a look every {_steps(tracked.every)}) is above {tracked.threshold:g}. "
        "The dashed line is the share of all."
    )
    rule = ((100 * tracked.oscillating, f"all {100 * tracked.oscillating:.2f} %"),)
    return figure("oscillation-layers", "Where weights do not settle", caption, bars(said, rows, rules=rule))


def _over_time(tracked: Tracked) -> tuple[Figure, ...]:
    found: list[Figure] = []
    if len(tracked.moments) > 1:
        lines_of = [
            Series("oscillating", [(float(one.step), 100 * one.oscillating) for one in tracked.moments]),
            Series("moved since the start", [(float(one.step), 100 * one.moved) for one in tracked.moments]),
        ]
        said = Words(
            title="Unsettled weights over time",
            about="Two shares by step",
            x="step",
            y="% of weights",
            zero=True,
            whole_x=True,
        )
        caption = (
            "Weights that oscillate, and weights whose code is another one than when training began. The first should "
            "fall while the second levels off: weights found a place and stay."
        )
        found.append(figure("oscillation-time", "Over time", caption, lines(said, lines_of)))
    if tracked.past and len(tracked.past_steps) > 1:
        kept = _some(len(tracked.past_steps))
        shares = [[100 * one.oscillating[index] for index in kept] for one in tracked.past]
        columns = [f"{tracked.past_steps[index]:,}" for index in kept]
        held = Heat([one.layer for one in tracked.past], columns, shares)
        said = Words(title="Oscillating weights by layer and step", about="A row a layer", x="step", zero=True)
        caption = "Share of oscillating weights by layer (rows) and step (columns), in percent; darker is more."
        drawn = heat(said, held, unit=" %", worded=False)
        found.append(figure("oscillation-layers-time", "Layer by layer over time", caption, drawn, spare=True))
        found.append(_scales(tracked))
    return tuple(found)


def _scales(tracked: Tracked) -> Figure:
    moved = sorted(tracked.past, key=lambda one: -abs(one.scale[-1] / one.scale[0] - 1) if one.scale[0] else 0.0)
    steps = tracked.past_steps
    held = [
        Series(one.layer, [(float(step), now / one.scale[0]) for step, now in zip(steps, one.scale, strict=True)])
        for one in moved[:8]
        if one.scale[0] > 0
    ]
    said = Words(
        title="Scales over time", about="A line a layer", x="step", y="mean scale, first kept = 1", whole_x=True
    )
    caption = (
        "The mean scale of a layer's weights over what it was at the first step kept, for the eight layers in which it "
        "moved most. A scale that still drifts moves every threshold of its layer."
    )
    return figure("oscillation-scales", "How scales move", caption, lines(said, held, rules=((1.0, ""),)))


def _heads(tracked: Tracked) -> tuple[Figure, ...]:
    if not tracked.pairs:
        return ()
    layers = list(dict.fromkeys(one.layer for one in tracked.pairs))
    dots = [
        Dot(
            100 * one.query,
            100 * one.key,
            f"{cut(one.layer, 18)} {one.head}",
            f"{one.layer}, head {one.head}: query {100 * one.query:.2f} %, key {100 * one.key:.2f} %",
            series(layers.index(one.layer)),
        )
        for one in tracked.pairs
    ]
    related = "" if tracked.together is None else f" The correlation over all heads is {tracked.together:+.2f}."
    said = Words(
        title="Query and key",
        about="A dot a head",
        x="% of the query's weights that oscillate",
        y="% of the key's weights that oscillate",
    )
    caption = (
        "Each dot is a head: how much of its query oscillates against how much of its key. Dots near the dashed line "
        f"are heads in which one does as much as the other.{related}"
    )
    classes = [(cut(layer, 24), series(index)) for index, layer in enumerate(layers)] if len(layers) < 9 else []
    drawn = scatter(said, dots, classes=classes, named=False, even=True)
    return (figure("oscillation-query-key", "Do query and key oscillate together?", caption, drawn, spare=True),)


def _some(count: int) -> list[int]:
    """Indices as far apart as needed, the last one among them."""
    every = -(-count // COLUMNS)
    return list(range((count - 1) % every, count, every))


def _steps(count: int) -> str:
    return "step" if count == 1 else f"{count} steps"
