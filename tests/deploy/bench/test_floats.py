"""The float model of a deployed one, as a module and as a graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stillbit.deploy.bench.floats import export, float_model, write_graph


def test_it_is_made_for_the_images_and_classes_of_the_deployed_one() -> None:
    model = float_model("vit_pico_patch4_32", (3, 32, 32), 7)
    assert not model.training and model(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    assert float_model("test_vit", (3, 96, 96), 4)(torch.zeros(1, 3, 96, 96)).shape == (1, 4)


@pytest.mark.slow  # exports
def test_its_graph_takes_any_batch(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    export("vit_pico_patch4_32", (3, 32, 32), 7, str(tmp_path / "model.onnx"))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for batch in (1, 5):
        images = np.zeros((batch, 3, 32, 32), np.float32)
        assert session.run(None, {session.get_inputs()[0].name: images})[0].shape == (batch, 7)


@pytest.mark.slow  # starts a process, which imports torch
def test_what_goes_wrong_is_said(tmp_path: Path) -> None:
    assert "there is no model named 'nothing'" in write_graph("nothing", (3, 32, 32), 7, tmp_path / "model.onnx")
