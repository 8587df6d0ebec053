"""Test vectors, replayed with nothing but integers."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from stillbit.deploy.file.vectors import dump
from stillbit.deploy.program import Program
from stillbit.deploy.runtime import reference
from stillbit.deploy.tracing.trace import trace
from tests.deploy import small
from tests.deploy.programs import Written, everything, linear, reading, sentences


def dumped(program: Program, images: Any, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    dump(program, images, path)
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    assert metadata["format"] == "stillbit vectors" and metadata["version"] == "1"
    return json.loads(metadata["index"]), load_file(path)


def doubled(codes: Any, offset: float) -> Any:
    """Integers for the levels of codes: twice as large where zero lies between two of them."""
    return 2 * codes.astype(np.int64) + 1 if offset else codes.astype(np.int64)


def replay(entry: dict[str, Any], tensors: dict[str, Any]) -> Any:
    """A step by the words of the format's page, in integers (a rounded division for quantize)."""
    inputs = [tensors[name] for name in entry["inputs"]]
    if entry["op"] == "quantize":
        steps = inputs[0] / inputs[1] if len(inputs) > 1 else inputs[0]
        codes = np.rint(steps - np.float32(entry["offset"]))
        low, high = inputs[2:] if len(inputs) > 2 else (entry["low"], entry["high"])
        return np.minimum(np.maximum(codes, low), high).astype(np.int64)
    a, b = (doubled(codes, offset) for codes, offset in zip(inputs, entry["offsets"], strict=True))
    if entry["op"] == "product":
        return (a[..., :, :, None] * b[..., None, :, :]).sum(-2)
    return convolved(a, b, entry)


def convolved(x: Any, kernel: Any, how: dict[str, Any]) -> Any:
    """One position of the window after the other."""
    (top, left), (down, right), (spread, wide) = how["padding"], how["stride"], how["dilation"]
    x = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
    outs, taken, high, broad = kernel.shape
    rows = (x.shape[2] - spread * (high - 1) - 1) // down + 1
    columns = (x.shape[3] - wide * (broad - 1) - 1) // right + 1
    made = np.zeros((len(x), outs, rows, columns), np.int64)
    for o, r, c in product(range(outs), range(rows), range(columns)):
        first = o * how["groups"] // outs * taken
        window = x[:, first : first + taken, r * down : r * down + spread * (high - 1) + 1 : spread]
        window = window[..., c * right : c * right + wide * (broad - 1) + 1 : wide]
        made[:, o, r, c] = (window * kernel[o]).sum((1, 2, 3))
    return made


def check_all(index: dict[str, Any], tensors: dict[str, Any]) -> None:
    for entry in index["steps"]:
        out = tensors[entry["codes"] if entry["op"] == "quantize" else entry["sums"]]
        assert (replay(entry, tensors) == out).all(), entry
        assert out.dtype in ((np.int8, np.int16) if entry["op"] == "quantize" else (np.int32,))


def test_every_integer_step_is_there_and_can_be_replayed(tmp_path: Path) -> None:
    program = everything()
    images = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    index, tensors = dumped(program, images, tmp_path / "v.safetensors")
    wanted = [(n, s.op) for n, s in enumerate(program.steps) if s.op in ("quantize", "product", "convolution")]
    assert [(entry["step"], entry["op"]) for entry in index["steps"]] == wanted and index["images"] == 2
    check_all(index, tensors)


@pytest.mark.parametrize("method", ["ofq", pytest.param("vvtq", marks=pytest.mark.slow)])
def test_models_can_be_replayed(tmp_path: Path, method: str) -> None:
    x = small.images()
    program = trace(small.trained(small.vit(), method, "w2a2", x), x[:2])
    index, tensors = dumped(program, x.numpy(), tmp_path / "v.safetensors")
    check_all(index, tensors)
    assert {"patch_embed.proj", "blocks.0.attn.proj", "head"} <= {entry["layer"] for entry in index["steps"]}
    assert {entry["divisor"] for entry in index["steps"] if "sums" in entry} == ({1, 2} if method == "ofq" else {1})


def test_sums_and_scales_give_what_the_program_computes(tmp_path: Path) -> None:
    program, images = linear(), np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    index, tensors = dumped(program, images, tmp_path / "v.safetensors")
    entry = index["steps"][1]
    assert entry["layer"] == "head" and entry["scales"] == ["c0", None]
    assert entry["then"] == [{"op": "mul", "by": "c2"}, {"op": "add", "by": "c3"}]
    out = (tensors[entry["sums"]] / entry["divisor"]).astype(np.float32) * tensors["c2"] + tensors["c3"]
    assert (out == reference.run(program, images)).all()


def test_a_scale_is_found_behind_moves_and_a_number_is_said(tmp_path: Path) -> None:
    made = Written(6)
    codes = made.add("permute", made.add("reshape", made.quantize("input"), shape=[-1, 2, 3]), axes=[0, 2, 1])
    summed = made.add("product", codes, made.codes(2, 4, low=0, high=255), offsets=[0.0, 0.0])
    out = made.add("mul", made.add("mul", summed, by=0.5), made.add("tanh", summed))
    index, tensors = dumped(made.program(out), np.ones((1, 6), np.float32), tmp_path / "v")
    entry = index["steps"][1]
    assert entry["scales"] == ["c0", None] and entry["then"] == []  # two read the sums
    assert [tensors[name].dtype for name in entry["inputs"]] == [np.int8, np.int16]


def test_texts_have_vectors_too(tmp_path: Path) -> None:
    index, tensors = dumped(reading(), sentences(2), tmp_path / "v")
    assert index["images"] == 2 and [entry["op"] for entry in index["steps"]] == ["quantize", "product"]
    entry = index["steps"][1]
    a, b = (tensors[name].astype(np.int64) for name in entry["inputs"])
    assert (a @ b == tensors[entry["sums"]]).all()


def test_images_of_another_shape_are_refused(tmp_path: Path) -> None:
    for shape in ((2, 9), (0, 8), (8,)):
        with pytest.raises(ValueError, match=r"images of .* are no batch of 8"):
            dump(linear(), np.ones(shape, np.float32), tmp_path / "v")
    assert not list(tmp_path.iterdir())
