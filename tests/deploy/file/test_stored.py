"""Constants as a file holds them."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillbit.deploy.file.pack import length_of
from stillbit.deploy.file.stored import FLOATS, RATIO, WORTH, Place, asked, fetch, fits, inflated, store
from stillbit.deploy.program import Constant, Grid

RANDOM = np.random.default_rng(0)


def codes(bits: int, signed: bool, *shape: int, offset: float = 0.0) -> Constant:
    low = -(1 << (bits - 1)) if signed else 0
    grid = Grid(low=low, high=low + (1 << bits) - 1, offset=offset)
    return Constant(array=RANDOM.integers(grid.low, grid.high + 1, shape), grid=grid)


def floats(*shape: int) -> Constant:
    return Constant(array=RANDOM.normal(size=shape).astype(np.float32))


def round_trip(constants: dict[str, Constant], *, small: bool = True) -> dict[str, Constant]:
    places, tensors = store(constants, small=small)
    number = max((place.first + place.count for place in places.values() if place.kind == "floats"), default=0)
    fits(places, tensors, number, 1 << 40)
    back = fetch(places, tensors, number)
    assert asked(places) == sum(held.array.nbytes for held in back.values())
    for name, held in constants.items():
        assert back[name].grid == held.grid and back[name].array.shape == held.array.shape
        assert back[name].array.flags.writeable or not held.array.size
    return back


def same(a: dict[str, Constant], b: dict[str, Constant]) -> bool:
    """Also the signs of zeros."""
    return all((a[n].array == b[n].array).all() and (np.signbit(a[n].array) == np.signbit(b[n].array)).all() for n in a)


@pytest.mark.parametrize("small", [True, False])
@given(
    seed=st.integers(0, 2**32 - 1),
    bits=st.integers(1, 8),
    signed=st.booleans(),
    shape=st.lists(st.integers(1, 9), max_size=4),
)
def test_all_kinds_come_back(small: bool, seed: int, bits: int, signed: bool, shape: list[int]) -> None:
    random = np.random.default_rng(seed)
    constants = {
        "codes": codes(bits, signed, *shape),
        "floats": Constant(array=random.normal(size=shape).astype(np.float32)),
        "zeros": Constant(array=random.choice([0.0, -0.0, 1.0, np.inf], shape).astype(np.float32)),
        "indices": Constant(array=random.integers(0, 1 << int(random.integers(1, 40)), shape)),
        "below": Constant(array=random.integers(-5, 5, shape)),
    }
    back = round_trip(constants, small=small)
    assert same(constants, back)
    assert {name: held.array.dtype.kind for name, held in back.items()} == {
        **dict.fromkeys(("codes", "indices", "below"), "i"),
        **dict.fromkeys(("floats", "zeros"), "f"),
    }


def test_codes_take_their_true_width() -> None:
    for bits in range(1, 9):
        _, tensors = store({"c": codes(bits, True, 64, 100)})
        assert tensors["c"].size == length_of(6400, bits)  # noise does not deflate


def test_codes_that_are_not_alike_deflate_where_it_is_worth_it() -> None:
    likely = RANDOM.choice([-2, -1, 0, 1], (100, 100), p=[0.05, 0.2, 0.5, 0.25])
    _, tensors = store({"c": Constant(array=likely, grid=Grid(low=-2, high=1))})
    assert tensors["c"].size < 2500 - 2500 // WORTH
    assert same(round_trip({"c": Constant(array=likely, grid=Grid(low=-2, high=1))}), {"c": Constant(array=likely)})


def test_the_pool_deflates_by_planes_of_bytes_and_is_exact() -> None:
    weights = {"a": floats(40, 100), "b": floats(1000)}
    _, tensors = store(weights)
    assert tensors[FLOATS].size < 0.9 * 4 * 5000
    assert same(weights, round_trip(weights))


def test_a_plain_pool_that_lies_anywhere_is_aligned() -> None:
    constants = {"a": floats(3)}
    places, tensors = store(constants, small=False)
    moved = np.concatenate([np.zeros(1, np.uint8), tensors[FLOATS]])[1:]
    back = fetch(places, {FLOATS: moved}, 3)["a"].array
    assert back.flags.aligned and back.flags.writeable and (back == constants["a"].array).all()


def test_equal_constants_are_stored_once() -> None:
    one, other = floats(50), codes(2, True, 8, 8)
    constants = {"a": one, "b": replace(one), "c": other, "d": replace(other), "e": Constant(array=one.array[None])}
    places, tensors = store(constants)
    assert places["a"] == places["b"] and places["c"] == places["d"] and set(tensors) == {FLOATS, "c"}
    places, tensors = store(constants, small=False)
    assert len(set(places.values())) == 5 and tensors[FLOATS].size == 4 * 150
    assert same(constants, round_trip(constants)) and same(constants, round_trip(constants, small=False))


PLACE = Place(kind="codes", tensor="c", shape=(8,), grid=Grid(low=-2, high=1))
TWO = np.zeros(2, np.uint8)


@pytest.mark.parametrize(
    ("places", "tensors", "number", "said"),
    [
        ({"c": PLACE}, {}, 0, "the tensor of constant c is missing"),
        ({"c": PLACE}, {"c": TWO, "d": TWO}, 0, "nothing uses its tensor d"),
        ({"c": PLACE}, {"c": np.zeros(3, np.uint8)}, 0, "has another length or is used in two ways"),
        ({"c": PLACE, "d": replace(PLACE, shape=(4, 2))}, {"c": TWO}, 0, "is used in two ways"),
        ({"c": Place(kind="floats", tensor=FLOATS, shape=(2,))}, {FLOATS: TWO}, 1, "c lies outside of the floats"),
        ({"c": PLACE}, {"c": TWO}, 5, "its floats are not there"),
        ({"c": replace(PLACE, tensor=FLOATS)}, {FLOATS: TWO}, 0, "the tensor of constant c is missing"),
        ({"c": replace(PLACE, shape=(1 << 40,))}, {"c": TWO}, 0, "ask for 1,099,511,627,776 bytes of memory"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_read(places: Any, tensors: Any, number: int, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        fits(places, tensors, number, 1 << 10)
    assert said in str(caught.value)


def test_no_more_is_inflated_than_was_said() -> None:
    bomb = np.frombuffer(zlib.compress(bytes(10_000_000)), np.uint8)
    for stream, plain in ((bomb, 20_000), (bomb, 10_000_001), (bomb[:-3], 10_000_000), (TWO, 100)):
        with pytest.raises(ValueError, match="its tensor c"):
            inflated("c", stream, plain)
    behind = np.frombuffer(zlib.compress(bytes(100)) + b"more", np.uint8)
    with pytest.raises(ValueError, match="its tensor c is not the 100 bytes"):
        inflated("c", behind, 100)


def test_one_bit_codes_and_small_indices_stay_within_the_ratio_when_they_are_plain() -> None:
    constants = {"c": codes(1, False, 1000), "i": Constant(array=RANDOM.integers(0, 256, 1000))}
    places, tensors = store(constants, small=False)
    assert asked(places) <= RATIO // 8 * sum(tensor.size for tensor in tensors.values())
