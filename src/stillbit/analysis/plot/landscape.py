"""The loss around the trained weights: a cut, contours, and a surface; the model and its float one side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stillbit.analysis.landscape import Landscape, Surface
from stillbit.analysis.markup import Child
from stillbit.analysis.plot.charts import Series, Words, lines
from stillbit.analysis.plot.figure import Figure, figure
from stillbit.analysis.svg import marks
from stillbit.analysis.svg.axis import linear, short
from stillbit.analysis.svg.field import contours, levels, surface
from stillbit.analysis.svg.plane import WIDTH, Plane, label, picture

HEAD = 44.0
"""Room above pictures that stand side by side."""


def figures(record: Landscape) -> tuple[Figure, ...]:
    """Only of surfaces that are whole."""
    held = [one for one in record.surfaces if _whole(one)]
    if not held:
        return ()
    if record.dimensions == 1:
        return (_cut(record, held),)
    return (_contours(record, held), _surfaces(record, held))


def compare(runs: Sequence[tuple[str, Landscape]], colours: Mapping[str, str] | None = None) -> tuple[Figure, ...]:
    """Cuts of several runs over each other: the first direction, through the centre."""
    known = dict(runs)
    whole = {name: record for name, record in runs if _whole(record.surfaces[0])}
    seed = next((record.seed for record in whole.values()), 0)
    drawn = {name: record for name, record in whole.items() if record.seed == seed}
    held = [
        Series(name, _through(record, record.surfaces[0]), (colours or {}).get(name, ""))
        for name, record in drawn.items()
    ]
    if len(held) < 2:
        return ()
    said = Words(
        title="Cuts through the loss, run by run", about="A line a run", x="along the first direction", y="loss"
    )
    left = [
        f"{name} ({_reason(known.get(name))})"
        for name in dict.fromkeys([*known, *(colours or {})])
        if name not in drawn
    ]
    planes = [name for name, record in drawn.items() if record.dimensions == 2]
    caption = (
        "The loss along a random direction through the trained weights, a line a run. A wide valley forgives weights "
        f"that do not land exactly; all runs here move in the direction of seed {seed}."
        + (f" Of a plane it is the middle line, which is that direction: {', '.join(planes)}." if planes else "")
        + (f" Not in it: {', '.join(left)}." if left else "")
    )
    return (figure("landscape-runs", "Valleys, run by run", caption, lines(said, held)),)


def _reason(record: Landscape | None) -> str:
    """Why a run is not among the others."""
    if record is None:
        return "not scanned"
    return f"another direction, of seed {record.seed}" if _whole(record.surfaces[0]) else "its scan has not ended"


def _whole(one: Surface) -> bool:
    return all(loss is not None for loss in one.losses)


def _cut(record: Landscape, held: Sequence[Surface]) -> Figure:
    said = Words(title="A cut through the loss", about=_centres(held), x="along a random direction", y="loss")
    drawn = lines(said, [Series(one.of, _through(record, one)) for one in held])
    return figure("landscape-cut", "A cut through the loss", _caption(record), drawn)


def _contours(record: Landscape, held: Sequence[Surface]) -> Figure:
    wide, gap = _widths(len(held))
    parts: list[Child] = []
    for index, one in enumerate(held):
        rows = _rows(record, one)
        every = [loss for row in rows for loss in row]
        plane = Plane(
            x=linear(record.coordinates, "first direction", tight=True),
            y=linear(record.coordinates, "", tight=True),
            left=gap + index * (wide + gap),
            top=HEAD,
            width=wide,
            height=wide,
            title=f"{one.of}: {_range(every)}",
        )
        at = record.coordinates
        parts += [contours(plane, at, at, rows, levels(min(every), max(every))), plane.axes(lines=False)]
        parts.append(marks.dot(plane, (0.0, 0.0), f"{one.of}, the trained weights: loss {one.loss}", "s1"))
    caption = (
        f"{_caption(record)} The first direction goes across, the second up; dark is low, and each picture has twelve "
        "heights of its own."
    )
    return figure(
        "landscape-contours",
        "Contours",
        caption,
        picture("Contours of the loss", _centres(held), HEAD + wide + 44, *parts),
    )


def _surfaces(record: Landscape, held: Sequence[Surface]) -> Figure:
    wide, gap = _widths(len(held))
    known = [[loss for row in _rows(record, one) for loss in row] for one in held]
    between = min(min(every) for every in known), max(max(every) for every in known)
    tall = wide * 0.85
    parts: list[Child] = []
    for index, (one, every) in enumerate(zip(held, known, strict=True)):
        left = gap + index * (wide + gap)
        parts.append(surface((left, HEAD, wide, tall), _rows(record, one), between))
        parts.append(label(left, 20, f"{one.of}: {_range(every)}", class_="head"))
    caption = (
        "The same losses as heights over the two directions, all on one scale: what is rugged here makes training at "
        "few bits hard, what is flat forgives."
    )
    return figure(
        "landscape-surface",
        "Surface",
        caption,
        picture("Surface of the loss", _centres(held), HEAD + tall + 10, *parts),
        spare=True,
    )


def _widths(count: int) -> tuple[float, float]:
    gap = 54.0
    return min((WIDTH - gap * (count + 1)) / count, 420.0), gap


def _through(record: Landscape, one: Surface) -> list[tuple[float, float]]:
    """Along the first direction, where the second is zero."""
    row = _rows(record, one)[record.points // 2 if record.dimensions == 2 else 0]
    return list(zip(record.coordinates, row, strict=True))


def _rows(record: Landscape, one: Surface) -> list[list[float]]:
    held = [loss for loss in one.losses if loss is not None]
    return [held[begin : begin + record.points] for begin in range(0, len(held), record.points)]


def _range(every: Sequence[float]) -> str:
    return f"loss {short(min(every))} to {short(max(every))}"


def _centres(held: Sequence[Surface]) -> str:
    said = []
    for one in held:
        sharp = "".join(f", largest curvature {short(c.eigenvalue)}" for c in one.curvatures[:1])
        said.append(f"{one.of}: loss {one.loss:.4g} at the centre{sharp}" if one.loss is not None else one.of)
    return "; ".join(said)


def _caption(record: Landscape) -> str:
    return (
        f"Loss on {record.images:,} {record.what} around the trained weights, along {record.dimensions} random "
        f"direction{'s' if record.dimensions == 2 else ''} whose rows are as long as those of the weights (Li et al. "
        "2018): at 1 every row has moved by its own norm. The float model moves in the same direction."
    )
