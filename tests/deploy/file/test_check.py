"""Whether a program is one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stillbit.deploy.file.check import check, check_form, shapes
from stillbit.deploy.program import Constant, Grid, Input, Program, Step
from stillbit.deploy.runtime import reference
from stillbit.deploy.tracing.trace import trace
from tests.deploy import small
from tests.deploy.programs import Written, everything, linear


def changed(program: Program, number: int, **changes: Any) -> Program:
    """With another step in the place of this one."""
    steps = list(program.steps)
    steps[number] = replace(steps[number], **changes)
    return replace(program, steps=tuple(steps))


def shaped(program: Program, *dims: int) -> Program:
    """With another input."""
    return replace(program, inputs=(replace(program.inputs[0], dims=dims),))


def test_every_shape_is_what_the_reference_makes() -> None:
    program = everything()
    check(program)
    for batch in (1, 2, 5):
        images = np.random.default_rng(0).normal(size=(batch, 3, 8, 8)).astype(np.float32)
        said = shapes(program, batch)
        for step, _, value in reference.steps(program, images):
            assert said[step.output] == value.shape
        assert said["input"] == images.shape and said["c0"] == (1,)
    assert shapes(program, -1)["input"] == (-1, 3, 8, 8)


@pytest.mark.parametrize(
    ("method", "bits"),
    [
        ("ofq", "w2a2"),
        pytest.param(*("vvtq", "w3a3"), marks=pytest.mark.slow),
        pytest.param(*("qvit_mixed", "w5a5"), marks=pytest.mark.slow),
    ],
)
def test_programs_of_models_pass(method: str, bits: str) -> None:
    x = small.images()
    program = trace(small.trained(small.vit(), method, bits, x), x[:2])
    check(program)
    said = shapes(program, 4)
    for step, _, value in reference.steps(program, x.numpy()):
        assert said[step.output] == value.shape


def test_form_is_checked_without_a_look_at_what_constants_hold() -> None:
    program = linear()
    ghosts = {
        name: Constant(array=np.broadcast_to(np.zeros((), held.array.dtype), held.array.shape), grid=held.grid)
        for name, held in program.constants.items()
    }
    check_form(replace(program, constants=ghosts))
    with pytest.raises(ValueError, match="scale c0 is not above zero"):
        check(replace(program, constants=ghosts))


WRONG: list[tuple[Callable[[Program], Program], str]] = [
    (lambda p: shaped(p, 8), "its input of 8 is no batch"),
    (lambda p: shaped(p, -1, -1), "is no batch"),
    (lambda p: shaped(p), "its input of one number is no batch"),
    (lambda p: shaped(p, -1, 9), "step 1 (product of head): batch x 9 and 8 x 3 cannot be multiplied"),
    (
        lambda p: replace(p, inputs=(replace(p.inputs[0], name="c0"),)),
        "its input has the name of another, or of constant c0",
    ),
    (lambda p: replace(p, output="v9"), "no step puts out v9, its output"),
    (lambda p: replace(p, output="input"), "no step puts out input"),
    (lambda p: replace(p, output="v0"), "its output is codes of batch x 8"),
    (lambda p: replace(p, steps=()), "no step puts out v3"),
    (lambda p: replace(p, steps=p.steps[:1] + p.steps[2:]), "step 1 (mul of head): nobody puts out v1"),
    (lambda p: replace(p, steps=p.steps[::-1]), "step 0 (add of head): nobody puts out v2"),
    (lambda p: replace(p, steps=p.steps + p.steps[-1:]), "step 4 (add of head): v3, its output, is there already"),
    (lambda p: changed(p, 2, output="c0"), "step 2 (mul of head): c0, its output, is there already"),
    (lambda p: changed(p, 2, inputs=("v2", "c2")), "step 2 (mul of head): nobody puts out v2"),
    (lambda p: changed(p, 2, op="fold"), "step 2 (fold of head): no operation is called 'fold'"),
    (lambda p: changed(p, 2, op="fold", layer=""), "step 2 (fold): no operation"),
    (lambda p: changed(p, 2, settings={"by": 1.0}), "step 2 (mul of head): it takes a second value or a number"),
    (lambda p: changed(p, 1, inputs=("v0", "c2")), "step 1 (product of head): batch x 8 and 3 cannot be multiplied"),
    (lambda p: changed(p, 1, inputs=("input", "c1")), "it takes codes, not floats"),
    (lambda p: changed(p, 1, op="matmul", settings={}), "it takes floats, not codes"),
    (lambda p: changed(p, 1, settings={"offsets": [0.0, 0.5]}), "its offset is 0.5, and that of its codes 0.0"),
    (lambda p: changed(p, 0, inputs=("input", "c1")), "do not fit together"),
]


@pytest.mark.parametrize(("change", "said"), WRONG)
def test_what_is_no_program_is_said_with_the_step_and_the_layer(
    change: Callable[[Program], Program], said: str
) -> None:
    with pytest.raises(ValueError) as caught:
        check(change(linear()))
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (Constant(array=np.ones(3)), "constant c2 is of float64"),
        (Constant(array=np.array(["a"])), "constant c2 is of <U1"),
        (Constant(array=np.ones(3, bool)), "constant c2 is of bool"),
        (Constant(array=np.ones(3, np.float32), grid=Grid(low=0, high=1)), "constant c2 is of float32"),
        (Constant(array=np.ones(3, int), grid=Grid(low=0, high=256)), "constant c2 lies on no grid"),
        (Constant(array=np.ones(3, int), grid=Grid(low=2, high=1)), "constant c2 lies on no grid"),
        (Constant(array=np.ones(3, int), grid=Grid(low=0, high=1, offset=0.3)), "constant c2 lies on no grid"),
        (Constant(array=np.ones(3, int), grid=Grid(low=0, high=1)), "step 2 (mul of head): it takes floats, not codes"),
        (Constant(array=np.ones(3, int)), "step 2 (mul of head): it takes floats, not indices"),
    ],
)
def test_a_constant_of_another_kind_is_said(held: Constant, said: str) -> None:
    program = linear()
    with pytest.raises(ValueError) as caught:
        check(replace(program, constants={**program.constants, "c2": held}))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("low", "high", "offset", "fits"),
    [(-128, 127, 0.0, True), (0, 255, 0.0, False), (-128, 127, 0.5, False), (-64, 63, 0.5, True)],
)
def test_sums_of_codes_fit_into_32_bits(low: int, high: int, offset: float, fits: bool) -> None:
    made = Written(65_000)
    codes = made.quantize("input", low=0, high=255)
    made.add("product", codes, made.codes(65_000, 1, low=low, high=high, offset=offset), offsets=[0.0, offset])
    if fits:
        check(made.program("v1"))
        assert 65_000 * 255 * max(abs(low), high) * (2 if offset else 1) < 2**31
    else:
        with pytest.raises(ValueError, match="sums of 65,000 products up to 255 x 255 do not fit into 32 bits"):
            check(made.program("v1"))


def test_codes_that_are_moved_stay_codes_of_their_grid() -> None:
    made = Written(4)
    codes = made.quantize("input")
    wide = made.add("pad", codes, around=[[0, 0], [0, 2]], value=1.0)
    both = made.add("cat", wide, made.add("roll", wide, by=[1], axes=[1]), axis=1)
    summed = made.add("product", both, made.codes(12, 2), offsets=[0.0, 0.0])
    check(made.program(summed))
    made.steps[1] = replace(made.steps[1], settings={**made.steps[1].settings, "value": 2.0})
    with pytest.raises(ValueError, match=r"it pads codes from -2 to 1 with 2\.0"):
        check(made.program(summed))
    made.steps[1] = replace(made.steps[1], settings={**made.steps[1].settings, "value": 0.0})
    made.steps[3] = replace(made.steps[3], inputs=(wide, made.add("level", wide, offset=0.0)))
    made.steps[3:] = [made.steps[-1], *made.steps[3:-1]]
    with pytest.raises(ValueError, match="it takes values of one kind, not codes and floats"):
        check(made.program(summed))


def spread(*sizes: int) -> Program:
    """A handful of bytes that ask for a huge product."""
    made = Written(1)
    rows = made.add("expand", made.add("reshape", "input", shape=[-1, 1, 1]), shape=[-1, sizes[0], sizes[1]])
    columns = made.add("expand", made.floats(1, 1), shape=[sizes[1], sizes[2]])
    return made.program(made.add("matmul", rows, columns))


def test_nobody_is_asked_for_absurd_memory_or_time() -> None:
    check(spread(1000, 1000, 1000))
    with pytest.raises(ValueError, match=r"step 1 \(expand of body\): an image needs .* numbers in memory, too many"):
        check(spread(30_000, 30_000, 1))
    with pytest.raises(ValueError, match=r"step 3 \(matmul of body\): an image needs .* multiplications, too many"):
        check(spread(6_000, 6_000, 6_000))
    with pytest.raises(ValueError, match="has a size that is none"):
        made = Written(1)
        parts = made.add("expand", made.floats(1), shape=[2**31 - 1])
        check(made.program(made.add("cat", parts, parts, axis=0)))


def test_a_window_over_everything_counts_what_it_copies() -> None:
    made = Written(1, 1, 1)
    wide = made.add("expand", "input", shape=[-1, 1, 3000, 3000])
    how: dict[str, Any] = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1}
    made.add("conv", wide, made.floats(1, 1, 100, 100), **how)
    with pytest.raises(ValueError, match=r"step 1 \(conv of body\): an image needs .* numbers in memory"):
        check(made.program("v1"))


def test_a_step_is_never_looked_at_longer_than_it_is_long() -> None:
    steps = (Step(op="relu", inputs=("input",), output="v0", settings={}, layer="x" * 10_000),) * 2
    with pytest.raises(ValueError) as caught:
        check(Program(inputs=(Input(name="input", dims=(-1, 2)),), output="v0", steps=steps, constants={}))
    assert len(str(caught.value)) < 300
