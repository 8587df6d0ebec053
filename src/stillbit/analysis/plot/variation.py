"""What differs within a model: loudness by layer and head, outliers, ridgelines, and ranges of activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stillbit.analysis.activations import Ranges
from stillbit.analysis.distributions import Channel, Ridges, Spread
from stillbit.analysis.markup import Child, Markup
from stillbit.analysis.plot.charts import Bar, Heat, Part, Series, Words, bars, heat, lines
from stillbit.analysis.plot.figure import Figure, Option, figure
from stillbit.analysis.svg import marks
from stillbit.analysis.svg.axis import bands, linear
from stillbit.analysis.svg.plane import LETTER, WIDTH, Plane, cut, picture
from stillbit.analysis.variation import Compared, Variation

CHANNELS = 20
"""The loudest channels that are drawn."""
TAILS = 24
"""The parts with the heaviest tails that are drawn."""


def figures(record: Variation) -> tuple[Figure, ...]:
    """Of one model."""
    return (
        *_against(record.against),
        *_heads(record),
        _layers(record),
        *_channels(record),
        *_ridgelines(record.ridges),
        *_activations(record),
        *_ranges(record.ranges),
    )


def compare(runs: Sequence[tuple[str, Variation]], colours: Mapping[str, str] | None = None) -> tuple[Figure, ...]:
    """SDAM of the weights, run by run."""
    if len(runs) < 2:
        return ()
    held = [
        Compared(model=name, about=record.about, parameters=record.parameters, deviations=record.weights)
        for name, record in runs
    ]
    return _against(held, name="variation-runs", colours=colours)


def _against(
    held: Sequence[Compared], name: str = "variation-models", colours: Mapping[str, str] | None = None
) -> tuple[Figure, ...]:
    rows = []
    for one in held:
        found = next((d for d in one.deviations if d.over == "modules"), None)
        if found is not None:
            says = f"{one.model}: {found.relative:.4f} relative, {found.deviation:.5f} absolute, {found.parts} parts"
            rows.append(Bar(one.model, (Part(found.relative, says, (colours or {}).get(one.model, "s0")),)))
    if len(rows) < 2:
        return ()
    said = Words(title="Variation of models", about="SDAM over modules", x="SDAM over modules, relative")
    caption = (
        "The standard deviation of the absolute mean (SDAM) of the weights over modules, each divided by the mean of "
        "all: how differently loud the parts of a model are. The longer the bar, the less one scale fits all."
    )
    return (figure(name, "Variation, model by model", caption, bars(said, rows)),)


def _layers(record: Variation) -> Figure:
    heavy = sorted(record.spreads, key=lambda one: -one.kurtosis)[:TAILS]
    loud = [Bar(name := _part(one), (Part(one.kurtosis, _tail(name, one)),)) for one in heavy]
    said = Words(title="Heavy tails", about=f"The heaviest is {loud[0].name}" if loud else "", x="kurtosis")
    caption = (
        f"Kurtosis of the weights, of the {TAILS} parts with the heaviest tails: 1.8 is uniform, 3 is normal, more "
        "means a few large weights that stretch the scale of all others."
    )
    return figure("variation-tails", "Heavy tails", caption, bars(said, loud, rules=((3.0, "normal"),)))


def _heads(record: Variation) -> tuple[Figure, ...]:
    held = [one for one in record.spreads if one.head is not None]
    if not held:
        return ()
    options = []
    for role in dict.fromkeys(one.role for one in held):
        of = [one for one in held if one.role == role]
        layers = list(dict.fromkeys(one.layer for one in of))
        heads = sorted({one.head for one in of if one.head is not None})
        known = {(one.layer, one.head): one.magnitude for one in of}
        values = [[known.get((layer, head)) for head in heads] for layer in layers]
        said = Words(
            title=f"Mean |w| of each head's {role}", about="A row a layer, a column a head", x="head", zero=True
        )
        options.append(Option(name=role, svg=heat(said, Heat(layers, [str(head) for head in heads], values))))
    caption = (
        "The mean absolute weight of every head, a row a layer. Rows of one colour would do with one scale; rows that "
        "change in colour ask for a scale a head."
    )
    return (
        Figure(
            name="variation-heads", title="Loudness of heads", caption=caption, options=tuple(options), choose="role"
        ),
    )


def _channels(record: Variation) -> tuple[Figure, ...]:
    held = record.channels[:CHANNELS]
    if not held:
        return ()
    rows = [Bar(f"{cut(one.layer, 20)} {one.side[:3]} {one.index}", (Part(one.loudness, _loud(one)),)) for one in held]
    said = Words(
        title="Loudest channels", about=f"The loudest is {rows[0].name}", x="mean |w| of the channel over its layer's"
    )
    caption = (
        "The channels (rows: out, columns: inp) that stand out most from their layer. One channel far above the others "
        "costs all of them resolution where they share a scale."
    )
    return (figure("variation-channels", "Outlier channels", caption, bars(said, rows)),)


def _ridgelines(given: Sequence[Ridges]) -> tuple[Figure, ...]:
    found = []
    for by, words in (("head", "a head of a role"), ("channel", "an output channel, the quietest at the top")):
        options = tuple(Option(name=one.layer, svg=_ridgeline(one)) for one in given if one.by == by)
        if options:
            caption = (
                f"How the weights of one layer are distributed, a hill for {words}; all hills share the axis, each has "
                "its own height. Hills of different width are weights that one scale serves badly."
            )
            title = f"Distributions by {by}"
            found.append(Figure(name=f"ridges-{by}", title=title, caption=caption, options=options, choose="layer"))
    return tuple(found)


def _ridgeline(one: Ridges) -> Markup:
    names = [f"{line.role} {line.index}" for line in one.lines]
    left = 18 + LETTER * max((len(name) for name in names), default=1)
    gap = 22.0
    plane = Plane(
        x=linear(one.edges, "weight", tight=True),
        y=bands(names),
        left=left,
        top=30.0,
        width=WIDTH - left - 20,
        height=gap * len(names),
        down=True,
    )
    hills: list[Child] = [
        marks.ridge(plane, index + 0.4, 1.7 * gap, one.edges, line.counts, _quantiles(name, line.quantiles))
        for index, (name, line) in enumerate(zip(names, one.lines, strict=True))
    ]
    about = f"{len(one.lines)} of {one.of} distributions of weights, by {one.by}"
    return picture(f"Weights of {one.layer}", about, plane.bottom, plane.axes(), plane.group(*hills))


def _quantiles(name: str, at: Sequence[float]) -> str:
    return f"{name}: from {at[0]:.4g} to {at[-1]:.4g}, half of it between {at[2]:.3g} and {at[4]:.3g}"


def _activations(record: Variation) -> tuple[Figure, ...]:
    held = [one for one in record.flows if one.role == "input"]
    if not held:
        return ()
    rows = [
        Bar(
            one.layer,
            (Part(one.peak, f"{one.layer}: largest {one.peak:.1f} times the mean, kurtosis {one.kurtosis:.1f}"),),
        )
        for one in held
    ]
    said = Words(title="Peaks of activations", about="A bar a layer", x="largest |a| over mean |a|")
    over = f"{record.images:,} {record.what}"
    caption = (
        f"How far the largest number that enters each layer stands out from the mean, over {over}. A "
        "long bar is a layer whose activations need a scale for a few numbers only."
    )
    return (figure("variation-activations", "Peaks of activations", caption, bars(said, rows)),)


def _ranges(given: Sequence[Ranges]) -> tuple[Figure, ...]:
    found = []
    for by in ("channel", "token"):
        held = [one for one in given if one.by == by]
        options = tuple(Option(name=one.layer, svg=_range(one)) for one in held)
        if options:
            caption = (
                f"The range of what enters a layer, by {by}: all of it, and between the 1 % and the 99 % quantile. "
                f"Peaks in the outer two are outlier {by}s; the gap between the pairs is room that few numbers use."
                f"{_sampled(held, by)}"
            )
            title = f"Activation ranges by {by}"
            found.append(Figure(name=f"ranges-{by}", title=title, caption=caption, options=options, choose="layer"))
    return tuple(found)


def _sampled(held: Sequence[Ranges], by: str) -> str:
    """Of how many some are drawn, where these are not all."""
    counts: dict[int, list[int]] = {}
    for one in held:
        if len(one.index) < one.of:
            counts.setdefault(one.of, []).append(len(one.index))
    if not counts:
        return ""
    said = ", ".join(f"{_between(some)} of {every:,}" for every, some in sorted(counts.items()))
    return f" Of layers with many {by}s a sample is drawn, as points, with the widest in it: {said}."


def _between(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _range(one: Ranges) -> Markup:
    at = [float(index) for index in one.index]
    held = [
        Series("largest", list(zip(at, one.high, strict=True))),
        Series("99 %", list(zip(at, one.high_usual, strict=True))),
        Series("1 %", list(zip(at, one.low_usual, strict=True))),
        Series("smallest", list(zip(at, one.low, strict=True))),
    ]
    said = Words(
        title=f"Input of {one.layer}",
        about=f"Ranges by {one.by}, {len(at)} of {one.of}",
        x=one.by,
        y="value",
        whole_x=True,
    )
    return lines(said, held, joined=len(at) == one.of)


def _part(one: Spread) -> str:
    return one.layer if one.head is None else f"{one.layer} {one.role} {one.head}"


def _tail(name: str, one: Spread) -> str:
    return (
        f"{name}: kurtosis {one.kurtosis:.2f}, mean |w| {one.magnitude:.4g}, "
        f"{100 * one.beyond3:.2f} % beyond 3 deviations"
    )


def _loud(one: Channel) -> str:
    what = f"{one.layer}, {one.side} {one.index}"
    return f"{what}: largest |w| {one.peak:.1f} times the layer's mean |w|, mean {one.loudness:.1f} times"
