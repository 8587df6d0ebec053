from __future__ import annotations

import pytest
import torch
from torch import nn

from stillbit import dequantize, quantize
from stillbit.analysis.directions import direction, movable, move
from tests.surgery import tiny


def test_a_direction_moves_matrices_and_kernels_and_nothing_else() -> None:
    for family in ("vit", "swin_v2", "eva", "sret", "timm_resnet", "multihead"):
        model = tiny.FAMILIES[family]()
        layers = {id(m.weight): n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
        wanted = {name for name, p in model.named_parameters() if id(p) in layers or name.endswith("in_proj_weight")}
        assert set(movable(model)) == wanted and wanted


@pytest.mark.parametrize("plan", ["w2a2", "w4a4"])
def test_a_quantized_model_moves_the_same_weights_as_its_float_one_and_no_scale(plan: str) -> None:
    model = quantize(tiny.swin(), plan)
    assert list(movable(model)) == list(movable(dequantize(model)))


def test_every_filter_is_as_long_as_that_of_the_weight() -> None:
    weights = movable(tiny.timm_resnet())
    for name, drawn in direction(weights, seed=0, number=0).items():
        for row, filter in zip(drawn, weights[name], strict=True):
            assert row.norm().item() == pytest.approx(filter.norm().item(), rel=1e-5)
        assert drawn.dtype == weights[name].dtype and drawn.std() > 0


def test_a_filter_of_zeros_stays_where_it_is() -> None:
    weight = torch.randn(4, 3, 2, 2)
    weight[1] = 0.0
    drawn = direction({"w": weight}, seed=0, number=0)["w"]
    assert not drawn[1].any() and drawn[0].any() and drawn.isfinite().all()


def test_the_same_words_give_the_same_direction_and_others_another() -> None:
    weights = {"a.weight": torch.randn(6, 5), "b.weight": torch.randn(6, 5)}
    state = torch.get_rng_state()
    first = direction(weights, seed=1, number=0)
    assert torch.equal(state, torch.get_rng_state())
    again = direction(dict(reversed(weights.items())), seed=1, number=0)
    assert all(torch.equal(first[name], again[name]) for name in weights)
    for seed, number in ((2, 0), (1, 1)):
        other = direction(weights, seed=seed, number=number)
        assert not any(torch.allclose(first[name], other[name]) for name in weights)
    assert not torch.allclose(
        first["a.weight"] / first["a.weight"].norm(), first["b.weight"] / first["b.weight"].norm()
    )


def test_directions_look_normal_and_at_right_angles() -> None:
    weight = torch.ones(400, 500)
    one, other = (direction({"w": weight}, seed=0, number=n)["w"] for n in (0, 1))
    assert abs(one.mean().item()) < 0.01 and (one**4).mean().item() == pytest.approx(3, abs=0.1)
    assert abs((one * other).mean().item()) < 0.01


def test_a_move_adds_so_much_of_each_direction_and_zero_is_the_origin_to_the_bit() -> None:
    layer = nn.Linear(5, 4)
    parameters = movable(layer)
    origin = {"weight": layer.weight.detach().clone()}
    along = tuple(direction(origin, seed=0, number=n) for n in range(2))
    move(parameters, origin, along, (0.5, -2.0))
    torch.testing.assert_close(layer.weight.data, origin["weight"] + 0.5 * along[0]["weight"] - 2 * along[1]["weight"])
    move(parameters, origin, along, (0.0, 0.0))
    assert torch.equal(layer.weight, origin["weight"])
