"""What a verification compares."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from stillbit.cli.verify import Verify
from stillbit.cli.verify_work import verified
from tests.cli.deployed_run import exported, run

QUIET = Console(file=io.StringIO())


@pytest.mark.parametrize(
    ("name", "against", "engines"),
    [
        ("packed.safetensors", None, ["exact", "integer"]),
        ("packed.safetensors", "run", ["training", "exact", "integer"]),
        ("model.onnx", None, ["onnxruntime"]),
        ("model.onnx", "packed", ["onnxruntime"]),
    ],
)
def test_a_file_is_held_to_what_it_should_be(name: str, against: str | None, engines: list[str]) -> None:
    place = {"run": run(), "packed": exported() / "packed.safetensors", None: None}[against]
    proof = verified(Verify(file=exported() / name, against=place, noise=True, samples=2, images=0), QUIET)
    assert [comparison.engine for comparison in proof.comparisons] == engines and proof.failure() is None
    assert str(exported() / name) in proof.subject


def test_labels_of_the_data_give_an_accuracy() -> None:
    proof = verified(Verify(file=exported() / "packed.safetensors", dataset="digits", samples=10, images=40), QUIET)
    assert [comparison.judged for comparison in proof.comparisons] == [10, 40]
