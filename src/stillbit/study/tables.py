"""The tables of a study: mean and spread over seeds, methods by bits, and what it takes for a difference to be one."""

from __future__ import annotations

from collections.abc import Sequence

from stillbit.study.paired import LEAST, Sample, pooled, sample
from stillbit.study.rows import METRICS, Metric, Row, value, widths


def tables(rows: Sequence[Row], name: str, baseline: str | None) -> str:
    """The whole page, as Markdown."""
    cells = [row for row in rows if row.kind == "cell"]
    parts = [f"# {name}\n", _standing(cells), _parents(rows)]
    for model in dict.fromkeys(row.model for row in cells):
        held = [row for row in cells if row.model == model]
        parts.append(f"## {model}\n")
        for metric in METRICS.values():
            parts += _metric(metric, held, baseline)
    parts.append(_failures(rows))
    return "\n".join(part for part in parts if part)


def _standing(cells: Sequence[Row]) -> str:
    """How much of the study there is, and in how many surroundings it was made."""
    done = sum(row.status == "done" for row in cells)
    said = f"{done} of {len(cells)} cells are done. Cells are mean ± standard deviation of a seed (number of seeds)."
    where = {row.environment for row in cells if row.environment}
    if len(where) > 1:
        said += f" They were made in {len(where)} different surroundings (column environment), so compare with care."
    return said + "\n"


def _parents(rows: Sequence[Row]) -> str:
    held = [row for row in rows if row.kind == "parent"]
    if not held:
        return ""
    lines = ["| parent | model | bits | seed | top-1, % | epochs | seconds |", "|---|---|---|---:|---:|---:|---:|"]
    for row in held:
        numbers = (_number(row.top1, 2), _number(row.epochs, 0), _number(row.seconds, 0))
        lines.append(f"| {row.method} | {row.model} | {row.bits} | {row.seed} | {' | '.join(numbers)} |")
    return "\n".join(lines) + "\n"


def _metric(metric: Metric, cells: Sequence[Row], baseline: str | None) -> list[str]:
    """A table of one number, with the differences to the baseline below it; nothing where nobody measured it."""
    found = {key: held for key in _keys(cells) if (held := sample(_values(cells, metric.name, *key))) is not None}
    if not found:
        return []
    places = widths(cells)
    lines = _grid(f"### {metric.heading}", cells, places, lambda title, bits: _cell(found.get((title, bits)), metric))
    if baseline is not None and any(title == baseline for title, _ in found):
        heading = f"Difference to {baseline}, the same seeds; ± half of the interval that holds its mean with 95 %:"
        others = [row for row in cells if row.title != baseline]
        if others:
            lines += _grid(heading, others, places, lambda title, bits: _beside(cells, metric, title, bits, baseline))
    return [*lines, _noise(metric, found, places)]


def _grid(heading: str, cells: Sequence[Row], places: Sequence[str], words: object) -> list[str]:
    assert callable(words)
    lines = [f"{heading}\n", f"| method | {' | '.join(places)} |", f"|---|{'---:|' * len(places)}"]
    for title in dict.fromkeys(row.title for row in cells):
        held = [words(title, bits) for bits in places]
        if any(held):
            lines.append(f"| {title} | {' | '.join(held)} |")
    lines[-1] += "\n"
    return lines


def _keys(cells: Sequence[Row]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((row.title, row.bits) for row in cells))


def _values(cells: Sequence[Row], metric: str, title: str, bits: str) -> list[float]:
    return list(by_seed(cells, metric, title, bits).values())


def by_seed(cells: Sequence[Row], metric: str, title: str, bits: str) -> dict[int, float]:
    """A number of every seed that has it."""
    mine = [row for row in cells if (row.title, row.bits) == (title, bits)]
    return {row.seed: found for row in mine if (found := value(row, metric)) is not None}


def _cell(found: Sample | None, metric: Metric) -> str:
    if found is None:
        return ""
    mean = f"{found.mean:,.{metric.digits}f}"
    spread = "" if found.spread is None else f" ± {found.spread:,.{metric.digits}f}"
    return f"{mean}{spread} ({found.seeds})"


def _beside(cells: Sequence[Row], metric: Metric, title: str, bits: str, baseline: str) -> str:
    mine, theirs = (by_seed(cells, metric.name, one, bits) for one in (title, baseline))
    found = sample([mine[seed] - theirs[seed] for seed in sorted(mine.keys() & theirs.keys())])
    if found is None:
        return ""
    mean = f"{found.mean:+,.{metric.digits}f}"
    if found.half is None or found.seeds < LEAST:
        return f"{mean} ({found.seeds})"
    clear = "**" if abs(found.mean) > found.half else ""
    return f"{clear}{mean} ± {found.half:,.{metric.digits}f}{clear} ({found.seeds})"


def _noise(metric: Metric, found: dict[tuple[str, str], Sample], places: Sequence[str]) -> str:
    """What seeds alone do, in one number a width."""
    each = [(bits, pooled([one for (_, at), one in found.items() if at == bits])) for bits in places]
    said = ", ".join(f"{spread:,.{metric.digits}f} at {bits}" for bits, spread in each if spread is not None)
    if not said:
        return "No spread is known: a cell has one seed.\n"
    return f"Noise, the standard deviation of a seed over all methods: {said}.\n"


def _failures(rows: Sequence[Row]) -> str:
    """What is not there, and why; and what was trained and could not be measured."""
    held = [row for row in rows if row.error or row.status in ("failed", "stopped")]
    if not held:
        return ""
    lines = ["## Not whole\n", "| run | status | last words |", "|---|---|---|"]
    lines += [f"| {row.name} | {row.status} | {_flat(row.error)} |" for row in held]
    return "\n".join(lines) + "\n"


def _flat(words: str) -> str:
    """As a cell of a Markdown table may hold it."""
    return words.replace("|", "\\|").replace("\n", " ")


def _number(found: float | None, digits: int) -> str:
    return "" if found is None else f"{found:,.{digits}f}"
