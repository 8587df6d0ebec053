"""``stillbit analyze error``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stillbit.analysis.error import Errors
from stillbit.analysis.record import read
from stillbit.train import checkpoint
from tests.cli.command import mistake, works
from tests.cli.tracked_run import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("runs"), "run", "lsq --bits w2a4 --epochs 1")


def test_layers_have_their_bits_and_their_noise(run: Path) -> None:
    said = works("analyze error --images 40 --batch-size 20", run)
    found = read(Errors, run / "analysis" / "error.json")
    assert found.images == 40 and found.about.endswith("best.pt")
    assert {e.bits for e in found.weights} == {2, 8} and {e.bits for e in found.activations} == {4, 8}
    low, high = ([e.sqnr or 0.0 for e in found.weights if e.bits == bits] for bits in (2, 8))
    assert max(low) < min(high)
    assert "Error of the weights of run" in said and "Agreement of gradients with float" in said


def test_a_file_needs_to_be_told_of_the_images(run: Path, tmp_path: Path) -> None:
    output = tmp_path / "error.json"
    works("analyze error --images 20 --dataset digits --output", output, run / "model.safetensors")
    assert read(Errors, output).images == 20


def test_a_float_model_has_none() -> None:
    assert "the error of quantization needs a quantized model" in mistake("analyze error vit_pico_patch4_32")


def test_broken_weights_are_named(run: Path, tmp_path: Path) -> None:
    held = checkpoint.read(run / "last.pt")
    held["model"]["blocks.1.mlp.fc1.weight"][0, 0] = torch.nan
    checkpoint.write(held, tmp_path / "last.pt")
    (tmp_path / "recipe.json").write_text((run / "recipe.json").read_text())
    said = mistake("analyze error --checkpoint last", tmp_path)
    assert "are broken, blocks.1.mlp.fc1.weight holds NaN or infinity" in said
