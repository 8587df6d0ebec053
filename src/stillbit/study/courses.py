"""How the trainings of a study went: a number of every epoch, mean and range over the seeds (VVTQ's Figure 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from stillbit.analysis.logged import Row as Logged
from stillbit.analysis.logged import finite, logged
from stillbit.analysis.plot.charts import Words
from stillbit.analysis.plot.figure import Figure, Option
from stillbit.analysis.svg.colour import SERIES
from stillbit.study.charts import Course, courses
from stillbit.study.figures import colours
from stillbit.study.rows import Row
from stillbit.study.settings import PLAIN

SHOWN = {
    "top1": "top-1 on the validation images, %",
    "train_loss": "loss in training, mean of an epoch",
    "eval_loss": "loss on the validation images",
    "oscillating": "share of weights that oscillate",
}
"""What is drawn of a log, where it is there."""


def curves(rows: Sequence[Row], runs: Path) -> Figure | None:
    """A picture a width, model and number; ``runs`` is the folder with the cells' runs."""
    cells = [row for row in rows if row.kind == "cell" and row.status == "done"]
    known, options = colours([row for row in rows if row.kind == "cell"]), []
    logs = {row.name: logged(runs / row.name).epochs for row in cells if (runs / row.name / "metrics.jsonl").is_file()}
    crowded = len({row.title for row in cells}) > SERIES
    several = len({row.model for row in cells}) > 1
    for model, bits in dict.fromkeys((row.model, row.bits) for row in cells):
        held = [row for row in cells if (row.model, row.bits) == (model, bits) and row.name in logs]
        held = [row for row in held if row.switch == PLAIN] if crowded else held
        for name, means in SHOWN.items():
            given = _courses(held, logs, name, known)
            if not given:
                continue
            where = f"{bits} {model}" if several else bits
            said = Words(title=f"{name}, {where}", about=means, x="epoch", y=means, whole_x=True)
            options.append(Option(name=f"{where}: {name}", svg=courses(said, given)))
    if not options:
        return None
    caption = "A line is the mean over the seeds, and its band goes from the lowest to the highest of them."
    caption += " Methods with a switch are left out." if crowded else ""
    return Figure(name="curves", title="Training curves", caption=caption, options=tuple(options), choose="number")


def _courses(
    held: Sequence[Row], logs: Mapping[str, Sequence[Logged]], name: str, known: Mapping[str, str]
) -> list[Course]:
    found = []
    for title in dict.fromkeys(row.title for row in held):
        by_epoch: dict[int, list[float]] = {}
        for row in held:
            if row.title == title:
                for line in logs[row.name]:
                    if finite(line.get(name)):
                        by_epoch.setdefault(line["epoch"], []).append(float(line[name]))
        points = [(float(epoch), fmean(values), min(values), max(values)) for epoch, values in sorted(by_epoch.items())]
        if len(points) > 1:
            found.append(Course(title, points, known[title]))
    return found
