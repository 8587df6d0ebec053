from __future__ import annotations

import torch

from stillbit.dynamics.boundary import positions
from stillbit.dynamics.trajectories import Trajectories
from stillbit.layers.walk import QuantizedWeight
from tests.dynamics import small


def look(paths: Trajectories, weights: list[QuantizedWeight], step: int) -> None:
    with torch.no_grad():
        for weight in weights:
            paths.see(weight.name, weight.latent())
        paths.close_look(step)


def test_a_path_holds_the_positions_of_the_drawn_weights() -> None:
    for method in ("lsq", "statsq", "dorefa"):
        weights = list(small.low(small.vit(3, method)).values())
        paths = Trajectories(weights, samples=5, window=4)
        for step in (10, 20):
            look(paths, weights, step)
            for weight in weights:
                steps, found = paths.path(weight.name)
                wanted = positions(weight.latent()).flatten()[paths.indices[weight.name]]
                torch.testing.assert_close(found[-1], wanted)
                assert steps.tolist() == list(range(10, step + 1, 10)) and found.shape == (len(steps), 5)
            weights[0].parameter.data.add_(0.01)


def test_the_window_forgets_what_is_oldest() -> None:
    weights = list(small.low(small.vit()).values())[:1]
    paths, name = Trajectories(weights, samples=3, window=4), weights[0].name
    seen = []
    for step in range(1, 8):
        weights[0].parameter.data.mul_(1.1)
        look(paths, weights, step)
        seen.append(paths.path(name)[1][-1])
    steps, path = paths.path(name)
    assert steps.tolist() == [4, 5, 6, 7] and torch.equal(path, torch.stack(seen[3:]))


def test_the_same_weights_are_drawn_at_every_start_and_nobody_elses_chance_is_touched() -> None:
    weights = list(small.low(small.vit()).values())
    state = torch.get_rng_state()
    first = Trajectories(weights, 6, 2)
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(9)
    second = Trajectories(weights, 6, 2)
    assert all(torch.equal(first.indices[n], second.indices[n]) for n in first.indices)
    assert all(len(set(index.tolist())) == 6 for index in first.indices.values())


def test_paths_go_on_where_their_state_was_taken() -> None:
    weights = list(small.low(small.vit()).values())
    first, second = Trajectories(weights, 3, 5), Trajectories(weights, 3, 5)
    for step in range(3):
        look(first, weights, step)
    second.load_state(first.state())
    for paths in (first, second):
        look(paths, weights, 3)
    for weight in weights:
        for one, other in zip(first.path(weight.name), second.path(weight.name), strict=True):
            assert torch.equal(one, other)
