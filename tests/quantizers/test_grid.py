import dataclasses
import math

import pytest

from stillbit.quantizers import Grid
from stillbit.quantizers.grid import FLOAT_BITS, check_bits

WRONG_BITS = [
    (0, 1),
    (-3, 1),
    (9, 8),
    (16, 8),
    (33, 8),
    ("4", 4),
    ("8 bits", 4),
    (2.5, 2),
    (4.0, 4),
    (True, 1),
    (None, 4),
    (math.nan, 4),
    (math.inf, 4),
    ([4], 4),
]


@pytest.mark.parametrize(("bits", "instead"), WRONG_BITS, ids=lambda value: repr(value))
def test_wrong_bits_are_refused_with_what_to_write(bits, instead):
    for asked in (check_bits, Grid):
        with pytest.raises(ValueError) as refusal:
            asked(bits)
        assert str(refusal.value) == (
            f"bits must be a whole number from 1 to 8, or 32 for float, got {bits!r}: write bits={instead}"
        )


@pytest.mark.parametrize("bits", [*range(1, 9), FLOAT_BITS])
def test_right_bits_come_back_as_they_are(bits):
    assert check_bits(bits) == bits


@pytest.mark.parametrize(
    ("grid", "low", "high", "edges"),
    [
        (Grid(2), -2, 1, (-2.0, 1.0)),
        (Grid(4), -8, 7, (-8.0, 7.0)),
        (Grid(8), -128, 127, (-128.0, 127.0)),
        (Grid(1, signed=False), 0, 1, (0.0, 1.0)),
        (Grid(4, signed=False), 0, 15, (0.0, 15.0)),
        (Grid(8, signed=False), 0, 255, (0.0, 255.0)),
        (Grid(1, offset=0.5), -1, 0, (-0.5, 0.5)),
        (Grid(2, offset=0.5), -2, 1, (-1.5, 1.5)),
        (Grid(4, offset=0.5), -8, 7, (-7.5, 7.5)),
    ],
    ids=str,
)
def test_a_grid_knows_its_codes_and_its_edges(grid, low, high, edges):
    assert (grid.low, grid.high, grid.edges) == (low, high, edges)
    assert grid.levels == high - low + 1 == 2**grid.bits


@pytest.mark.parametrize("bits", range(1, 9))
def test_a_mid_rise_grid_is_symmetric_and_has_no_zero(bits):
    grid = Grid(bits, offset=0.5)
    levels = [code + grid.offset for code in range(grid.low, grid.high + 1)]
    assert levels == [-level for level in reversed(levels)]
    assert 0 not in levels
    assert grid.edges[0] == -grid.edges[1]


def test_float_has_no_grid():
    with pytest.raises(ValueError, match="a float tensor has no grid: leave the quantizer out"):
        Grid(FLOAT_BITS)


@pytest.mark.parametrize("offset", [0.25, 1.0, -0.5])
def test_an_offset_is_none_or_half(offset):
    with pytest.raises(ValueError, match=r"offset must be 0 \(mid-tread\) or 0.5 \(mid-rise\)"):
        Grid(4, offset=offset)


def test_an_unsigned_grid_has_no_half_step():
    with pytest.raises(ValueError, match=r"symmetric: write Grid\(bits, signed=True, offset=0.5\)"):
        Grid(4, signed=False, offset=0.5)


def test_one_signed_bit_needs_a_symmetric_grid():
    with pytest.raises(ValueError, match=r"write Grid\(1, signed=True, offset=0.5\) for \{-1, 1\}"):
        Grid(1)


def test_grids_are_values():
    assert Grid(4) == Grid(4, True, 0.0)
    assert len({Grid(4), Grid(4), Grid(4, False), Grid(4, offset=0.5)}) == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        Grid(4).bits = 3


def test_a_grid_says_itself_in_a_word():
    assert [str(g) for g in (Grid(4), Grid(4, signed=False), Grid(4, offset=0.5))] == ["4", "4u", "4r"]
