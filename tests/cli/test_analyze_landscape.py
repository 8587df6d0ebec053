"""``stillbit analyze landscape``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stillbit.analysis.landscape import Landscape
from stillbit.analysis.record import read, write
from tests.cli.command import mistake, works
from tests.cli.tracked_run import train

SMALL = "analyze landscape --images 450 --batch-size 256 --points 3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    train(folder, "float", "fp --epochs 1")
    train(folder, "low", f"lsq --bits w2a4 --epochs 1 --initial-checkpoint {folder / 'float'}")
    return folder


def test_the_centre_is_what_evaluate_says(folder: Path) -> None:
    works(SMALL, folder / "low")
    found = read(Landscape, folder / "low" / "analysis" / "landscape.json")
    for surface, name in zip(found.surfaces, ("low", "float"), strict=True):
        scores = json.loads(works("evaluate --json --workers 0", folder / name))
        # The same images in another order: their sum may differ in its last bit.
        assert surface.top1 == scores["top1"] and surface.loss == pytest.approx(scores["eval_loss"], rel=1e-6)
    assert [s.of for s in found.surfaces] == ["quantized", "float"] and "float weights it began with" in found.surfaces[
        1
    ].about


def test_the_same_command_goes_on_and_another_is_refused(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "scan.json"
    words = f"{SMALL} --dimensions 2 --output {output}"
    works(words, folder / "low")
    whole = read(Landscape, output)
    marked = (*whole.surfaces[0].losses[:5], 77.0, None, *whole.surfaces[0].losses[7:])
    write(replace(whole, surfaces=(replace(whole.surfaces[0], losses=marked), whole.surfaces[1])), output)
    works(words, folder / "low")
    again = read(Landscape, output).surfaces[0].losses
    assert again[5] == 77.0 and again[6] == whole.surfaces[0].losses[6], "what is there is not computed again"
    said = mistake(f"{words} --seed 4 --range 0.5", folder / "low")
    assert "holds another scan (reach 1.0 there and 0.5 here; seed 0 there and 4 here)" in said and "--fresh" in said
    assert "holds another scan (other weights)" in mistake(words, folder / "float")
    works(f"{words} --seed 4 --fresh", folder / "low")
    assert read(Landscape, output).seed == 4


def test_a_float_run_has_one_surface_and_its_curvature(folder: Path) -> None:
    said = works("analyze landscape --images 20 --points 3 --hessian", folder / "float")
    found = read(Landscape, folder / "float" / "analysis" / "landscape.json")
    assert [s.of for s in found.surfaces] == ["float"]
    assert [c.how for c in found.surfaces[0].curvatures] == ["exact", "differences"]
    assert "Curvature" in said


@pytest.mark.parametrize(
    ("words", "right"), [("--points 4", "--points 5"), ("--range 0", "--range 1"), ("--images 0", "--images 256")]
)
def test_wrong_choices_are_one_sentence(folder: Path, words: str, right: str) -> None:
    assert right in mistake(f"analyze landscape {words}", folder / "float")


def test_an_empty_folder_is_no_run(tmp_path: Path) -> None:
    assert "is no run: it has no recipe.json" in mistake("analyze landscape", tmp_path)
