"""A graph of stillbit's in OpenVINO's format, run on the CPU, with the options that keep its floats floats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from stillbit.deploy.graphs.onnx_file import Written
from stillbit.deploy.graphs.openvino_file import HASH, SECTION, hash_of, package
from stillbit.deploy.graphs.seen import integers_of, names_of
from stillbit.deploy.inputs import Given, length
from stillbit.deploy.program import Array

Precision = Literal["f32", "bf16"]
KEPT = 4
"""Sizes of batches for which the compiled model is kept."""


@final
class OpenVino:
    """Runs a .xml; ``threads`` of 0 are as many as OpenVINO thinks right.

    A model is compiled for the size of each batch it gets, because its kernels are quicker when they know it.
    ``precision`` is that of what is not integer; bf16 is quicker on CPUs that have it, and moves codes.
    """

    name = "openvino"

    def __init__(self, path: Path, *, threads: int = 0, precision: Precision = "f32") -> None:
        if precision not in ("f32", "bf16"):
            raise ValueError(f"OpenVINO computes in f32 or bf16, not in {precision!r}")
        self.path = Path(path)
        self._options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,  # nothing becomes integers that training did not make so
            **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
        }
        self._core = package().Core()
        self._model = self._read()
        self._written = self._said()
        self.about, self.wanted = self._written.about, self._written.wanted
        self.flavour = self._written.flavour
        self._compiled: dict[int, Any] = {}

    def __call__(self, *given: Array) -> Float32[ndarray, "n classes"]:
        """Logits."""
        named, size = self._named(given), length(given)
        if size not in self._compiled:
            if len(self._compiled) == KEPT:
                del self._compiled[next(iter(self._compiled))]
            self._compiled[size] = self._request(size)
        return np.array(self._compiled[size].infer(named)["logits"])

    def codes(self, given: Given, forced: Mapping[str, Array] | None = None) -> Iterator[tuple[str, Array]]:
        """The codes of every step that quantizes, by the program's names, and at last the logits of this very run."""
        if forced:
            raise ValueError("OpenVINO goes on with its own codes: force those of the reference")
        named, codes, size = self._named(given), self._written.codes, length(given)
        values = self._request(size, [how["tensor"] for how in codes.values()]).infer(named)
        for name, how in codes.items():
            yield name, integers_of(values[how["tensor"]], how, size)
        yield self._written.output, np.array(values["logits"])

    def _named(self, given: Given) -> dict[str, Array]:
        return dict(zip(names_of(self.wanted.inputs), self.wanted.taken(given), strict=True))

    def _request(self, size: int, tensors: list[str] | None = None) -> Any:
        model = self._model.clone()
        if tensors:
            model.add_outputs(list(dict.fromkeys(tensors)))
        inputs = self.wanted.inputs
        shapes = zip(names_of(inputs), inputs, strict=True)
        model.reshape({name: [size, *each.dims[1:]] for name, each in shapes})
        return self._core.compile_model(model, "CPU", self._options).create_infer_request()

    def _read(self) -> Any:
        """The graph, once it is clear that the weights are its own: OpenVINO trusts what it finds in them."""
        weights = self.path.with_suffix(".bin")
        for file in (self.path, weights):
            if not file.is_file():
                raise ValueError(f"there is no {file}: a graph of OpenVINO is a .xml and a .bin, side by side")
        said = HASH.search(self.path.read_bytes())
        if said is None:
            raise ValueError(
                f"{self.path} cannot be used: it is no graph of stillbit's, or a part of one: export again"
            )
        if said[1].decode() != hash_of(weights):
            raise ValueError(f"the .bin beside {self.path} is damaged, or of another export: export again")
        try:
            return self._core.read_model(self.path, weights)
        except RuntimeError as problem:
            why = [line for line in str(problem).splitlines() if line.strip()][-1]
            raise ValueError(f"OpenVINO cannot read {self.path}: {why}") from None

    def _said(self) -> Written:
        said = {
            key: str(self._model.get_rt_info([SECTION, key]).astype(str))
            for key in Written.KEYS
            if self._model.has_rt_info([SECTION, key])
        }
        try:
            return Written.of_strings(said)
        except ValueError as problem:
            raise ValueError(f"{self.path} cannot be used: {problem}") from None
