"""Many tasks by one method: one folder, one table, whatever happens to one of them."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from stillbit.data.glue_metrics import glue_average
from stillbit.methods import glue_runs
from stillbit.methods.glue import SETS
from stillbit.methods.glue_runs import Sat, metrics_of, perform_all, placed, table_of
from stillbit.methods.recipe import Recipe
from tests.methods import readers, small
from tests.methods.test_perform import stopping

FULL = {
    "cola": {"matthews": 50.0},
    "sst2": {"accuracy": 90.0},
    "mrpc": {"f1": 88.0, "accuracy": 84.0},
    "stsb": {"pearson": 88.0, "spearman": 86.0},
    "qqp": {"f1": 70.0, "accuracy": 90.0},
    "mnli": {"accuracy_matched": 84.0, "accuracy_mismatched": 82.0},
    "qnli": {"accuracy": 90.0},
    "rte": {"accuracy": 70.0},
    "wnli": {"accuracy": 60.0},
}
"""Scores of all nine tasks."""


def recipes(root: Path, method: str = "fp", **settings: Any) -> dict[str, Recipe]:
    made = readers.recipe(method, root, **settings)
    return {task: small.change(made, text={"task": task, "vocabulary": 200}) for task in SETS["generated"]}


def performed(wanted: dict[str, Recipe]) -> tuple[Sat, str]:
    file = io.StringIO()
    sat = perform_all("generated", wanted, Console(file=file, width=200))
    return sat, file.getvalue()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Recipe], Sat]:
    wanted = recipes(tmp_path_factory.mktemp("all"))
    return wanted, performed(wanted)[0]


def test_each_task_has_a_run_in_one_folder_and_all_are_in_one_table(done: tuple[dict[str, Recipe], Sat]) -> None:
    _, sat = done
    assert sat.folder.name == "run" and not sat.failed
    assert {path.name for path in sat.folder.iterdir()} == {*SETS["generated"], "glue.json"}
    held = json.loads((sat.folder / "glue.json").read_text())
    for task in SETS["generated"]:
        assert held["scores"][task] == pytest.approx(
            json.loads((sat.folder / task / "result.json").read_text())["score"]
        )
    assert set(held["tasks"]["acceptability"]) == {"matthews", "accuracy"}
    assert held["averages"] == {"generated": pytest.approx(sum(held["scores"].values()) / 3)}
    file = io.StringIO()
    Console(file=file, width=200).print(table_of(sat))
    assert "paraphrase" in file.getvalue() and "of the three generated tasks" in file.getvalue()


def test_what_is_whole_is_left_as_it_is(done: tuple[dict[str, Recipe], Sat]) -> None:
    wanted, before = done
    files = {path: path.stat().st_mtime_ns for path in before.folder.glob("*/model.safetensors")}
    sat, said = performed({task: small.change(one, output={"resume": "auto"}) for task, one in wanted.items()})
    assert sat.metrics == before.metrics and "epoch" not in said
    assert files == {path: path.stat().st_mtime_ns for path in before.folder.glob("*/model.safetensors")}


def test_a_folder_with_something_in_it_is_not_begun_anew(done: tuple[dict[str, Recipe], Sat]) -> None:
    with pytest.raises(ValueError, match="run exists and is not empty: go on with --resume auto"):
        performed(done[0])
    path = {task: small.change(one, output={"resume": "run"}) for task, one in done[0].items()}
    with pytest.raises(ValueError, match="--resume run is one run, and this is one for each task: --resume auto"):
        performed(path)


def test_one_that_fails_does_not_stop_the_others_and_is_said_at_the_end(tmp_path: Path) -> None:
    wanted = recipes(tmp_path)
    wanted["acceptability"] = small.change(wanted["acceptability"], data={"data_dir": tmp_path / "nowhere"})
    sat, said = performed(wanted)
    assert set(sat.metrics) == {"entailment", "paraphrase"} and list(sat.failed) == ["acceptability"]
    assert "acceptability failed: " in said and sat.averages == {}
    assert json.loads((sat.folder / "glue.json").read_text())["failed"] == sat.failed


def test_what_fails_for_all_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"not one of the 3 tasks could be trained: .*4 tiny is no"):
        perform_all("generated", recipes(tmp_path, model={"model": "4 tiny is no"}), Console(file=io.StringIO()))
    assert not list(tmp_path.iterdir())


def test_a_stop_stops_all_and_they_go_on(tmp_path: Path, done: tuple[dict[str, Recipe], Sat]) -> None:
    wanted = {task: small.change(one, output={"output": tmp_path}) for task, one in done[0].items()}
    with pytest.MonkeyPatch.context() as patched:
        stopping(2, patched)
        sat, _ = performed(wanted)
    assert sat.signal and not sat.metrics and not (sat.folder / "paraphrase").exists()
    sat, said = performed({task: small.change(one, output={"resume": "auto"}) for task, one in wanted.items()})
    assert "goes on after step" in said and sat.metrics == done[1].metrics


def test_a_folder_of_many_runs_gives_each_task_its_own(tmp_path: Path) -> None:
    (tmp_path / "many" / "rte").mkdir(parents=True)
    recipe = readers.recipe("lsq", tmp_path, model={"initial_checkpoint": tmp_path / "many"})
    recipe = small.change(recipe, distill={"teacher": str(tmp_path / "many")})
    rte, sst2 = (placed(recipe, task, tmp_path / "here") for task in ("rte", "sst2"))
    assert rte.model.initial_checkpoint == tmp_path / "many" / "rte" and rte.distill.teacher == str(
        tmp_path / "many/rte"
    )
    assert sst2.model.initial_checkpoint == tmp_path / "many"
    assert rte.output.output / (rte.output.experiment or "") == tmp_path / "here" / "rte"
    named = placed(small.change(recipe, distill={"teacher": "self"}), "rte", tmp_path)
    assert named.distill.teacher == "self"


def test_the_averages_are_those_of_glue_and_of_papers_on_one_bit() -> None:
    sat = Sat(Path(), metrics=dict(FULL))
    assert sat.averages["glue"] == pytest.approx(glue_average(FULL))
    eight = {task: metrics for task, metrics in FULL.items() if task != "wnli"}
    assert sat.averages["glue_without_wnli"] == pytest.approx((50 + 90 + 86 + 87 + 80 + 83 + 90 + 70) / 8)
    assert sat.averages["glue_accuracy_alone"] == pytest.approx((50 + 90 + 84 + 87 + 90 + 83 + 90 + 70) / 8)
    assert list(Sat(Path(), metrics=eight).averages) == ["glue_without_wnli", "glue_accuracy_alone"]
    eight.pop("rte")
    assert Sat(Path(), metrics=eight).averages == {}


def test_scores_are_those_of_the_best_epoch_and_of_the_average_if_that_is_judged(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"epoch": 2}')
    rows = "epoch,score,accuracy_matched,accuracy_mismatched,ema_score,ema_accuracy_matched,ema_accuracy_mismatched"
    (tmp_path / "summary.csv").write_text(f"{rows}\n1,5,4,6,3,2,4\n2,50,40,60,51,41,61\n")
    assert metrics_of(tmp_path, "mnli") == {"accuracy_matched": 41, "accuracy_mismatched": 61}
    plain = "epoch,score,f1,accuracy"
    (tmp_path / "summary.csv").write_text(f"{plain}\n1,5,4,6\n2,50,40,60\n")
    assert metrics_of(tmp_path, "mrpc") == {"f1": 40, "accuracy": 60}


def test_every_average_says_what_is_in_it() -> None:
    for name, (words, _) in glue_runs.AVERAGES.items():
        assert name == "generated" or ("WNLI" in words and "MNLI once" in words)
    assert replace(Sat(Path()), signal=2).to_dict() == {"tasks": {}, "scores": {}, "failed": {}, "averages": {}}
