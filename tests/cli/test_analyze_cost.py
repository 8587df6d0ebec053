"""``stillbit analyze cost``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stillbit.analysis.cost import Cost
from stillbit.analysis.record import read
from tests.cli.command import PLAIN, everything, mistake, works

PICO = "vit_pico_patch4_32"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quantized run of one epoch."""
    folder = tmp_path_factory.mktemp("runs")
    works(f"train lsq {PLAIN} --batch-size 64 --epochs 1 --bits w3a4 --experiment run --output", folder)
    return folder / "run"


def test_a_run_keeps_the_record_with_its_accuracy(folder: Path) -> None:
    said = works("analyze cost --device cpu", folder)
    held = read(Cost, folder / "analysis" / "cost.json")
    top1 = json.loads((folder / "result.json").read_text())["top1"]
    assert held.subject == "run" and held.points[0].top1 == top1 and held.image == "1 x 8 x 8"
    assert held.about.startswith("w3a4, ") and {one.left_bits for one in held.layers if one.role == "fc1"} == {3.0}
    assert "Cost of an image" in said and "Cost by layer" in said and "Single against mixed precision" in said
    assert f"written: {folder / 'analysis' / 'cost.json'}" in said


def test_the_last_checkpoint_has_no_accuracy_of_its_own(folder: Path, tmp_path: Path) -> None:
    works("analyze cost --checkpoint last --output", tmp_path / "cost.json", folder)
    assert read(Cost, tmp_path / "cost.json").points[0].top1 is None


def test_a_model_by_name_is_counted_as_if_it_had_bits() -> None:
    plain = json.loads(works(f"analyze cost {PICO} --json"))["record"]
    low = json.loads(works(f"analyze cost {PICO} --bits w2a2 --json"))["record"]
    points = {point["name"]: point["bitops"] for point in plain["points"]}
    assert low["bitops"] == points["w2a2"] and plain["bitops"] == points["float"]
    assert low["subject"] == f"{PICO} w2a2" and low["about"] == "counted as if it had w2a2"


def test_nothing_else_is_written(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = everything(folder)
    works("analyze cost --output", tmp_path / "cost.json", folder)
    assert everything(folder) == before and list(tmp_path.iterdir()) == [tmp_path / "cost.json"]


def test_a_quantized_model_takes_no_other_bits(folder: Path) -> None:
    said = mistake("analyze cost --bits w2a2", folder)
    assert "run has its bits: leave out --bits; its table tells what others would cost" in said


def test_bits_that_are_none_are_refused() -> None:
    assert "a plan is a Plan or a preset such as 'w4a4'" in mistake(f"analyze cost {PICO} --bits four")


def test_choices_of_data_are_refused() -> None:
    said = mistake(f"analyze cost {PICO} --dataset digits")
    assert "what an image or a text costs is counted without any: leave out --dataset" in said


def test_a_broken_result_is_named(folder: Path, tmp_path: Path) -> None:
    result = folder / "result.json"
    text = result.read_text()
    result.write_text("{")
    try:
        assert "result.json is broken: remove it" in mistake("analyze cost --output", tmp_path / "cost.json", folder)
    finally:
        result.write_text(text)


def test_an_empty_folder_is_no_run(tmp_path: Path) -> None:
    assert "is no run: it has no recipe.json" in mistake("analyze cost", tmp_path)
