"""The first tables of a page: what came out of each run, and what its settings differ in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stillbit.analysis.report import Run
from stillbit.analysis.table import Cell, Column, Table
from stillbit.methods.recipe_file import PASSING, flat

COLUMNS = (
    Column(name="run"),
    Column(name="method"),
    Column(name="model"),
    Column(name="bits"),
    Column(name="top-1", kind="share", about="best, on the validation images or texts"),
    Column(name="loss", kind="number", about="on the same, at the best epoch"),
    Column(name="weights", kind="bytes", about="codes at their true width, scales, and what stays float"),
    Column(name="BitOPs, G", kind="number", about="10^9 bit operations of one image or text"),
    Column(name="epochs", about="done of planned"),
    Column(name="minutes", kind="number", about="in training"),
    Column(name="seed", kind="count"),
)
OF_TEXTS = {
    "task": Column(name="task"),
    "score": Column(name="score", kind="share", about="of the task, best, on the validation texts"),
}
"""Columns that stand behind model and bits, if a run is about texts."""
SAME_ROW = ("method", "model.model", "text.task", "quant.bits", "machine.seed")
"""Settings that stand in the first table already."""


def summary(folders: Sequence[Path], runs: Sequence[Run]) -> tuple[Table, ...]:
    """A row a run; and for several runs a row a setting that is not the same in all."""
    recipes = [_json(folder / "recipe.json") for folder in folders]
    held = [_row(folder, run, recipe) for folder, run, recipe in zip(folders, runs, recipes, strict=True)]
    columns = _columns(reads=any(map(_task, recipes)))
    rows = tuple(tuple(row[column.name] for column in columns) for row in held)
    first = Table(title="What came out", columns=columns, rows=rows)
    return (first, *_differences(runs, recipes))


def _columns(*, reads: bool) -> tuple[Column, ...]:
    if not reads:
        return COLUMNS
    after = {"model": (OF_TEXTS["task"],), "bits": (OF_TEXTS["score"],)}
    return tuple(column for each in COLUMNS for column in (each, *after.get(each.name, ())))


def _task(recipe: dict[str, Any]) -> str | None:
    """What a run about texts was asked."""
    return (recipe.get("text") or {}).get("task") or None


def _row(folder: Path, run: Run, recipe: dict[str, Any]) -> dict[str, Cell]:
    result, curves, cost = _json(folder / "result.json"), run.record("curves"), run.record("cost")
    done = getattr(curves, "epochs", result.get("epochs"))
    seconds = result.get("seconds", getattr(curves, "seconds", None))
    size = getattr(cost, "weight_bytes", result.get("weight_bytes"))
    bitops = getattr(cost, "bitops", None)
    judged = "top1" if _task(recipe) is None else "score"
    shares = {name: result.get(name) for name in ("top1", "score")}
    if shares[judged] is None:
        shares[judged] = getattr(curves, "best", None)
    top1, score = (None if share is None else share / 100 for share in shares.values())
    return {
        "run": run.name,
        "method": recipe["method"],
        "model": recipe["model"]["model"],
        "task": _task(recipe),
        "bits": "float" if recipe["quant"] is None else recipe["quant"]["bits"],
        "score": score,
        "top-1": top1,
        "loss": result.get("eval_loss", _loss(curves, judged)),
        "weights": size,
        "BitOPs, G": None if bitops is None else bitops / 1e9,
        "epochs": f"{done} of {recipe['schedule']['epochs']}",
        "minutes": None if seconds is None else seconds / 60,
        "seed": recipe["machine"]["seed"],
    }


def _loss(curves: Any, judged: str) -> float | None:
    """The loss on the validation images or texts where that was best which a run is judged by."""
    held = {(one.name, one.per): one for one in getattr(curves, "curves", ())}
    best, loss = held.get((judged, "epoch")), held.get(("eval_loss", "epoch"))
    if best is None or loss is None:
        return None
    at = best.steps[best.values.index(max(best.values))]
    return float(loss.values[loss.steps.index(at)]) if at in loss.steps else None


def _differences(runs: Sequence[Run], recipes: Sequence[dict[str, Any]]) -> tuple[Table, ...]:
    if len(runs) < 2:
        return ()
    settings = [dict(flat(recipe)) for recipe in recipes]
    names = [
        name
        for name in dict.fromkeys(name for one in settings for name in one)
        if name not in PASSING
        and name not in SAME_ROW
        and not name.startswith("output.")
        and len({json.dumps(one.get(name)) for one in settings}) > 1
    ]
    rows = tuple((name, *(_said(one.get(name)) for one in settings)) for name in names)
    if not rows:
        return ()
    columns = (Column(name="setting"), *(Column(name=run.name) for run in runs))
    note = "settings that are the same in all runs, and where things lie, are left out"
    return (Table(title="What was set differently", columns=columns, rows=rows, note=note),)


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
