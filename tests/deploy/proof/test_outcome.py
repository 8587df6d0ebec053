"""A proof is a frozen value, exact in JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stillbit.deploy.proof.outcome import LayerCodes, Proof
from tests.deploy.proofs import made


def test_numbers_come_back_to_the_bit(tmp_path: Path) -> None:
    proof = made().proof
    proof.write(tmp_path / "proof.json")
    assert Proof.read(tmp_path / "proof.json") == proof
    assert [path.name for path in tmp_path.iterdir()] == ["proof.json"]


def test_a_proof_of_what_is_no_number_is_not_written(tmp_path: Path) -> None:
    proof = made().proof
    broken = replace(proof, comparisons=(replace(proof.comparisons[0], free=float("nan")),))
    with pytest.raises(ValueError, match="not JSON compliant"):
        broken.write(tmp_path / "proof.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "\udcff", '{"version": 2, "proof": {}}', '{"version": 1}', "[" * 9999]
)
def test_what_is_no_proof_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "proof.json").write_bytes(text.encode("utf-8", errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"proof\.json is no proof that this stillbit reads: export again"):
        Proof.read(tmp_path / "proof.json")


def test_a_proof_with_a_field_that_is_wrong_names_it(tmp_path: Path) -> None:
    data = json.loads(made().proof.to_json())
    data["proof"]["images"] = "six"
    (tmp_path / "proof.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match="images cannot be 'six'"):
        Proof.read(tmp_path / "proof.json")


def test_a_number_that_ties_change_is_no_class() -> None:
    held = replace(made().proof.comparisons[2], images=100, same=90)
    proof = replace(made().proof, comparisons=(held,))
    assert "integer has another first class on 10 of 100 images because of ties" in str(proof.failure())
    assert "integer has another number on 10 of 100" in str(replace(proof, numbers=True).failure())


def test_a_proof_of_before_there_were_numbers_is_read(tmp_path: Path) -> None:
    data = json.loads(made().proof.to_json())
    for name in ("numbers", "noun"):
        del data["proof"][name]
    (tmp_path / "proof.json").write_text(json.dumps(data))
    assert Proof.read(tmp_path / "proof.json") == made().proof


def test_totals_are_sums_over_layers() -> None:
    held = made().proof.comparisons[1]
    assert held.integers == sum(layer.integers for layer in held.layers) > 0
    assert (held.differ, held.ties, held.farthest) == (0, 0, 0.0)


def test_a_layer_says_what_differs_and_nothing_that_does_not() -> None:
    layer = LayerCodes(name="head", what="codes", integers=5000, differ=3, ties=1, largest=2, farthest=0.25)
    said = "head: 3 of 5,000 codes, 1 of them ties, the others by up to 2, up to 0.25 of a step from the boundary"
    assert layer.worded() == said
    tied = replace(layer, ties=3, largest=0, farthest=1e-7)
    assert tied.worded() == "head: 3 of 5,000 codes, 3 of them ties, up to 1e-07 of a step from the boundary"
    sums = replace(layer, name="", what="sums", ties=0, farthest=0.0)
    assert sums.worded() == "the model itself: 3 of 5,000 sums, 0 of them ties, the others by up to 2"
