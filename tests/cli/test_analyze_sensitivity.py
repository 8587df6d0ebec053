"""``stillbit analyze sensitivity`` as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stillbit.analysis.record import read
from stillbit.analysis.sensitivity import Sensitivity
from tests.cli.command import PLAIN, call, mistake, works


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float run on digits, and one at two bits that began with it."""
    root = tmp_path_factory.mktemp("runs")
    common = f"--model vit_pico_patch4_32 {PLAIN} --epochs 1 --batch-size 128 --lr 3e-3 --output {root}"
    works(f"train fp {common} --experiment float")
    works(f"train statsq {common} --experiment low --bits w2a4 --initial-checkpoint {root / 'float'}")
    return root


ASK = "--images 40 --calibration-images 16 --device cpu"


def test_a_float_run_is_asked_at_bits_and_keeps_the_record(runs: Path) -> None:
    said = works(f"analyze sensitivity {runs / 'float'} --bits w2a2 --by head role {ASK}")
    assert "lowered, by head" in said and "lowered, by role" in said and "FFN" in said
    record = read(Sensitivity, runs / "float" / "analysis" / "sensitivity.json")
    assert (record.low, record.question, record.images, record.subject) == ("w2a2", "lower", 40, "float")
    assert record.source == "the model itself" and {group.by for group in record.groups} == {"head", "role"}


def test_a_quantized_run_is_asked_about_its_float_weights_at_its_bits_with_its_quantizers(runs: Path) -> None:
    out = runs / "record.json"
    said = call(f"analyze sensitivity {runs / 'low'} --keep --by role {ASK} --json --output {out}")
    held = json.loads(said.out)["record"]
    assert (held["low"], held["high"], held["question"]) == ("w2a4", "w8a8", "keep")
    assert held["source"].startswith("the float weights it began with") and read(Sensitivity, out).subject == "low"
    assert not (runs / "low" / "analysis").exists()


def test_groups_can_be_trained(runs: Path) -> None:
    said = works(
        f"analyze sensitivity {runs / 'float'} --bits w2a2 --by block --keep --train 3 --lr 1e-3 {ASK} "
        f"--output {runs / 'trained.json'}"
    )
    assert "3 steps of training each" in said.replace("\n", " ") and read(Sensitivity, runs / "trained.json").steps == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("{float} --bits w8a8", "w8a8 lowers nothing"),
        ("{float} --bits two", "such as 'w4a4'"),
        ("{float} --lr 1e-3", "--batch-size and --lr are for groups that are trained: add --train 100"),
        ("{float} --train -1", "--train is a number of steps"),
        ("{float} --calibration-images 0", "--calibration-images is at least 1"),
        ("{float} --images 1", "all images are of one class"),
        ("{root}", "is no run: it has no recipe.json"),
        ("vit_pico_patch4_32", "name it with --data-dir FOLDER"),
    ],
)
def test_what_cannot_be_asked_gets_one_sentence(runs: Path, words: str, sentence: str) -> None:
    said = words.format(float=runs / "float", root=runs)
    assert sentence in mistake(f"analyze sensitivity {said} --device cpu")
