"""A proof in words."""

from __future__ import annotations

from dataclasses import replace

from stillbit.deploy.proof.words import Sheet, compared, explained, layered, markdown_of, text_of, tied, totals
from tests.deploy.proofs import made


def test_a_row_an_implementation_and_accuracy_where_there_are_labels() -> None:
    proof = made().proof
    sheet = compared(proof)
    assert [row[0] for row in sheet.rows] == ["training, fp32", "integer, exact", "integer"]
    assert sheet.head[-1] == "top-1" and all(row[-1].endswith(" %") for row in sheet.rows)
    assert all(len(row) == len(sheet.head) for row in sheet.rows)
    blind = replace(proof, comparisons=tuple(replace(c, judged=0) for c in proof.comparisons))
    assert compared(blind).head == sheet.head[:-1]


def test_accuracy_on_fewer_images_is_left_out() -> None:
    proof = made().proof
    more = replace(proof.comparisons[2], judged=600, right=300)
    sheet = compared(replace(proof, comparisons=(*proof.comparisons[:2], more)))
    assert [row[-1] for row in sheet.rows] == ["", "", "50.00 %"]


def test_what_a_tie_is_stands_where_there_are_some() -> None:
    proof = made().proof
    assert "A tie lies" not in explained(proof) and "On 6 images of a test, against" in explained(proof)
    first = proof.comparisons[2].layers[0]
    layers = (replace(first, differ=2, ties=2, farthest=3e-7), *proof.comparisons[2].layers[1:])
    held = replace(proof, comparisons=(replace(proof.comparisons[2], layers=layers),))
    assert "the farthest lies 3.0e-07 of a step of its grid away" in explained(held)
    assert tied(held).rows == (("integer", first.name, f"{first.integers:,} codes", "2", "2"),)
    assert not tied(proof).rows


def test_an_engine_that_computes_otherwise_when_nobody_looks_is_said_to() -> None:
    proof = made().proof
    assert "fuses more" not in explained(proof)
    held = replace(proof.comparisons[2], engine="openvino", unseen=2)
    said = explained(replace(proof, comparisons=(held,)))
    assert "OpenVINO fuses more where nobody looks: on 2 of 6 images its logits are others" in said


def test_where_there_are_no_classes_numbers_are_said_to_be_compared() -> None:
    proof = replace(made().proof, numbers=True, noun="texts")
    assert "same number" in compared(proof).head and "same top-1" not in compared(proof).head
    assert "Same number: off by at most 1% of the largest." in explained(proof)
    assert "same number" not in explained(made().proof).lower()
    assert totals(proof.layers, proof.noun).endswith(" MACs a text: 100.0% of codes by codes")


def test_equal_layers_are_one_row_with_their_number() -> None:
    layers = made().proof.layers
    size = next(layer.bytes for layer in layers if layer.name == "blocks.0.attn.qkv")
    assert ("blocks.0.attn.qkv", "integer", "w2 a2", "13.1 k", f"{size}") in layered(layers).rows
    twice = layered((*layers, *(replace(layer, name=layer.name.replace("s.0", "s.1")) for layer in layers[3:6])))
    assert ("blocks.{0-1}.attn.qkv", "integer", "w2 a2", "2 x 13.1 k", f"2 x {size}") in twice.rows


def test_totals_say_how_much_is_integer() -> None:
    layers = made().proof.layers
    assert totals(layers).endswith(" MACs an image: 100.0% of codes by codes")
    half = replace(layers[0], integer=0, floating=sum(layer.integer for layer in layers[1:]))
    assert totals((half, *layers[1:])).endswith("50.0% of codes by codes, 50.0% of floats")


def test_markdown_has_a_rule_and_escapes_what_would_end_a_cell() -> None:
    sheet = Sheet(("a", "b"), (("x|y", "1"),))
    assert markdown_of(sheet) == "| a | b |\n| --- | ---: |\n| x\\|y | 1 |"


def test_the_text_holds_both_tables() -> None:
    said = text_of(made().proof)
    assert "integer, exact" in said and "patch_embed.proj" in said and "100.0% of codes by codes" in said
    assert not any(line.endswith(" ") for line in said.splitlines())
