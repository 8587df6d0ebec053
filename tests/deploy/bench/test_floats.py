"""The float model of a deployed one, as a module and as a graph."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from stillbit.deploy.bench.floats import export, float_model, write_graph
from stillbit.deploy.bench.worker import Subject
from stillbit.deploy.program import Input
from tests.deploy.reading import encoder, sentences


def image(model: str, size: int, classes: int) -> Subject:
    return Subject(model=model, inputs=(Input(name="input", dims=(-1, 3, size, size)),), classes=classes)


def text(length: int) -> Subject:
    config = encoder("bert", "float").config
    said = json.dumps({**config.to_diff_dict(), "model_type": config.model_type})
    inputs = tuple(Input(name=n, dims=(-1, length), kind="indices") for n in ("input_ids", "attention_mask"))
    return Subject(model="bert", inputs=inputs, limits=(("input_ids", 64),), classes=10, config=said)


def test_it_is_made_for_the_images_and_classes_of_the_deployed_one() -> None:
    model = float_model(image("vit_pico_patch4_32", 32, 7))
    assert not model.training and model(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    assert float_model(image("test_vit", 96, 4))(torch.zeros(1, 3, 96, 96)).shape == (1, 4)


def test_one_of_texts_is_built_by_its_config_and_gives_back_a_tensor() -> None:
    model = float_model(text(12))
    assert not model.training and model(*sentences(3)).shape == (3, 10)
    assert model.inside.config.hidden_size == 48


@pytest.mark.slow  # exports
def test_its_graph_takes_any_batch(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    export(image("vit_pico_patch4_32", 32, 7), str(tmp_path / "model.onnx"))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for batch in (1, 5):
        images = np.zeros((batch, 3, 32, 32), np.float32)
        assert session.run(None, {session.get_inputs()[0].name: images})[0].shape == (batch, 7)


@pytest.mark.slow  # exports
def test_the_graph_of_one_of_texts_takes_any_batch_and_heeds_the_mask(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    export(text(12), str(tmp_path / "model.onnx"))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    names = [each.name for each in session.get_inputs()]
    for batch in (1, 4):
        ids, mask = (part.numpy() for part in sentences(batch))
        shorter = mask * (np.arange(12) < 6)
        run = [session.run(None, dict(zip(names, given, strict=True)))[0] for given in ((ids, mask), (ids, shorter))]
        assert run[0].shape == (batch, 10) and np.abs(run[0] - run[1]).max() > 0


@pytest.mark.slow  # starts a process, which imports torch
def test_what_goes_wrong_is_said(tmp_path: Path) -> None:
    assert "there is no model named 'nothing'" in write_graph(image("nothing", 32, 7), tmp_path / "model.onnx")
