"""Products of codes are exact, whichever way they take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stillbit.deploy.runtime import integer_product
from stillbit.deploy.runtime.integer_product import Side, digits, exact_float, holds, matrices, rows, trusted, way

SIDES = [
    *(Side(low=-(2 ** (b - 1)), high=2 ** (b - 1) - 1, doubled=d) for b in (1, 2, 4, 7, 8) for d in (False, True)),
    *(Side(low=0, high=2**b - 1) for b in (1, 4, 7, 8)),
    Side(low=-1, high=1),
]


def drawn(side: Side, *shape: int) -> torch.Tensor:
    """Codes of a grid, its ends among them."""
    codes = torch.randint(side.low, side.high + 1, shape)
    codes.view(-1)[0], codes.view(-1)[-1] = side.low, side.high
    return codes.to(holds(side.low, side.high))


def whole(codes: torch.Tensor, side: Side) -> Any:
    return codes.double().numpy() * (1 + side.doubled) + side.doubled


def check(left: Side, right: Side, a: torch.Tensor, b: torch.Tensor, *, weight: bool) -> None:
    times = rows if weight and b.ndim == 2 else matrices
    chosen = way(left, right, a.shape[-1], weight=weight, times=times)
    np.testing.assert_array_equal(chosen.multiply(a, chosen.lay(b)).double().numpy(), whole(a, left) @ whole(b, right))


@pytest.mark.parametrize("left", SIDES)
@pytest.mark.parametrize("right", SIDES)
def test_any_two_grids_are_multiplied_exactly(left: Side, right: Side) -> None:
    check(left, right, drawn(left, 2, 5, 70), drawn(right, 70, 9), weight=True)
    check(left, right, drawn(left, 2, 3, 5, 17), drawn(right, 2, 3, 17, 4), weight=False)


@pytest.mark.parametrize("right", [side for side in SIDES if side.low < 0])
def test_nothing_overflows_at_the_largest_sums(right: Side) -> None:
    for left in (Side(low=0, high=255), Side(low=-128, high=127)):
        for end in (left.low, left.high):
            a = torch.full((3, 2000), end).to(holds(left.low, left.high))
            b = torch.full((2000, 2), right.low).to(holds(right.low, right.high))
            check(left, right, a, b, weight=True)


@given(st.lists(st.integers(1, 9), min_size=3, max_size=3), st.booleans(), st.booleans())
def test_any_shape_will_do(sizes: list[int], turned: bool, weight: bool) -> None:
    n, k, o = sizes
    left, right = Side(low=-8, high=7), Side(low=-8, high=7)
    b = drawn(right, o, k).mT if turned else drawn(right, k, o)
    check(left, right, drawn(left, n, k), b, weight=weight)


def test_one_side_may_repeat_for_all_pairs_of_the_other() -> None:
    side = Side(low=-8, high=7)
    check(side, side, drawn(side, 2, 3, 5, 4), drawn(side, 4, 6), weight=False)
    check(side, side, drawn(side, 5, 4), drawn(side, 2, 1, 4, 6), weight=False)
    check(side, side, drawn(side, 2, 3, 5, 4), drawn(side, 3, 4, 6), weight=True)


def test_rows_that_overlap_are_multiplied_without_a_word() -> None:
    """Windows of an image may share their memory; oneDNN warns of such rows, and warnings are errors here."""
    a = torch.randint(-2, 2, (40,), dtype=torch.int8).as_strided((9, 16), (3, 1))
    weight = torch.randint(-2, 2, (16, 8), dtype=torch.int8)
    assert torch.equal(rows(a, weight), a.int() @ weight.int())


def test_codes_that_lie_apart_in_memory_are_multiplied_where_they_are() -> None:
    side = Side(low=-8, high=7)
    heads = drawn(side, 2, 6, 3, 3, 4).permute(2, 0, 3, 1, 4)
    check(side, side, heads[0], heads[1].mT, weight=False)


@pytest.mark.parametrize("right", SIDES)
def test_without_instructions_for_integers_floats_are_as_exact(right: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integer_product, "trusted", lambda: False)
    for left in SIDES:
        check(left, right, drawn(left, 5, 300), drawn(right, 300, 9), weight=True)


@pytest.fixture
def untried() -> Iterator[None]:
    """As if this processor had not been tried yet."""
    trusted.cache_clear()
    yield
    trusted.cache_clear()


@pytest.mark.usefixtures("untried")
def test_sums_that_stop_at_sixteen_bits_are_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch._int_mm
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: right(a, b).clamp(-(2**15), 2**15 - 1))
    assert not trusted()


@pytest.mark.usefixtures("untried")
def test_a_torch_without_products_of_integers_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch, "_int_mm")
    assert not trusted()
    check(SIDES[3], SIDES[4], drawn(SIDES[3], 3, 4), drawn(SIDES[4], 4, 5), weight=True)


@pytest.mark.usefixtures("untried")
def test_what_is_slower_than_floats_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([2.0, 1.0])
    monkeypatch.setattr(integer_product, "_seconds", lambda work: next(times))
    assert not trusted()


def test_floats_are_as_wide_as_their_sums() -> None:
    assert exact_float(2**24) is torch.float32 and exact_float(2**24 + 1) is torch.float64
    assert torch.equal(torch.full((1, 1), 2.0**24) + 1, torch.full((1, 1), 2.0**24))  # why


def test_codes_are_kept_as_small_as_they_are() -> None:
    assert [holds(*ends) for ends in ((-128, 127), (0, 255), (-129, 0), (0, 2**15))] == [
        *(torch.int8, torch.uint8, torch.int16, torch.int32)
    ]


def test_digits_of_a_grid_without_a_zero_are_odd() -> None:
    side = Side(low=-2, high=1, doubled=True)
    codes = torch.tensor([-2, -1, 0, 1], dtype=torch.int8)
    assert digits(codes, side, torch.int8).tolist() == [-3, -1, 1, 3] and side.reach == 3
    assert digits(codes, side, torch.float32).tolist() == [-3, -1, 1, 3]


def test_who_records_sees_one_operation() -> None:
    a, b = torch.ones(2, 3, 4, dtype=torch.int8), torch.ones(2, 4, 5, dtype=torch.int8)
    assert torch.equal(integer_product.MATRICES(a, b), matrices(a, b))
    torch.library.opcheck(integer_product.MATRICES, (a, b), test_utils=("test_schema", "test_faketensor"))
