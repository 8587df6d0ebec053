"""``stillbit analyze attention``."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillbit.analysis.attention import Attention
from stillbit.analysis.record import read
from tests.cli.command import PLAIN, everything, mistake, works

PICO = "vit_pico_patch4_32"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quantized run of one epoch, and the float one it began with."""
    folder = tmp_path_factory.mktemp("runs")
    words = f"{PLAIN} --batch-size 64 --epochs 1 --output"
    works(f"train fp --experiment float {words}", folder)
    works(f"train lsq --bits w2a2 --initial-checkpoint {folder / 'float'} --experiment run {words}", folder)
    return folder / "run"


def test_a_run_stands_beside_the_float_model_it_came_from(folder: Path) -> None:
    said = works("analyze attention --images 12 --keep 3", folder)
    held = read(Attention, folder / "analysis" / "attention.json")
    assert [seen.name for seen in held.models] == ["float", "run"] and held.images == 12
    assert held.models[0].about.startswith("the float weights it began with")
    assert len(held.pictures) == len(held.models[1].maps) == 3 and not held.no_maps
    assert "Attention, layer by layer" in said and "what all tokens attend to" in said


def test_a_float_run_is_quantized_on_the_spot(folder: Path, tmp_path: Path) -> None:
    words = "analyze attention --images 12 --bits w8a8 w2a2 --output"
    works(words, tmp_path / "a.json", folder.parent / "float")
    held = read(Attention, tmp_path / "a.json")
    assert [seen.name for seen in held.models] == ["float", "w8a8", "w2a2"]
    like = [sum(sum(layer.correlation) for layer in seen.layers) for seen in held.models]
    assert like == sorted(like, reverse=True) and like[0] > like[2]


def test_nothing_but_the_record_is_written(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = everything(folder)
    works("analyze attention --images 4 --output", tmp_path / "a.json", folder)
    assert everything(folder) == before


def test_a_model_by_name_needs_images() -> None:
    assert "--data-dir FOLDER" in mistake(f"analyze attention {PICO}")


def test_a_model_by_name_may_be_given_images(tmp_path: Path) -> None:
    works(f"analyze attention {PICO} --dataset digits --images 4 --output", tmp_path / "a.json")
    assert [seen.name for seen in read(Attention, tmp_path / "a.json").models] == ["float"]


def test_a_model_without_attention_is_refused() -> None:
    said = mistake("analyze attention resnet10t --dataset digits --images 4")
    assert "shows no attention (it has none): give a vision transformer of timm's" in said


def test_bits_that_are_none_are_refused(folder: Path) -> None:
    assert "a preset such as 'w4a4'" in mistake("analyze attention --images 4 --bits few", folder.parent / "float")


def test_one_map_is_kept_at_least(folder: Path) -> None:
    assert "one map is kept at least, got --keep 0" in mistake("analyze attention --keep 0", folder)
