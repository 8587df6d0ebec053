"""The hardware model beside its published figures and its formulas, worked out by hand."""

from __future__ import annotations

from math import ceil, log, log2

import pytest

from stillbit.analysis.hardware import Hardware, Work, adder, compare, composed, multiplier, unit, units

WORK = Work(macs=1e6, left=4.0, right=4.0, sums=1e4, blocks=1.0)


def of(*works: Work, modules: float = 1.0) -> Hardware:
    return compare(works, [modules] * len(works))


def test_the_published_figures_come_out_as_they_were_published() -> None:
    assert multiplier(8, 8) == pytest.approx((282, 0.2)) and multiplier(32, 32) == pytest.approx((3495, 3.1))
    assert adder(8) == pytest.approx((36, 0.03)) and adder(32) == pytest.approx((137, 0.1))
    named = {one.name: one for one in units()}
    assert (named["float32"].area, named["float32"].energy) == pytest.approx((11884, 4.6))
    assert (named["float16"].area, named["float16"].energy) == pytest.approx((3000, 1.5))


def test_between_the_figures_a_power_law_holds() -> None:
    p = log(3.1 / 0.2) / log(16)
    assert multiplier(4, 4).energy == pytest.approx(0.2 * (16 / 64) ** p)
    assert multiplier(2, 8) == multiplier(4, 4) == multiplier(8, 2)
    q = log(137 / 36) / log(4)
    assert adder(20).area == pytest.approx(36 * 2.5**q)


def test_the_published_adder_of_16_bits_is_near_the_law() -> None:
    """It was not used to make it: 67 square micrometres and 0.05 picojoules."""
    assert adder(16) == pytest.approx((67, 0.05), rel=0.12)


def test_a_unit_adds_as_wide_as_its_sum_gets() -> None:
    found = unit(4, 3, 100)
    assert found.area == pytest.approx(multiplier(4, 3).area + adder(4 + 3 + 7).area)
    assert found.energy == pytest.approx(multiplier(4, 3).energy + adder(14).energy)


def test_units_are_smaller_and_cheaper_with_fewer_bits() -> None:
    found = units()
    assert [one.area for one in found] == sorted((one.area for one in found), reverse=True)
    assert [one.energy for one in found] == sorted((one.energy for one in found), reverse=True)


def test_a_composed_unit_is_counted_brick_by_brick() -> None:
    four = composed(4, 4, 64)
    # Two rows of two bricks, each row joined by 6 bits, the rows by 8; a sum of 64 products of 8 bits has 14.
    assert four.area == pytest.approx(4 * multiplier(2, 2).area + 2 * adder(6).area + adder(8).area + adder(14).area)
    assert composed(3, 3, 64).area < four.area and composed(3, 3, 64).area > composed(2, 2, 64).area
    assert composed(2, 2, 64) == pytest.approx(unit(2, 2, 64))
    assert composed(1, 6, 64).energy == pytest.approx(
        3 * multiplier(2, 2).energy + adder(6).energy + adder(8).energy + adder(13).energy
    )


def test_single_precision_is_worked_out_by_hand() -> None:
    single = of(WORK, modules=3.0).designs[0]
    one = unit(4, 4, 100)
    assert single.name == "single" and single.mac_energy == pytest.approx(1e6 * one.energy / 1e6)
    assert single.scale_energy == pytest.approx(3 * 1e4 * (3.1 + 0.1) / 1e6)
    assert single.area == pytest.approx(one.area + (3495 + 137) * 3 * 1e4 / 1e6)
    assert single.energy == single.mac_energy + single.scale_energy


def test_imagined_mixed_precision_has_the_same_average_bits() -> None:
    found = of(WORK)
    single, widest, made = found.designs
    assert found.imagined and (found.weight_bits, found.activation_bits) == (4.0, 4.0)
    five, three = unit(5, 5, 100), composed(3, 3, 100)
    assert widest.mac_energy == pytest.approx(five.energy) and widest.area > five.area
    assert made.mac_energy == pytest.approx((three.energy + composed(5, 5, 100).energy) / 2)
    assert single.scale_energy == widest.scale_energy == made.scale_energy


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_at_equal_average_bits_single_precision_needs_less(bits: int) -> None:
    """The claim of VVTQ, under this model."""
    single, *mixed = of(WORK._replace(left=float(bits), right=float(bits))).designs
    for other in mixed:
        assert single.mac_energy < other.mac_energy and single.area < other.area


def test_many_scales_along_a_short_sum_cost_more_than_single_precision_saves() -> None:
    """Where the claim of VVTQ ends: a rescaling is worth dozens of products of 2 bits."""
    single, widest, _ = of(WORK._replace(left=2.0, right=2.0), modules=12.0).designs
    assert single.energy > widest.energy and single.area > widest.area


def test_the_model_s_own_mixture_is_taken_where_it_has_one() -> None:
    works = WORK._replace(left=2.0), WORK._replace(left=6.0, macs=3e6, sums=3e4)
    found = of(*works)
    assert not found.imagined and found.weight_bits == 5.0 and found.activation_bits == 4.0
    assert found.designs[1].mac_energy == pytest.approx(4 * unit(6, 4, 100).energy)
    assert found.designs[2].mac_energy == pytest.approx(composed(2, 4, 100).energy + 3 * composed(6, 4, 100).energy)


def test_one_bit_has_none_to_give_away() -> None:
    single, widest, made = of(WORK._replace(left=1.0, right=1.0)).designs
    assert single.mac_energy == widest.mac_energy and made.mac_energy > 0


def test_a_float_model_has_units_to_compare_and_no_designs() -> None:
    found = of()
    assert not found.designs and found.units == units() and found.weight_bits == 32.0


def test_accumulators_hold_the_largest_sum() -> None:
    """A sum of K products of w and a bits fits in w + a + ceil(log2 K)."""
    for w, a, length in ((2, 2, 192), (4, 4, 768), (8, 8, 3072)):
        largest = length * (2**w - 1) * (2**a - 1)
        assert largest < 2 ** (w + a + ceil(log2(length)))
