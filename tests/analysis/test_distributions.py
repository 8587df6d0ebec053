"""Moments, outliers and histograms beside numpy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stillbit.analysis.distributions import BINS, LINES, QUANTILES, Spread, channels, ridges, spread
from stillbit.analysis.parts import Part, WeightLayer, weight_layers
from tests.surgery import tiny


def of(weight: Tensor) -> Spread:
    return spread(Part("layer", "linear", None, weight))


def one_layer(weight: Tensor) -> WeightLayer:
    layer = nn.Linear(weight.size(1), weight.size(0))
    layer.weight.data.copy_(weight)
    return weight_layers(layer)[0]


def test_moments_are_those_of_numpy() -> None:
    w = torch.randn(40, 50) ** 3 + 0.2
    found, x = of(w), w.double().numpy()
    away = (x - x.mean()) / x.std()
    assert found.mean == pytest.approx(x.mean(), rel=1e-12) and found.deviation == pytest.approx(x.std(), rel=1e-12)
    assert found.magnitude == pytest.approx(np.abs(x).mean(), rel=1e-12)
    assert found.kurtosis == pytest.approx((away**4).mean(), rel=1e-10)
    assert (found.beyond3, found.beyond6) == ((np.abs(away) > 3).mean(), (np.abs(away) > 6).mean())
    assert found.peak == pytest.approx(np.abs(x).max() / np.abs(x).mean(), rel=1e-12)
    assert found.beyond3 > found.beyond6 > 0


def test_kurtosis_is_3_for_normal_and_1_8_for_uniform_numbers() -> None:
    assert of(torch.randn(1000, 1000)).kurtosis == pytest.approx(3, abs=0.03)
    assert of(torch.linspace(-1, 1, 10**5)).kurtosis == pytest.approx(1.8, abs=1e-4)
    assert of(torch.randn(1000, 1000)).beyond3 == pytest.approx(0.0027, abs=3e-4)


def test_a_weight_of_equal_numbers_has_no_tails() -> None:
    zeros, ones = of(torch.zeros(3, 4)), of(torch.ones(3, 4))
    assert (zeros.kurtosis, zeros.peak, zeros.beyond3) == (0.0, 0.0, 0.0)
    assert (ones.kurtosis, ones.peak, ones.magnitude) == (0.0, 1.0, 1.0)


@pytest.mark.parametrize("side", ["output", "input"])
def test_a_planted_outlier_channel_tops_the_list_by_name_and_index(side: str) -> None:
    model: Any = tiny.vit()
    weight = model.blocks[1].mlp.fc1.weight.data
    weight[37] *= 20 if side == "output" else 1
    weight[:, 11] *= 20 if side == "input" else 1
    first = channels(weight_layers(model))[0]
    assert (first.layer, first.role, first.side) == ("blocks.1.mlp.fc1", "fc1", side)
    assert first.index == (37 if side == "output" else 11)
    whole = weight.double().abs().mean()
    channel = (weight[37] if side == "output" else weight[:, 11]).double().abs()
    assert first.loudness == pytest.approx((channel.mean() / whole).item(), rel=1e-12)
    assert first.peak == pytest.approx((channel.max() / whole).item(), rel=1e-12)


def test_a_loud_channel_of_an_attention_is_named_with_its_head() -> None:
    model: Any = tiny.vit()
    model.blocks[0].attn.qkv.weight.data[48 + 16 + 5] *= 30
    first = channels(weight_layers(model))[0]
    assert (first.layer, first.role, first.head, first.index) == ("blocks.0.attn.qkv", "key", 1, 69)


def test_channels_come_loudest_first() -> None:
    loud = [channel.loudness for channel in channels(weight_layers(tiny.swin()))]
    assert loud == sorted(loud, reverse=True) and len(loud) > 20


def test_a_histogram_is_that_of_numpy() -> None:
    w = torch.randn(30, 64)
    (plot,) = ridges(one_layer(w))
    assert plot.by == "channel" and plot.of == 30 and len(plot.lines) == LINES and len(plot.edges) == BINS + 1
    for line in plot.lines:
        row = w[line.index].double().numpy()
        inside = np.clip(row, plot.edges[0], plot.edges[-1])
        assert line.counts == tuple(np.histogram(inside, plot.edges)[0])
        np.testing.assert_allclose(line.quantiles, np.quantile(row, QUANTILES), rtol=1e-12)
        assert sum(line.counts) == 64


def test_lines_go_from_the_quietest_channel_to_the_loudest() -> None:
    w = torch.randn(100, 8) * torch.rand(100, 1)
    (plot,) = ridges(one_layer(w))
    loud = [w[line.index].abs().mean() for line in plot.lines]
    assert loud == sorted(loud) and loud[0] == w.abs().mean(1).min() and loud[-1] == w.abs().mean(1).max()


def test_heads_share_the_edges_of_their_layer() -> None:
    layer = next(one for one in weight_layers(tiny.vit()) if one.has_heads)
    by_head, by_channel = ridges(layer)
    assert by_head.by == "head" and by_head.edges == by_channel.edges and by_head.of == 9
    assert [(line.role, line.index) for line in by_head.lines[:4]] == [
        ("query", 0),
        ("query", 1),
        ("query", 2),
        ("key", 0),
    ]
    assert all(sum(line.counts) == 16 * 48 for line in by_head.lines)


@pytest.mark.parametrize("weight", [torch.zeros(3, 4), torch.ones(1, 1), torch.full((5, 2), -7.0)])
def test_a_weight_of_equal_numbers_can_be_drawn(weight: Tensor) -> None:
    (plot,) = ridges(one_layer(weight))
    assert all(sum(line.counts) == weight.size(1) for line in plot.lines)
    assert list(plot.edges) == sorted(set(plot.edges))
