"""``stillbit info`` of a deployed file."""

from __future__ import annotations

from stillbit.cli.info_deployed import is_deployed
from tests.cli.command import works
from tests.cli.deployed_run import exported, number_file, read_files, run


def test_a_packed_file_says_what_it_is_where_its_bytes_are_and_what_its_layers_compute_on() -> None:
    said = works("info", exported() / "packed.safetensors")
    for part in ("kind       packed", "bits       w2a2", "classes    10", "8x8, bicubic", "2-bit codes", "w2 a2u"):
        assert part in said


def test_a_graph_says_what_it_is() -> None:
    said = works("info", exported() / "model.onnx")
    assert "a graph for onnxruntime" in said and "vit_pico_patch4_32" in said


def test_a_file_of_texts_says_how_long_they_may_be_and_what_it_is_given() -> None:
    said = works("info", read_files() / "packed.safetensors")
    for part in (
        "task       entailment",
        "classes    entailment, neutral, contradiction",
        "texts      pairs, of up to 24 pieces",
        "inputs     input_ids, attention_mask, token_type_ids",
        "tokenizer  in the file",
        "MACs a text: ",
        "transformers ",
    ):
        assert part in said
    assert "pictures" not in said and "score " in said
    said = works("info", number_file())
    assert "one at a time, of up to 16 pieces" in said and "classes" not in said and "task       regress" in said


def test_a_training_file_is_told_from_a_deployed_one() -> None:
    assert is_deployed(exported() / "packed.safetensors") and is_deployed(exported() / "model.onnx")
    assert not is_deployed(run() / "model.safetensors") and not is_deployed(run()) and not is_deployed(run() / "x.onnx")
    assert "QuantViTAttention" in works("info", run() / "model.safetensors")
