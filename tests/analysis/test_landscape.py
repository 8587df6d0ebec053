from __future__ import annotations

from dataclasses import replace

import pytest

from stillbit.analysis.hessian import Curvature
from stillbit.analysis.landscape import Landscape, Surface
from stillbit.analysis.record import from_json, to_json


def surface(losses: tuple[float | None, ...], *curvatures: Curvature) -> Surface:
    return Surface(
        of="float",
        about="latents",
        weights="w",
        losses=losses,
        top1s=tuple(50.0 for _ in losses),
        curvatures=curvatures,
    )


def landscape(points: int, dimensions: int, *surfaces: Surface, reach: float = 1.0) -> Landscape:
    return Landscape(
        subject="run",
        about="best.pt",
        data="d",
        dimensions=dimensions,  # type: ignore[arg-type]
        points=points,
        reach=reach,
        images=8,
        seed=0,
        surfaces=surfaces,
    )


def plane(points: int) -> tuple[float, ...]:
    """Ten times the slow number plus the fast one."""
    return tuple(float(10 * row + column) for row in range(points) for column in range(points))


@pytest.mark.parametrize("points", [3, 5, 21, 101])
@pytest.mark.parametrize("reach", [1.0, 0.3, 7.0])
def test_coordinates_lie_evenly_around_an_exact_zero_and_reach_the_ends(points: int, reach: float) -> None:
    at = landscape(points, 1, reach=reach).coordinates
    assert at[points // 2] == 0.0 and at[0] == -reach and at[-1] == reach
    assert at == tuple(-x for x in reversed(at)) and list(at) == sorted(set(at))


def test_the_centre_is_the_middle_of_the_grid() -> None:
    assert surface(plane(5)).loss == 22.0 and surface((3.0, 1.0, 4.0)).loss == 1.0


def test_rings_hold_what_is_equally_far() -> None:
    losses = plane(5)
    edge = [losses[r * 5 + c] for r in range(5) for c in range(5) if 4 in (r, c) or 0 in (r, c)]
    assert surface(losses).at(1.0, 5) == (sum(edge) / 16, 44.0)
    inner = [losses[r * 5 + c] for r in (1, 2, 3) for c in (1, 2, 3) if (r, c) != (2, 2)]
    assert surface(losses).at(0.5, 5) == (sum(inner) / 8, 33.0)
    assert surface((5.0, 2.0, 1.0, 3.0, 9.0)).at(1.0, 5) == (7.0, 9.0)
    assert surface((5.0, 2.0, 1.0, 3.0, 9.0)).at(0.5, 5) == (2.5, 3.0)


def test_what_is_missing_is_said_and_comes_back_from_json() -> None:
    held = landscape(3, 1, surface((None, 1.0, 2.0)), surface((1.0, 0.5, 2.0)))
    assert not held.done and held.surfaces[0].at(1.0, 3) is None
    table = held.tables()[0]
    assert "Still missing: 1 of the points; the same command goes on." in table.note
    assert table.rows[0][2:] == (1.0, None, None, None, None)
    assert from_json(Landscape, to_json(held), "x") == held
    whole = replace(held, surfaces=held.surfaces[1:])
    assert whole.done and "missing" not in whole.tables()[0].note


def test_the_curvature_has_a_table_of_its_own_where_it_was_asked_for() -> None:
    bent = Curvature(how="differences", distance=0.01, eigenvalue=9.5, iterations=7, residual=0.1, images=8)
    assert len(landscape(3, 1, surface((1.0, 0.5, 2.0))).tables()) == 1
    table = landscape(3, 1, surface((1.0, 0.5, 2.0), bent)).tables()[1]
    assert table.rows == (("float", "differences", 0.01, 9.5, 0.1, 7, 8),)
