"""``stillbit runs``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import PLAIN, mistake, works
from tests.cli.deployed_run import numbers, reading


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float run, then a quantized one."""
    folder = tmp_path_factory.mktemp("runs")
    works(f"train fp {PLAIN} --epochs 1 --experiment one --output", folder)
    works(f"train lsq {PLAIN} --epochs 2 --bits w3a4 --experiment a --output", folder)
    return folder


def test_every_run_is_a_row_the_oldest_first(folder: Path) -> None:
    heading, first, second = works("runs", folder).splitlines()
    assert heading.split() == ["run", "method", "model", "bits", "top1", "epochs", "size", "trained", "in"]
    assert first.split()[:4] == [str(folder / "one"), "fp", "vit_pico_patch4_32", "float"]
    assert second.split()[:4] == [str(folder / "a"), "lsq", "vit_pico_patch4_32", "w3a4"]


def test_the_same_as_json_has_the_numbers(folder: Path) -> None:
    one, a = json.loads(works("runs --json", folder))
    last = dict(zip(*(line.split(",") for line in (folder / "one/summary.csv").read_text().split()), strict=True))
    assert one["top1"] == float(last["top1"]) and (one["epochs"], a["epochs"]) == (1, 2)
    assert one["bytes"] / 9 < a["bytes"] < one["bytes"] / 5, "3 and 8 bits instead of 32"


def test_runs_are_named_one_by_one_too(folder: Path) -> None:
    assert [row["run"] for row in json.loads(works("runs --json", folder / "a"))] == [str(folder / "a")]


def test_a_run_that_has_not_ended_says_so(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "recipe.json").write_bytes((folder / "one" / "recipe.json").read_bytes())
    assert works("runs", tmp_path).splitlines()[1].split()[-2:] == ["not", "ended"]


def test_runs_about_texts_have_a_task_and_a_score() -> None:
    assert "entailment" in works("runs", reading())
    (held,) = json.loads(works("runs --json", numbers()))
    assert held["task"] == "regress" and held["top1"] is None and held["score"] is not None


def test_where_there_is_no_run_it_says_how_to_make_one(tmp_path: Path) -> None:
    assert "there is no run in" in (said := mistake("runs", tmp_path)) and "stillbit train METHOD makes one" in said
    assert "give a run, or the --output of some" in mistake("runs", tmp_path / "nowhere")


def test_bits_that_were_learned_stand_where_those_that_were_asked_for_stand(tmp_path: Path) -> None:
    quant = {"bits": "w5a5"}
    recipe = {"method": "qvit_mixed", "model": {"model": "vit"}, "quant": quant}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    (tmp_path / "result.json").write_text(json.dumps({"weight_bits": 3.456, "activation_bits": 4.0, "top1": 50.0}))
    assert json.loads(works(f"runs {tmp_path} --json"))[0]["bits"] == "w3.46a4.00"
