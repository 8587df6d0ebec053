import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillbit.analysis.svg.axis import linear
from stillbit.analysis.svg.field import SQUARES, above, contours, levels, surface
from stillbit.analysis.svg.plane import Plane


def area(ring):
    """The shoelace formula; the sign says which way round."""
    return 0.5 * sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, [*ring[1:], ring[0]], strict=True))


def grid(count, of):
    at = [index / (count - 1) for index in range(count)]
    return at, [[of(x, y) for x in at] for y in at]


def test_levels_lie_between_the_ends_and_as_far_apart():
    assert levels(0.0, 13.0, 12) == pytest.approx(tuple(range(1, 13)))


def test_a_ramp_is_above_a_height_right_of_a_straight_line():
    at, heights = grid(9, lambda x, y: x)
    (ring,) = above(at, at, heights, 0.3)
    assert abs(area(ring)) == pytest.approx(0.7)
    assert min(x for x, _ in ring) == pytest.approx(0.3)


def test_a_bowl_is_above_a_height_outside_of_a_circle():
    at, heights = grid(81, lambda x, y: (x - 0.5) ** 2 + (y - 0.5) ** 2)
    rings = above(at, at, heights, 0.09)
    assert sorted(abs(area(ring)) for ring in rings) == pytest.approx([math.pi * 0.09, 1.0], abs=1e-3)
    inner = min(rings, key=lambda ring: abs(area(ring)))
    assert all(math.dist(place, (0.5, 0.5)) == pytest.approx(0.3, abs=1e-3) for place in inner)


def test_hills_apart_have_rings_of_their_own():
    at, heights = grid(41, lambda x, y: -min((x - a) ** 2 + (y - 0.5) ** 2 for a in (0.2, 0.8)))
    assert len(above(at, at, heights, -0.01)) == 2


@given(st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=4), min_size=4, max_size=4), st.integers(0, 5))
def test_all_that_is_above_is_inside_of_an_odd_number_of_rings(heights, level):
    at = [0.0, 1.0, 2.0, 3.0]
    rings = above(at, at, heights, level + 0.5)
    for row in range(4):
        for column in range(4):
            inside = sum(_winds(ring, (column, row)) for ring in rings) % 2 == 1
            on_border = any(math.dist(place, (column, row)) < 1e-9 for ring in rings for place in ring)
            assert on_border or inside == (heights[row][column] > level)


def _winds(ring, at):
    """Whether a ray to the right crosses the ring an odd number of times."""
    x, y = at[0], at[1] + 1e-7
    pairs = zip(ring, [*ring[1:], ring[0]], strict=True)
    return sum((a[1] > y) != (b[1] > y) and x < a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]) for a, b in pairs) % 2


def test_contours_have_a_colour_a_level_and_the_lowest_is_the_darkest():
    at, heights = grid(9, lambda x, y: x)
    plane = Plane(x=linear(at, tight=True), y=linear(at, tight=True))
    held = ElementTree.fromstring(contours(plane, at, at, heights, levels(0.0, 1.0, 3)))
    fills = [one.attrib["fill"] for one in held]
    assert len(set(fills)) == 4
    assert sum(int(fills[0][i : i + 2], 16) for i in (1, 3, 5)) < sum(int(fills[-1][i : i + 2], 16) for i in (1, 3, 5))


def test_a_flat_field_is_one_colour():
    at, heights = grid(3, lambda x, y: 1.0)
    plane = Plane(x=linear(at, tight=True), y=linear(at, tight=True))
    assert len(set(re.findall('fill="(#.{6})"', contours(plane, at, at, heights, ())))) == 1


def test_a_surface_has_a_square_between_four_points_and_not_too_many():
    _, heights = grid(5, lambda x, y: x * y)
    assert surface((0.0, 0.0, 100.0, 100.0), heights, (0.0, 1.0)).count("<path") == 16
    _, fine = grid(101, lambda x, y: x * y)
    assert surface((0.0, 0.0, 100.0, 100.0), fine, (0.0, 1.0)).count("<path") <= SQUARES**2


def test_what_is_higher_is_drawn_higher_and_all_of_it_in_the_box():
    def top(heights):
        drawn = surface((10.0, 20.0, 100.0, 80.0), heights, (0.0, 1.0))
        places = [tuple(map(float, p.split())) for one in re.findall('d="M(.*?)Z"', drawn) for p in one.split("L")]
        assert all(9.9 <= x <= 110.1 and 19.9 <= y <= 100.1 for x, y in places)
        return min(y for _, y in places)

    assert top(grid(5, lambda x, y: 1.0)[1]) < top(grid(5, lambda x, y: 0.0)[1])
