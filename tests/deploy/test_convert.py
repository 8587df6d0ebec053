"""``stillbit.convert``: a trained model goes in, one that computes on integers comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

import stillbit
from stillbit.deploy.engine import open_engine
from stillbit.deploy.program import MULTIPLIES
from tests.deploy import small
from tests.deploy.proofs import made
from tests.deploy.reading import encoder, sentences
from tests.surgery.tiny_hf import PAD


@pytest.fixture(scope="module")
def converted() -> Any:
    return stillbit.convert(made().model)


def test_it_computes_what_the_model_computes_on_tensors_and_arrays(converted: Any) -> None:
    x = made().images
    with torch.no_grad():
        want = made().model(torch.from_numpy(x)).numpy()
    logits = converted(torch.from_numpy(x))
    assert isinstance(logits, torch.Tensor) and isinstance(converted(x), np.ndarray)
    np.testing.assert_allclose(logits.numpy(), want, rtol=0, atol=1e-5 * np.abs(want).max())
    assert np.array_equal(logits.numpy(), converted(x))


def test_its_products_are_of_integers(converted: Any) -> None:
    assert sum(step.op in MULTIPLIES for step in converted.program.steps) >= 8
    assert {layer.computes for layer in converted.layers() if layer.macs} == {"integer"}


def test_it_is_saved_and_runs_again(converted: Any, tmp_path: Path) -> None:
    path = converted.save(tmp_path / "packed.safetensors")
    opened = open_engine(path)
    assert np.array_equal(opened.engine(made().images), converted(made().images))
    assert opened.about.model == "VisionTransformer"


@pytest.mark.parametrize("flavour", ["integer", "compact"])
def test_it_becomes_a_graph(flavour: Any, converted: Any, tmp_path: Path) -> None:
    path = converted.onnx(tmp_path / "model.onnx", flavour)
    np.testing.assert_allclose(open_engine(path).engine(made().images), converted(made().images), atol=1e-5)


def test_it_proves_itself_and_prints_the_proof(converted: Any) -> None:
    proof = converted.verify(torch.from_numpy(made().images))
    assert proof.failure() is None
    assert "integer, exact" in str(proof) and "patch_embed.proj" in str(proof)


def test_a_model_that_was_trained_on_no_longer_agrees() -> None:
    model = small.trained(small.vit(), "lsq", "w2a2", small.images())
    held = stillbit.convert(model)
    with torch.no_grad():
        model.blocks[0].mlp.fc1.weight.mul_(-1)
    assert "training differs from the reference, first in blocks.0.mlp.fc2" in held.verify(small.images()).failure()


def test_timms_models_say_how_they_see_pictures() -> None:
    model = timm.create_model("vit_pico_patch4_32", num_classes=4)
    quantized = stillbit.quantize(model, "w4a4")
    stillbit.calibrate(quantized, [torch.randn(4, 3, 32, 32)])
    about = stillbit.convert(quantized).about
    assert about.model == "vit_pico_patch4_32" and about.preprocess.size == (32, 32)


def test_pictures_are_prepared_for_the_size_of_the_example(tmp_path: Path) -> None:
    model = stillbit.quantize(timm.create_model("resnet10t", num_classes=4), "w4a4")
    x = torch.randn(2, 3, 64, 96)
    stillbit.calibrate(model, [x])
    held = stillbit.convert(model, x)
    opened = open_engine(held.save(tmp_path / "r.safetensors"))
    assert opened.about.preprocess is not None and opened.about.preprocess.size == (64, 96)
    assert np.array_equal(opened.engine(x.numpy()), held(x).numpy())


def test_other_models_need_an_example() -> None:
    model = stillbit.quantize(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), "w4a4")
    stillbit.calibrate(model, [torch.randn(16, 4)])
    with pytest.raises(ValueError, match=r"does not say what it takes in: stillbit\.convert\(model, one_batch\)"):
        stillbit.convert(model)
    x = torch.randn(5, 4)
    np.testing.assert_allclose(stillbit.convert(model, x)(x).numpy(), model.eval()(x).detach().numpy(), atol=1e-5)


def test_mistakes_are_one_sentence(converted: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"convert takes a model, and this is str: stillbit\.load\(path\) reads one"):
        stillbit.convert("model.safetensors")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"ends in \.safetensors, and this is model\.bin: model\.safetensors"):
        converted.save(tmp_path / "model.bin")
    with pytest.raises(ValueError, match=r"there is no folder .*: make it first"):
        converted.onnx(tmp_path / "no" / "model.onnx")


def test_a_layer_that_cannot_be_traced_is_named() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.erfinv(x)

    model = stillbit.quantize(nn.Sequential(nn.Linear(4, 4), Odd()), "w4a4")
    stillbit.calibrate(model, [torch.randn(8, 4)])
    with pytest.raises(ValueError, match=r"^1 computes .*erfinv.*, which stillbit cannot deploy yet"):
        stillbit.convert(model, torch.randn(2, 4))


@pytest.fixture(scope="module")
def read() -> Any:
    return stillbit.convert(encoder("bert", "w1a1"), dict(zip(NAMES, sentences(3, types=True), strict=True)))


NAMES = ("input_ids", "attention_mask", "token_type_ids")


def test_a_model_of_texts_is_called_with_all_its_inputs(read: Any, tmp_path: Path) -> None:
    given = sentences(5, types=True)
    arrays = tuple(part.numpy() for part in given)
    with torch.no_grad():
        want = read.model(*given).logits.numpy()
    logits = read(*given)
    assert isinstance(logits, torch.Tensor) and isinstance(read(*arrays), np.ndarray)
    np.testing.assert_allclose(logits.numpy(), want, rtol=0, atol=1e-5 * np.abs(want).max())
    opened = open_engine(read.save(tmp_path / "r.safetensors"))
    assert np.array_equal(opened.engine(*arrays), read(*arrays))
    assert {layer.computes for layer in read.layers() if layer.macs} == {"integer"}
    proof = read.verify(*given)
    assert proof.failure() is None and "On 5 texts" in str(proof)


def test_it_says_its_length_its_inputs_and_its_config(read: Any) -> None:
    text = read.about.text
    assert read.about.model == "BertForSequenceClassification" and read.about.classes == ()
    assert (text.length, text.inputs, text.pad) == (12, NAMES, PAD)
    assert json.loads(text.config)["hidden_size"] == 48 and json.loads(text.config)["model_type"] == "bert"


def test_what_a_tokenizer_gives_comes_in_the_order_of_the_forward_pass() -> None:
    ids, mask, types = sentences(2, types=True)
    model = encoder("bert", "w4a4")
    found = stillbit.convert(model, {"token_type_ids": types, "input_ids": ids, "attention_mask": mask})
    assert found.about.text is not None and found.about.text.inputs == NAMES
    assert [each.name for each in found.program.inputs] == list(NAMES)
    with pytest.raises(ValueError, match=r"does not run on an example of \(12,\) and \(12,\): index out of range"):
        stillbit.convert(model, (ids + 60, mask))


def test_a_proof_refuses_what_the_engine_refuses_in_the_same_words(read: Any) -> None:
    ids, mask, types = sentences(2, types=True)
    for wrong, sentence in (
        ((ids,), "this model takes 3 arrays"),
        ((ids[:, :5], mask[:, :5], types[:, :5]), "pad or cut sentences to this length"),
    ):
        for asked in (read.verify, read):
            with pytest.raises(ValueError, match=sentence):
                asked(*wrong)
