"""Codes at their true width, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillbit.deploy.file.pack import length_of, pack, unpack
from stillbit.deploy.program import Grid


@given(bits=st.integers(1, 8), signed=st.booleans(), count=st.integers(0, 400), seed=st.integers(0, 2**32 - 1))
def test_codes_come_back_and_lie_where_the_layout_says(bits: int, signed: bool, count: int, seed: int) -> None:
    low = -(1 << (bits - 1)) if signed else 0
    codes = np.random.default_rng(seed).integers(low, low + (1 << bits), count)
    stream = pack(codes, low, bits)
    assert stream.size == length_of(count, bits) == -(-count * bits // 8)
    assert (unpack(stream, count, low, bits) == codes).all()
    plain = np.unpackbits(stream, bitorder="little")
    assert (low + plain[: count * bits].reshape(count, bits) @ (1 << np.arange(bits)) == codes).all()
    assert not plain[count * bits :].any()


@pytest.mark.parametrize("bits", range(1, 9))
def test_many_codes_are_worked_on_in_parts(bits: int) -> None:
    codes = np.random.default_rng(0).integers(0, 1 << bits, 600_001)
    assert (unpack(pack(codes, 0, bits), codes.size, 0, bits) == codes).all()


def test_a_stream_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="10 codes of 3 bits are 4 bytes, not 3"):
        unpack(np.zeros(3, np.uint8), 10, 0, 3)


def test_a_width_holds_all_codes_between_its_ends() -> None:
    ends = (0, 0), (0, 1), (-2, 1), (-4, 3), (0, 255)
    assert [Grid(low=low, high=high).bits for low, high in ends] == [1, 1, 2, 3, 8]


def test_eight_bits_are_signed_where_they_can_be() -> None:
    assert unpack(pack(np.array([-128, 127]), -128, 8), 2, -128, 8).dtype == np.int8
    assert unpack(pack(np.array([0, 255]), 0, 8), 2, 0, 8).dtype == np.int16
