"""A program through onnxruntime, and through OpenVINO, without a file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime

from stillbit.deploy.about import About
from stillbit.deploy.graphs.onnx_engine import SIGNED
from stillbit.deploy.graphs.onnx_file import model_of
from stillbit.deploy.graphs.sides import Dialect
from stillbit.deploy.program import Program


def run(program: Program, images: Any, dialect: Dialect | None = None) -> Any:
    """The logits of onnxruntime."""
    model, _ = model_of(program, About(), dialect or Dialect())
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], {"images": images})[0])


def optimized(program: Program, *, plain: bool = False) -> Counter[str]:
    """How often each operation is in what onnxruntime runs; ``plain`` is without the options of stillbit's engine."""
    model, _ = model_of(program, About(), Dialect())
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # that such a graph is for this machine only
    for name, value in ({} if plain else SIGNED).items():
        options.add_session_config_entry(name, value)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return Counter(node.op_type for node in onnx.load(path).graph.node)
