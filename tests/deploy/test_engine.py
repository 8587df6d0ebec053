"""A file finds its engine by its suffix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stillbit.deploy.engine import open_engine
from stillbit.deploy.file.packed import Packed, write
from stillbit.deploy.graphs.onnx_file import write_onnx
from stillbit.deploy.runtime import reference
from tests.deploy.proofs import ABOUT, made


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "packed.safetensors"
    write(Packed(program=made().program, about=ABOUT), path)
    return path


@pytest.mark.parametrize("engine", [None, "integer", "exact", "reference"])
def test_a_packed_file_runs_on_three(engine: str | None, packed: Path) -> None:
    opened = open_engine(packed, engine)
    assert opened.about == ABOUT
    assert opened.engine.name == ("reference" if engine == "reference" else "integer")
    assert getattr(opened.engine, "exact", False) == (engine == "exact")
    want = reference.run(made().program, made().images)
    np.testing.assert_allclose(opened.engine(made().images), want, rtol=0, atol=1e-5 * np.abs(want).max())


def test_a_graph_runs_on_onnxruntime(tmp_path: Path) -> None:
    write_onnx(made().program, ABOUT, tmp_path / "model.onnx")
    opened = open_engine(tmp_path / "model.onnx")
    assert opened.engine.name == "onnxruntime" and opened.about == ABOUT


def test_of_a_folder_it_names_the_file_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"wrote, as stillbit export {tmp_path} makes one of a run$"):
        open_engine(tmp_path)
    for inside in (tmp_path, tmp_path / "deploy"):
        inside.mkdir(exist_ok=True)
        (inside / "packed.safetensors").touch()
        with pytest.raises(ValueError, match=rf"wrote, such as {inside}/packed\.safetensors$"):
            open_engine(tmp_path)


@pytest.mark.parametrize(
    ("name", "engine", "sentence"),
    [
        ("packed.safetensors", "tensorrt", "there is no engine 'tensorrt': .* runs on integer or exact or reference"),
        ("packed.safetensors", "openvino", "'openvino' runs another kind of file: .* runs on integer"),
        ("gone.onnx", None, r"there is no file .*gone\.onnx: stillbit export RUN writes one"),
        ("model.pt", None, r"model\.pt is no deployed file: give a \.safetensors, \.onnx, \.xml"),
        (".", None, "is a folder: give a file that stillbit export wrote"),
    ],
)
def test_what_cannot_run_is_one_sentence(name: str, engine: str | None, sentence: str, packed: Path) -> None:
    with pytest.raises(ValueError, match=sentence):
        open_engine(packed.parent / name, engine)
