"""A quantizer for each run."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from stillbit.quantizers import LSQ, LSQPlus, Spec, build
from stillbit.quantizers.each_run import EachRun
from stillbit.quantizers.grid import Grid


def two() -> EachRun:
    quantizer = build(Spec(4, each_run=True), "activation", (1,), "signed", runs=2)
    assert isinstance(quantizer, EachRun)
    return quantizer


def test_the_run_that_began_last_chooses_the_scale() -> None:
    quantizer, x = two(), torch.randn(64)
    for number, factor in enumerate((1.0, 10.0)):
        quantizer.parts()[number].start(factor * x)
    assert quantizer.is_started()
    for number in (0, 1, 0):
        quantizer.begin_run(number)
        part = quantizer.parts()[number]
        assert torch.equal(quantizer(x).scale, part.scale_of(x)) and torch.equal(
            quantizer.scale_of(x), part.scale_of(x)
        )
    first, second = (part.scale_of(x).item() for part in quantizer.parts())
    assert second == pytest.approx(10 * first, rel=1e-3)


def test_every_scale_gets_the_gradient_of_its_own_run() -> None:
    quantizer, x = two(), torch.randn(64)
    quantizer.begin_run(1)
    quantizer(x).value().square().sum().backward()
    first, second = quantizer.parts()
    assert first.scale.grad is None and second.scale.grad.abs() > 0  # type: ignore[union-attr, operator]


def test_a_start_is_the_start_of_all() -> None:
    quantizer, x = two(), torch.randn(64)
    assert not quantizer.is_started()
    quantizer.start(x, "minmax")
    assert quantizer.is_started()
    assert len({part.scale_of(x).item() for part in quantizer.parts()}) == 1


def test_all_state_is_there_from_the_start_and_copies_are_apart() -> None:
    quantizer = two()
    assert set(quantizer.state_dict()) == {f"runs.{i}.{name}" for i in (0, 1) for name in ("scale", "started")}
    twin = deepcopy(quantizer)
    twin.start(torch.randn(64))
    assert not quantizer.is_started()
    first, second = quantizer.parts()
    assert first.scale is not second.scale
    assert quantizer.bfloat16().parts()[0].scale.dtype == torch.float32


def test_a_run_with_moves_is_made_of_what_is_inside() -> None:
    quantizer = build(Spec(4, each_run=True, moves=True), "activation", (1,), "signed", runs=2, channels=(3,))
    assert isinstance(quantizer, EachRun) and [type(part) for part in quantizer.parts()] == [LSQ, LSQ]
    x = torch.randn(5, 3)
    quantizer.start(x)
    with torch.no_grad():
        quantizer.runs[1].before.fill_(2.0)  # type: ignore[union-attr, operator]
    for number in (0, 1):
        quantizer.begin_run(number)
        assert torch.equal(quantizer(x).x, x + 2 * number)
        assert torch.equal(quantizer.scale_of(x), quantizer.parts()[number].scale_of(x))


def test_a_layer_that_runs_once_has_one() -> None:
    assert type(build(Spec(4, each_run=True), "activation", (1,), "signed")) is LSQ
    assert type(build(Spec(4), "activation", (1,), "shifted", runs=2)) is LSQPlus
    assert LSQ(Grid(4), (1,)).parts()[0].grid == Grid(4)


def test_weights_have_no_runs() -> None:
    with pytest.raises(ValueError, match="a weight is the same in every run: leave each_run out of its spec"):
        build(Spec(4, each_run=True), "weight", (1,), "signed", runs=2)
