"""What training simulates is what deployment computes, in encoders of texts: the training model's own codes, the numpy
reference, the integer runtime, onnxruntime and OpenVINO, on sentences of which most are padded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stillbit.deploy.about import About
from stillbit.deploy.file.packed import Packed, read, write
from stillbit.deploy.graphs.onnx_engine import OnnxRuntime
from stillbit.deploy.graphs.onnx_file import write_onnx
from stillbit.deploy.graphs.openvino_engine import OpenVino
from stillbit.deploy.graphs.openvino_file import write_openvino
from stillbit.deploy.inputs import Wanted
from stillbit.deploy.proof.noise import noise
from stillbit.deploy.proof.run import prove
from stillbit.deploy.runtime.integer import Integer
from stillbit.deploy.runtime.reference import Reference, steps
from stillbit.deploy.tracing.record import codes_of
from stillbit.deploy.tracing.trace import trace
from tests.deploy.reading import BITS, encoder, sentences
from tests.surgery.tiny_hf import PAD, READERS

slow = pytest.mark.slow
CELLS = [
    *(pytest.param("bert", bits, id=f"bert {bits}") for bits in BITS),
    *(pytest.param(name, "w1a1", id=f"{name} w1a1") for name in ("roberta", "distilbert")),
    *(pytest.param(name, bits, marks=slow) for name in READERS for bits in BITS if name != "bert"),
]


@pytest.mark.parametrize(("family", "bits"), CELLS)
def test_every_engine_has_the_codes_of_training(family: str, bits: str, tmp_path: Path) -> None:
    model = encoder(family, bits)
    program = trace(model, sentences(2))
    write(Packed(program=program, about=About()), tmp_path / "p.safetensors")
    write_onnx(program, About(), tmp_path / "m.onnx")
    again = read(tmp_path / "p.safetensors").program
    engines: dict[str, Any] = {
        "exact": Integer(again, exact=True),
        "integer": Integer(again),
        "onnxruntime": OnnxRuntime(tmp_path / "m.onnx"),
    }
    if family != "bert" or bits == "w1a1":  # to compile a graph takes longest
        write_openvino(program, About(), tmp_path / "m.xml")
        engines["openvino"] = OpenVino(tmp_path / "m.xml")
    given = noise(Wanted.of(program), 8, pad=PAD)
    assert {int(row.sum()) for row in given[1]} != {12}, "some are padded"
    proof = prove(model, program, engines, given)
    assert proof.failures() == {} and proof.noun == "texts"
    assert proof.comparisons[0].integers > 8 * 12 * 48 * 6 and not proof.comparisons[0].silent


@pytest.mark.parametrize("bits", ["w2a2", "w1a1"])
def test_a_sentence_has_the_same_codes_alone_and_among_longer_ones(bits: str) -> None:
    model = encoder("bert", bits)
    program = trace(model, sentences(2))
    ids, mask = (part.numpy() for part in sentences(3))
    whole, alone = Reference(program)(ids, mask), Reference(program)(ids[2:], mask[2:])
    np.testing.assert_array_equal(whole[2:], alone)
    changed = np.where(mask == 1, ids, 5)  # another piece where nobody looks
    first = dict(codes_of(model, (torch.from_numpy(changed), torch.from_numpy(mask)), program))
    second = {step.output: value for step, _, value in steps(program, (changed, mask))}
    assert len(first) > 10 and all(np.array_equal(codes, second[name]) for name, codes in first.items())
    looked = [step.output for step in program.steps if step.op == "gather" and step.output in first]
    assert len(looked) == 2, "words and types; positions are always the same"


@pytest.mark.parametrize("bits", ["w4a4", "w1a1"])
def test_what_the_mask_hides_has_code_zero(bits: str) -> None:
    model = encoder("bert", bits)
    program = trace(model, sentences(2))
    ids, mask = (part.numpy() for part in sentences())
    (probabilities,) = (
        step.output
        for step in program.steps
        if step.op == "quantize"
        and step.settings["low"] == 0
        and dict(Reference(program).codes((ids, mask)))[step.output].shape == (4, 3, 12, 12)
    )
    for engine in (Reference(program), Integer(program), Integer(program, exact=True)):
        codes = dict(engine.codes((ids, mask)))[probabilities]
        assert not codes[np.broadcast_to(mask[:, None, None] == 0, codes.shape)].any()
        assert codes.any()


def test_a_mask_that_hides_nothing_is_a_mask_like_others() -> None:
    """transformers leaves such a mask out, so whoever traces a full batch must not lose it."""
    model = encoder("bert", "w4a4")
    ids, mask = sentences(2)
    full = trace(model, (ids, torch.ones_like(mask)))
    assert full.steps == trace(model, (ids, mask)).steps
    given = tuple(part.numpy() for part in sentences())
    assert prove(model, full, {}, given).failures() == {}
    everything = (given[0], np.ones_like(given[1]))
    assert prove(model, full, {}, everything).failures() == {}, "and training, which leaves it out, agrees"
