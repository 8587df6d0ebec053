"""The example that needs no torch: it sees nearly the pixels that evaluation sees, and says the class."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stillbit.deploy.about import About, Preprocess
from stillbit.deploy.graphs.onnx_file import write_onnx
from stillbit.deploy.picture import input_of, opened
from stillbit.deploy.runtime import reference
from tests.deploy.graphs.walk import program_of
from tests.house.source import ROOT

EXAMPLE = ROOT / "examples" / "onnx_predict.py"
LOOK = Preprocess(size=(16, 16), mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.3))
BLOCKED = "import sys; sys.modules.update(torch=None, timm=None, torchvision=None, onnx=None, stillbit=None); "


def picture(folder: Path, wide: int, high: int) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    path = folder / "picture.png"
    Image.fromarray(noise).resize((wide, high), Image.Resampling.BILINEAR).save(path)
    return path


def test_it_takes_no_more_lines_than_it_promises() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 30


def test_it_runs_without_torch_and_names_the_class(tmp_path: Path) -> None:
    program = program_of("mini", "vvtq", "w2a2")
    classes = ("ant", "bee", "cat", "dog", "eel")
    write_onnx(program, About(classes=classes, preprocess=LOOK), tmp_path / "model.onnx")
    path = picture(tmp_path, 40, 30)
    code = f"{BLOCKED}import runpy; sys.argv = ['', 'model.onnx', 'picture.png']; runpy.run_path({str(EXAMPLE)!r})"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=True
    )
    logits = reference.run(program, input_of(opened(path), LOOK)[None])
    assert said.stdout == f"picture.png {classes[logits.argmax()]}\n"


@pytest.mark.parametrize(("wide", "high"), [(40, 30), (30, 40), (64, 64), (17, 33), (16, 16)])
def test_its_pixels_are_those_of_evaluation(wide: int, high: int, tmp_path: Path) -> None:
    path = picture(tmp_path, wide, high)
    space: dict[str, object] = {}
    exec(EXAMPLE.read_text().split("options =")[0], space)
    got = space["pixels"](str(path), asdict(LOOK))  # type: ignore[operator]
    np.testing.assert_allclose(got[0], input_of(opened(path), LOOK), rtol=0, atol=1e-5)
