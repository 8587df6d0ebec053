"""The figures of a study, all of its rows and of the logs of its runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from stillbit.analysis.plot.charts import Words
from stillbit.analysis.plot.figure import Figure, Option
from stillbit.analysis.svg.axis import short
from stillbit.analysis.svg.colour import series
from stillbit.study.charts import Level, Spot, ladder, levels, spots, told
from stillbit.study.paired import Sample, sample
from stillbit.study.rows import METRICS, Row, value, widths
from stillbit.study.settings import FLOAT
from stillbit.study.tables import by_seed

SPREAD = "Whiskers are one standard deviation of a seed to each side."


def figures(rows: Sequence[Row]) -> tuple[Figure, ...]:
    """Those for which there are numbers."""
    cells = [row for row in rows if row.kind == "cell"]
    broad = _broad(cells)
    known = colours(cells)
    made = (_accuracy(broad, rows, known), _oscillation(cells), _bitops(broad, known), _front(cells, known))
    return tuple(one for one in made if one is not None)


def _broad(cells: Sequence[Row]) -> list[Row]:
    """Cells of the methods that were tried at several widths, if any were: a line needs two points."""
    broad = [row for row in cells if any(one.title == row.title and one.bits != row.bits for one in cells)]
    return broad or list(cells)


def colours(cells: Sequence[Row]) -> dict[str, str]:
    """A class a method with its switch, the same in every figure."""
    return {title: series(index) for index, title in enumerate(dict.fromkeys(row.title for row in cells))}


def _accuracy(cells: Sequence[Row], rows: Sequence[Row], classes: dict[str, str]) -> Figure | None:
    def option(model: str, held: Sequence[Row]) -> Option | None:
        places = widths(held)
        given = [
            Level(title, [_sample(held, "top1", title, one) for one in places], classes[title])
            for title in _titles(held)
        ]
        if not any(any(level.values) for level in given):
            return None
        floats = [row.top1 for row in rows if row.kind == "parent" and (row.model, row.bits) == (model, FLOAT)]
        float_ = sample([one for one in floats if one is not None])
        rules = [] if float_ is None else [(float_.mean, f"float parent {float_.mean:.1f} %")]
        said = Words(title=f"Accuracy by bits, {model}", about="A line a method", x="bits", y=METRICS["top1"].heading)
        return Option(name=model, svg=levels(said, places, given, rules))

    caption = f"Top-1 on the validation images after the last epoch, mean over seeds. {SPREAD}"
    return _figure("accuracy-bits", "Accuracy by bits", caption, _by_model(cells, option))


def _oscillation(cells: Sequence[Row]) -> Figure | None:
    def option(model: str, held: Sequence[Row]) -> Option | None:
        known = [row for row in held if row.oscillation is not None]
        if not known:
            return None
        titles = _titles(known)
        given = [
            Level(bits, [_sample(known, "oscillation", title, bits) for title in titles], series(index))
            for index, bits in enumerate(widths(known))
        ]
        heading = METRICS["oscillation"].heading
        return Option(name=model, svg=ladder(Words(title=f"Oscillation, {model}", about="", x=heading), titles, given))

    caption = f"Share of the weights of up to four bits that oscillate at the end of training, by method. {SPREAD}"
    return _figure("oscillation-method", "Oscillation by method", caption, _by_model(cells, option))


def _bitops(cells: Sequence[Row], known: dict[str, str]) -> Figure | None:
    held = _named_once([one for one in _spots(cells, "gbitops", 1e9, known) if one.x.mean > 0])
    if len(held) < 2:
        return None
    said = Words(
        title="Accuracy against BitOPs", about="A dot a method and width", x="BitOPs an image", y="top-1, %", log_x=True
    )
    classes = [(title, known[title]) for title in _titles(cells)]
    caption = (
        "Further up and further left is better. A product of w and a bits counts w a; the axis is logarithmic. "
        f"{SPREAD}"
    )
    return _figure("accuracy-bitops", "Accuracy against BitOPs", caption, [Option(svg=spots(said, held, classes))])


def _front(cells: Sequence[Row], known: dict[str, str]) -> Figure | None:
    options = []
    for bits in widths(cells):
        held = _spots([row for row in cells if row.bits == bits], "seconds", 1 / 60, known)
        if len(held) < 2:
            continue
        held = [one._replace(name=one.says.partition(",")[0]) for one in held]
        said = Words(
            title=f"Accuracy against training time, {bits}",
            about="A dot a method",
            x="minutes of training",
            y="top-1, %",
        )
        options.append(Option(name=bits, svg=spots(said, held, (), pareto(held))))
    caption = (
        "What a minute of training buys, evaluation included. The dashed line joins the methods beside which none is "
        f"both quicker and better. Times are of whatever else ran beside. {SPREAD}"
    )
    return _figure("accuracy-time", "Accuracy against training time", caption, options, "bits")


def _named_once(given: Sequence[Spot]) -> list[Spot]:
    """Of those that share a name, only the highest keeps it: colours tell the others apart."""
    highest: dict[str, Spot] = {}
    for one in given:
        if one.name not in highest or one.y.mean > highest[one.name].y.mean:
            highest[one.name] = one
    return [one if one is highest[one.name] else one._replace(name="") for one in given]


def pareto(given: Sequence[Spot]) -> list[Spot]:
    """Those beside which none is both further left and further up, from left to right."""
    front: list[Spot] = []
    for one in sorted(given, key=lambda spot: (spot.x.mean, -spot.y.mean)):
        if not front or one.y.mean > front[-1].y.mean:
            front.append(one)
    return front


def _spots(cells: Sequence[Row], metric: str, unit: float, known: dict[str, str]) -> list[Spot]:
    """A dot a model, method and width that has both numbers."""
    found = []
    several = len({row.model for row in cells}) > 1
    for model, title, bits in dict.fromkeys((row.model, row.title, row.bits) for row in cells):
        mine = [row for row in cells if (row.model, row.title, row.bits) == (model, title, bits)]
        both = [row for row in mine if value(row, metric) is not None and row.top1 is not None]
        x = sample([unit * (value(row, metric) or 0.0) for row in both])
        y = sample([row.top1 for row in both if row.top1 is not None])
        if x is not None and y is not None:
            name = f"{bits} {model}" if several else bits
            says = f"{title}, {name}: {told(y)} % at {short(x.mean)}"
            found.append(Spot(name, x, y, says, known[title]))
    return found


def _by_model(cells: Sequence[Row], option: Callable[[str, Sequence[Row]], Option | None]) -> Iterator[Option]:
    for model in dict.fromkeys(row.model for row in cells):
        made = option(model, [row for row in cells if row.model == model])
        if made is not None:
            yield made


def _figure(
    name: str, title: str, caption: str, options: Iterator[Option] | Sequence[Option], choose: str = "model"
) -> Figure | None:
    held = tuple(options)
    if not held:
        return None
    return Figure(name=name, title=title, caption=caption, options=held, choose=choose if len(held) > 1 else "")


def _titles(cells: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.title for row in cells))


def _sample(cells: Sequence[Row], metric: str, title: str, bits: str) -> Sample | None:
    return sample(list(by_seed(cells, metric, title, bits).values()))
