"""The first tables of a report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from stillbit.analysis.report import Run
from stillbit.cli.report_summary import COLUMNS, summary
from tests.analysis.plot import samples

RECIPE: dict[str, Any] = {
    "method": "lsq",
    "model": {"model": "deit_tiny", "initial_checkpoint": "here"},
    "quant": {"bits": "w2a2", "weight": "lsq"},
    "optim": {"lr": 0.1, "betas": [0.9, 0.999]},
    "schedule": {"epochs": 5},
    "machine": {"seed": 42, "device": "cpu"},
    "output": {"experiment": "a"},
}
ENDED = {"top1": 71.25, "weight_bytes": 4_000, "seconds": 120.0, "epochs": 5}


def run(
    folder: Path, name: str, recipe: dict[str, Any], result: dict[str, Any] | None, *records: Any
) -> tuple[Path, Run]:
    path = folder / name
    path.mkdir()
    (path / "recipe.json").write_text(json.dumps(recipe))
    if result is not None:
        (path / "result.json").write_text(json.dumps(result))
    return path, Run(name=name, records=records)


def row(table: Any, index: int = 0) -> dict[str, Any]:
    return dict(zip([column.name for column in table.columns], table.rows[index], strict=True))


def test_a_run_that_ended_is_told_from_its_result_and_its_cost(tmp_path: Path) -> None:
    path, one = run(tmp_path, "a", RECIPE, ENDED, samples.cost(), samples.curves())
    (table,) = summary([path], [one])
    held = row(table)
    assert held == {
        "run": "a",
        "method": "lsq",
        "model": "deit_tiny",
        "bits": "w2a2",
        "top-1": 0.7125,
        "loss": None,
        "weights": 4000.0,
        "BitOPs, G": 0.12,
        "epochs": "3 of 5",
        "minutes": 2.0,
        "seed": 42,
    }
    assert len(COLUMNS) == len(held)


def test_a_run_that_has_not_ended_is_told_from_its_log(tmp_path: Path) -> None:
    curves = samples.curves()
    loss = replace(curves.curves[1], name="eval_loss", values=(0.9, 0.7, 0.8))
    path, one = run(tmp_path, "a", {**RECIPE, "quant": None}, None, replace(curves, curves=(*curves.curves, loss)))
    held = row(summary([path], [one])[0])
    assert (held["bits"], held["top-1"], held["loss"]) == ("float", 0.7125, 0.8)
    assert held["minutes"] == curves.seconds / 60 and held["weights"] is None


def test_runs_about_texts_say_their_task_and_its_score_too(tmp_path: Path) -> None:
    reads = {**RECIPE, "text": {"task": "mrpc"}}
    path, one = run(tmp_path, "a", reads, {**ENDED, "score": 80.5})
    curves = samples.curves()
    scored = tuple(replace(each, name="score" if each.name == "top1" else each.name) for each in curves.curves)
    other, two = run(tmp_path, "b", reads, None, replace(curves, curves=scored))
    third, three = run(tmp_path, "c", {**RECIPE, "text": {"task": ""}}, ENDED)
    (table,) = summary([path, other, third], [one, two, three])[:1]
    assert len(table.columns) == len(COLUMNS) + 2
    held = row(table)
    assert (held["task"], held["score"], held["top-1"]) == ("mrpc", 0.805, 0.7125)
    assert (row(table, 1)["score"], row(table, 1)["top-1"]) == (curves.best / 100, None)
    assert (row(table, 2)["task"], row(table, 2)["score"], row(table, 2)["top-1"]) == (None, None, 0.7125)


def test_what_is_set_differently_is_a_row_and_where_things_lie_is_none(tmp_path: Path) -> None:
    other = json.loads(json.dumps(RECIPE))
    other["optim"] |= {"lr": 0.2, "betas": [0.9, 0.99]}
    other["model"]["initial_checkpoint"] = "there"
    other["output"]["experiment"] = "b"
    other["machine"] |= {"seed": 43, "device": "cuda"}
    (a, one), (b, two) = run(tmp_path, "a", RECIPE, None), run(tmp_path, "b", other, None)
    _, table = summary([a, b], [one, two])
    assert [column.name for column in table.columns] == ["setting", "a", "b"]
    assert table.rows == (("optim.lr", "0.1", "0.2"), ("optim.betas", "0.9, 0.999", "0.9, 0.99"))


def test_runs_with_the_same_settings_have_one_table(tmp_path: Path) -> None:
    (a, one), (b, two) = run(tmp_path, "a", RECIPE, None), run(tmp_path, "b", RECIPE, None)
    assert len(summary([a, b], [one, two])) == 1
