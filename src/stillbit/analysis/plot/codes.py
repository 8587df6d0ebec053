"""Latent weights between the codes: where they lie, and where single ones went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stillbit.analysis.latent import Latents
from stillbit.analysis.markup import Child, Markup
from stillbit.analysis.oscillation import Path, Tracked
from stillbit.analysis.plot.figure import Figure, Option
from stillbit.analysis.svg import marks
from stillbit.analysis.svg.axis import Axis, linear
from stillbit.analysis.svg.colour import series
from stillbit.analysis.svg.plane import Plane, legend, picture

PATHS = 6
"""Weights of a layer whose path is drawn: those that flipped most."""
POINTS = 128
"""Of a path, about."""


def latents(given: Sequence[Latents]) -> tuple[Figure, ...]:
    """A histogram a layer, over bin centres and thresholds."""
    if not given:
        return ()
    caption = (
        "How the layer's latent weights lie between the codes they snap to. Solid lines are bin centres, dashed lines "
        "the thresholds between them: weights in heaps at a dashed line are undecided, weights at a solid line rest."
    )
    options = tuple(Option(name=one.layer, svg=_histogram(one)) for one in given)
    return (Figure(name="latents", title="Latent weights", caption=caption, options=options, choose="layer"),)


def paths(tracked: Tracked) -> tuple[Figure, ...]:
    """The weights of each layer that flipped most, look by look."""
    if len(tracked.path_steps) < 2:
        return ()
    layers: dict[str, list[Path]] = {}
    for one in tracked.paths:
        layers.setdefault(one.layer, []).append(one)
    if not layers:
        return ()
    options = tuple(Option(name=layer, svg=_paths(layer, held, tracked)) for layer, held in layers.items())
    caption = (
        f"Where single latent weights went, in units of codes: {_which(layers)}. Solid lines are "
        "bin centres, dashed lines thresholds: a weight that crosses a dashed line again and again oscillates."
    )
    return (
        Figure(name="oscillation-paths", title="Paths of weights", caption=caption, options=options, choose="layer"),
    )


def _which(layers: Mapping[str, Sequence[Path]]) -> str:
    """How many paths are drawn of how many that are known."""
    most = max(len(held) for held in layers.values())
    if most <= PATHS:
        return f"the {most} weights of each layer that were drawn at random" if most > 1 else "a weight of each layer"
    return f"of the {most} weights of each layer that were drawn at random, the {PATHS} that changed code most often"


def _histogram(one: Latents) -> Markup:
    edges = [one.first + index / one.per_code for index in range(len(one.counts) + 1)]
    shares = [100 * count / max(one.weights, 1) for count in one.counts]
    plane = Plane(
        x=_codes(one.low, one.high, (edges[0], edges[-1]), "latent weight, in units of codes"),
        y=linear(shares, "% of the layer's weights", zero=True),
        top=30.0,
        height=220.0,
    )
    lines = [marks.rule(plane, x=float(code), class_="centre") for code in range(one.low, one.high + 1)]
    lines += [marks.rule(plane, x=code + 0.5) for code in range(one.low, one.high)]
    about = (
        f"{one.weights:,} weights of {one.bits} bits; {100 * one.near:.1f} % are near a threshold and "
        f"{100 * one.clipped:.1f} % beyond the outermost codes"
    )
    drawn = marks.histogram(plane, edges, shares, "% of weights", "s0")
    return picture(
        f"Latent weights of {one.layer}", about, plane.bottom, plane.axes(), *lines, plane.group(drawn, readable=True)
    )


def _paths(layer: str, held: Sequence[Path], tracked: Tracked) -> Markup:
    most = sorted(held, key=lambda one: (-one.flips, one.index))[:PATHS]
    names = [(f"weight {one.index:,}: {one.flips} flips", series(index)) for index, one in enumerate(most)]
    head, top = legend(names, 16, 16)
    steps = [float(step) for step in tracked.path_steps]
    every = [position for one in most for position in one.positions]
    low, high = min(one.low for one in most), max(one.high for one in most)
    # Only the codes that are passed get room: at eight bits the others would flatten the picture.
    low, high = max(low, int(min(every) - 1)), min(high, int(max(every) + 1))
    reach = (min([*every, low]) - 0.2, max([*every, high]) + 0.2)
    plane = Plane(
        x=linear(steps, "step", tight=True, count=8, whole=True),
        y=_codes(low, high, reach, "code"),
        top=top + 28,
        height=260.0,
    )
    lines: list[Child] = [marks.rule(plane, y=float(code), class_="centre") for code in range(low, high + 1)]
    lines += [marks.rule(plane, y=code + 0.5) for code in range(low, high)]
    drawn = [
        marks.line(
            plane,
            thinned(list(zip(steps, one.positions, strict=True))),
            f"weight {one.index:,}",
            f"thin {series(index)}",
        )
        for index, one in enumerate(most)
    ]
    about = f"{len(most)} weights over {len(steps)} looks; the liveliest changed code {most[0].flips} times"
    return picture(
        f"Paths of weights in {layer}",
        about,
        plane.bottom,
        head,
        plane.axes(lines=False),
        *lines,
        plane.group(*drawn, readable=True),
    )


def thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `POINTS`: of each stretch the lowest and the highest, so that no crossing is lost."""
    if len(points) <= POINTS:
        return points
    every = -(-2 * len(points) // POINTS)
    kept: list[tuple[float, float]] = []
    for begin in range(0, len(points), every):
        stretch = points[begin : begin + every]
        ends = min(stretch, key=lambda one: one[1]), max(stretch, key=lambda one: one[1])
        kept += sorted(set(ends))
    return kept


def _codes(low: int, high: int, reach: tuple[float, float], label: str) -> Axis:
    """An axis with a tick a code, or fewer where there are many."""
    every = max(1, (high - low + 1) // 16)
    ticks = tuple((float(code), str(code)) for code in range(low, high + 1, every))
    return Axis(low=reach[0], high=reach[1], label=label, ticks=ticks)
