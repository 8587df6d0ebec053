"""An ONNX file of stillbit's, run by onnxruntime, with the options that keep its integers what training simulated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from stillbit.deploy.graphs.onnx_file import Written, package
from stillbit.deploy.graphs.seen import integers_of, names_of
from stillbit.deploy.inputs import Given, length
from stillbit.deploy.program import Array

SIGNED = {"session.qdqisint8allowed": "1"}
"""Keys and values stay bytes with a sign: the kernels for these are twice as quick."""
PRECISE = {"session.x64quantprecision": "1"}
"""Weights of eight bits become bytes without a sign: no product of two overflows where a CPU sums them in 16 bits."""


@final
class OnnxRuntime:
    """Runs a file; ``threads`` of 0 are as many as onnxruntime thinks right."""

    name = "onnxruntime"

    def __init__(self, path: Path, *, threads: int = 0) -> None:
        self.path, self.threads = Path(path), threads
        self._model = _bytes_of(self.path)
        self._session = self._opened(self._model)
        try:
            self._written = Written.of_strings(self._session.get_modelmeta().custom_metadata_map)
        except ValueError as problem:
            raise ValueError(f"{path} cannot be used: {problem}") from None
        self.about, self.wanted = self._written.about, self._written.wanted
        self.flavour = self._written.flavour

    def __call__(self, *given: Array) -> Float32[ndarray, "n classes"]:
        """Logits."""
        (logits,) = self._session.run(["logits"], self._named(given))
        return np.asarray(logits)

    def codes(self, given: Given, forced: Mapping[str, Array] | None = None) -> Iterator[tuple[str, Array]]:
        """The codes of every step that quantizes, by the program's names, and at last the logits of this very run."""
        if forced:
            raise ValueError("onnxruntime goes on with its own codes: force those of the reference")
        named, codes = self._named(given), self._written.codes
        tensors = list(dict.fromkeys(each["tensor"] for each in codes.values()))
        values = self._opened(self._with_outputs(tensors)).run([*tensors, "logits"], named)
        by_name = dict(zip(tensors, values, strict=False))
        for name, how in codes.items():
            yield name, integers_of(by_name[how["tensor"]], how, length(given))
        yield self._written.output, values[-1]

    def _named(self, given: Given) -> dict[str, Array]:
        return dict(zip(names_of(self.wanted.inputs), self.wanted.taken(given), strict=True))

    def _with_outputs(self, tensors: list[str]) -> bytes:
        onnx = package()
        model = onnx.load_model_from_string(self._model)
        model.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in tensors)
        written: bytes = model.SerializeToString()
        return written

    def _opened(self, model: bytes) -> Any:
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3
        for name, value in {**SIGNED, **(PRECISE if _overflows() else {})}.items():
            options.add_session_config_entry(name, value)
        try:
            return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as problem:  # onnxruntime's own exceptions have no common base
            why = str(problem).splitlines()[0].split(" : ")[-1].rstrip(". ")
            raise ValueError(f"onnxruntime {runtime.__version__} cannot load {self.path}: {why}") from None


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise ValueError(f"{path} cannot be read: {problem.strerror}") from None


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise ValueError('running ONNX needs a package more: pip install "stillbit[onnx]"') from None
    return onnxruntime


@cache
def _overflows() -> bool:
    """Whether onnxruntime sums products of bytes in 16 bits, as it does on CPUs without instructions for them."""
    helper, kinds = package().helper, package().TensorProto
    ends = ("a", kinds.UINT8, [1, 64]), ("b", kinds.INT8, [64, 1]), ("sum", kinds.INT32, [1, 1])
    *inputs, output = (helper.make_tensor_value_info(*end) for end in ends)
    graph = helper.make_graph([helper.make_node("MatMulInteger", ["a", "b"], ["sum"])], "sum", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    session = _runtime().InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    largest = {"a": np.full((1, 64), 255, np.uint8), "b": np.full((64, 1), 127, np.int8)}
    return int(session.run(None, largest)[0][0, 0]) != 64 * 255 * 127
