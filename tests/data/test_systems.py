from __future__ import annotations

import numpy as np
import pytest

from stillbit.data.chance import hashes, uniforms
from stillbit.data.systems import MOST, Systems, classes, orbit


@pytest.fixture(scope="module")
def systems() -> Systems:
    return classes(40, seed=3)


def test_a_class_is_the_same_among_few_and_among_many(systems: Systems) -> None:
    assert all((few == many[:5]).all() for few, many in zip(classes(5, seed=3), systems, strict=True))


def test_another_seed_draws_other_classes(systems: Systems) -> None:
    assert not np.allclose(classes(5, seed=4).turns, systems.turns[:5])


def test_every_map_contracts_also_in_the_neighbours_of_a_class(systems: Systems) -> None:
    near = systems.jittered(0.5, uniforms(6 * MOST, 0, np.arange(40)))
    for drawn, limit in ((systems, 0.9), (near, 0.95)):
        used = np.arange(MOST) < drawn.maps[:, None]
        norms = np.linalg.norm(drawn.matrices()[..., :2], ord=2, axis=(-2, -1))
        assert norms[used].max() <= limit + 1e-9
        assert np.allclose(norms[used], drawn.stretch.max(-1)[used])


def test_without_jitter_the_neighbour_of_a_class_is_itself(systems: Systems) -> None:
    used = np.arange(MOST) < systems.maps[:, None]
    assert (systems.jittered(0.0, np.ones((40, 6 * MOST))).matrices()[used] == systems.matrices()[used]).all()


def test_points_lie_on_the_attractor(systems: Systems) -> None:
    """The attractor is the union of its images: every point is a map of an earlier one, by the map that was chosen."""
    few = systems.pick(np.arange(4))
    x, y, _ = orbit(few, hashes(4 * 8, 0, np.arange(4)), 32)
    matrices = few.matrices()
    for n in range(4):
        points = np.stack([x[:, n], y[:, n], np.ones_like(x[:, n])])
        reached = np.einsum("mij,jtw->mitw", matrices[n, : few.maps[n]], points[:, :-1])
        away = abs(reached - points[:2, 1:]).max(1).min(0)
        assert away.max() < 1e-5


def test_walkers_begin_at_fixed_points_so_no_step_is_lost(systems: Systems) -> None:
    few = systems.pick(np.arange(4))
    x, y, _ = orbit(few, hashes(8 * 4, 0, np.arange(4)), 8)
    long_x, long_y, _ = orbit(few, hashes(512 * 4, 1, np.arange(4)), 512)
    for n in range(4):
        walk = np.stack([long_x[256:, n].ravel(), long_y[256:, n].ravel()], -1)
        first = np.stack([x[0, n], y[0, n]], -1)
        near = abs(walk[None] - first[:, None]).max(-1).min(1)
        assert near.max() < 0.05 * np.ptp(walk)


def test_every_map_of_a_system_is_used_and_no_other(systems: Systems) -> None:
    x, _, shade = orbit(systems, hashes(32 * 8, 0, np.arange(40)), 32)
    assert np.isfinite(x).all() and shade.min() >= 0 and shade.max() <= 1
    assert (shade[1:].max((0, 2)) > 0.5).all() and (shade[1:].min((0, 2)) < 0.5).all()
