"""The integer runtime against the reference: the same integers, and the same but for ties where it is quick."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch

from stillbit.deploy.about import About
from stillbit.deploy.file.packed import Packed, read, write
from stillbit.deploy.program import Program
from stillbit.deploy.runtime import integer, reference
from stillbit.deploy.runtime.integer import Integer
from stillbit.deploy.tracing.trace import trace
from tests.deploy import programs, small
from tests.deploy.runtime import held
from tests.surgery import tiny


def traced(method: str = "vvtq", bits: str = "w4a4", model: Any = None, size: int = 16) -> tuple[Program, Any]:
    x = small.images(5, size)
    return trace(small.trained(small.vit() if model is None else model, method, bits, x), x[:2]), x.numpy()


def holds(program: Program, x: Any) -> float:
    """Every integer exactly, and quickly but for ties; the share of these."""
    held.same(program, x, Integer(program, exact=True))
    quick = Integer(program)
    assert held.near(program, x, quick) < 1e-6
    return held.ties(program, x, quick)


@pytest.mark.parametrize(
    ("method", "bits"),
    [
        ("lsq", "w8a8"),
        ("vvtq", "w2a2"),
        ("statsq", "w3a3"),
        ("ofq", "w4a4"),
        ("ofq", "w8a8"),
        ("dorefa", "w1a1"),
        ("qvit_mixed", "w5a5"),
        pytest.param(*("lsq", "w4a4"), marks=pytest.mark.slow),
        pytest.param(*("lsq_plus", "w3a3"), marks=pytest.mark.slow),
        pytest.param(*("pact", "w7a7"), marks=pytest.mark.slow),
        pytest.param(*("vvtq", "w6a6"), marks=pytest.mark.slow),
        pytest.param(*("qvit", "w3a3"), marks=pytest.mark.slow),
        pytest.param(*("statsq", "w7a7"), marks=pytest.mark.slow),
        pytest.param(*("statsq", "w8a8"), marks=pytest.mark.slow),
    ],
)
def test_every_integer_is_the_references(method: str, bits: str) -> None:
    assert holds(*traced(method, bits)) == 0


@pytest.mark.parametrize("family", ["swin", "swin_v2", "sret"])
@pytest.mark.parametrize(
    ("method", "bits"),
    [
        ("vvtq", "w2a2"),
        pytest.param(*("statsq", "w4a4"), marks=pytest.mark.slow),
        pytest.param(*("lsq", "w8a8"), marks=pytest.mark.slow),
    ],
)
def test_windows_and_recursions_are_nothing_special(family: str, method: str, bits: str) -> None:
    assert holds(*traced(method, bits, getattr(tiny, family)(), 32)) <= (held.RARE if bits == "w8a8" else 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet18", 64), ("deit_tiny_distilled_patch16_224", 224), ("swinv2_cr_tiny_ns_224", 224), ("test_resnet", 160)],
)
@pytest.mark.parametrize(("method", "bits"), [("lsq", "w3a3"), ("statsq", "w4a4"), ("lsq", "w8a8")])
def test_large_models_differ_at_few_ties(name: str, size: int, method: str, bits: str) -> None:
    x = small.images(2, size)
    program = trace(small.trained(timm.create_model(name, num_classes=10), method, bits, x), x[:2])
    assert holds(program, x.numpy()) <= held.RARE


def test_every_operation_that_there_is_runs() -> None:
    program, x = programs.everything(), small.images(3, 8).numpy()
    assert holds(program, x) == 0
    np.testing.assert_allclose(Integer(program, exact=True)(x), reference.run(program, x), rtol=1e-6)


def test_texts_run_as_images_do_and_what_does_not_fit_is_refused() -> None:
    program, given = programs.reading(), programs.sentences(5)
    assert holds(program, given) == 0
    engine = Integer(program)
    np.testing.assert_allclose(engine(*given), reference.run(program, given), rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=r"ids has 1[0-9] in it, and this model knows 0 to 9"):
        engine(given[0] + 10, given[1])
    with pytest.raises(ValueError, match=r"takes 2 arrays \(ids, mask\), and was given 1"):
        list(engine.codes(given[:1]))


@pytest.mark.slow  # compiles
def test_texts_may_be_compiled() -> None:
    program, given = programs.reading(), programs.sentences(5)
    np.testing.assert_allclose(
        Integer(program, compiled=True)(*given), reference.run(program, given), rtol=0, atol=1e-6
    )


def test_a_program_without_any_codes_runs() -> None:
    made = programs.Written(4)
    x = made.add("gelu", made.add("matmul", "input", made.floats(4, 3)), tanh=True)
    program, images = made.program(made.add("add", x, made.floats(3))), np.ones((2, 4), np.float32)
    for exact in (True, False):
        np.testing.assert_allclose(Integer(program, exact=exact)(images), reference.run(program, images), rtol=1e-6)


@pytest.mark.parametrize("exact", [True, False])
def test_a_batch_is_what_its_images_are_alone(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    program, x = traced("ofq")
    engine = Integer(program, exact=exact)
    alone = np.concatenate([engine(x[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(engine(x), alone, rtol=0, atol=1e-6)
    monkeypatch.setattr(integer, "MOST", 2)
    assert engine.chunk == 2
    np.testing.assert_allclose(engine(x[::-1]), alone[::-1], rtol=0, atol=1e-6)


def test_images_stay_as_they_are_in_whatever_order_they_lie() -> None:
    program, x = traced()
    engine = Integer(program)
    want = engine(x)
    strided = np.asfortranarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    frozen = x.copy()
    frozen.flags.writeable = False
    for images in (strided, x.astype(np.float64), frozen, x[::-1][::-1]):
        before = images.copy()
        np.testing.assert_array_equal(engine(images), want)
        np.testing.assert_array_equal(images, before)


def test_threads_change_no_integer() -> None:
    program, x = traced("lsq")
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        held.same(program, x, Integer(program, exact=True))
        assert held.ties(program, x, Integer(program)) == 0
    finally:
        torch.set_num_threads(threads)


def test_codes_that_are_forced_are_what_it_goes_on_with() -> None:
    program, x = traced("lsq", "w2a2")
    first, second = [step.output for step in program.steps if step.op == "quantize"][:2]
    flipped = {first: -1 - next(iter(reference.Reference(program).codes(x)))[1]}
    assert first in flipped
    for engine in (Integer(program), Integer(program, exact=True)):
        want, found = dict(reference.Reference(program).codes(x, flipped)), dict(engine.codes(x, flipped))
        np.testing.assert_array_equal(found[first], dict(engine.codes(x))[first], err_msg="its own are shown")
        np.testing.assert_array_equal(found[second], want[second])
        assert (found[second] != dict(engine.codes(x))[second]).any()


def test_who_looks_at_codes_may_do_so_with_gradients() -> None:
    program, x = traced()
    for _ in Integer(program).codes(x):
        assert not torch.is_inference_mode_enabled() and torch.is_grad_enabled()


def test_a_lower_precision_around_it_changes_nothing() -> None:
    program, x = traced("ofq")
    engine = Integer(program)
    want = engine(x)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(engine(x), want)


def test_what_was_packed_runs_the_same(tmp_path: Path) -> None:
    program, x = traced("ofq", "w3a3")
    write(Packed(program=program, about=About()), tmp_path / "vit.safetensors")
    back = read(tmp_path / "vit.safetensors").program
    for exact in (True, False):
        np.testing.assert_array_equal(Integer(back, exact=exact)(x), Integer(program, exact=exact)(x))


@pytest.mark.slow  # compiles C++
def test_what_is_compiled_has_the_same_integers() -> None:
    program, x = traced("ofq", model=small.vit(depth=3))
    engine = Integer(program, compiled=True)
    assert held.ties(program, x, engine) == 0
    assert held.near(program, x, engine) < 1e-6
    np.testing.assert_allclose(engine(x[:1]), engine(x)[:1], rtol=0, atol=1e-6)
    np.testing.assert_allclose(engine(x[:3]), engine(x)[:3], rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="force codes on one that is not compiled"):
        next(engine.codes(x, {"v0": x}))


def test_exact_and_compiled_are_told_apart() -> None:
    with pytest.raises(ValueError, match="leave out exact or compiled"):
        Integer(programs.linear(), exact=True, compiled=True)


@pytest.mark.parametrize("shape", [(8,), (2, 7), (0, 8), (2, 8, 1), ()])
def test_a_batch_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="are no batch of 8: one image is a batch of one"):
        Integer(programs.linear())(np.zeros(shape, np.float32))


def test_it_loads_neither_layers_nor_timm() -> None:
    code = (
        "import sys, stillbit.deploy.file.packed, stillbit.deploy.runtime.integer\n"
        "bad = [m for m in sys.modules if m.startswith(('timm', 'torchvision', 'stillbit.layers', 'stillbit.surgery',"
        " 'stillbit.quantizers', 'stillbit.models'))]\n"
        "sys.exit(' '.join(bad) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
