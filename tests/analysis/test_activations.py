"""What runs through a model, beside what hooks on the model itself say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import stillbit
from stillbit.analysis.activations import Flow, Ranges, measure
from stillbit.data.batch import Batch
from tests.surgery import tiny

WIDTH, HEAD = 48, 16


def batches(count: int = 6, size: int = 6) -> list[Batch]:
    images = tiny.images(count)
    numbers = torch.arange(count)
    parts = zip(images.split(size), numbers.split(size), strict=True)
    return [Batch(some, index % 5, index) for some, index in parts]


def found(model: nn.Module, *data: Batch) -> tuple[dict[Any, Flow], dict[Any, Ranges]]:
    flows, ranges = measure(model, data or batches())
    return {(f.layer, f.role, f.head): f for f in flows}, {(r.layer, r.by): r for r in ranges}


def inputs(model: nn.Module, name: str, images: Tensor) -> tuple[Tensor, Tensor]:
    held: list[Tensor] = []
    handle = model.get_submodule(name).register_forward_hook(lambda m, i, o: held.extend((i[0], o)))
    with torch.no_grad():
        model.eval()(images)
    handle.remove()
    return held[0], held[1]


def test_what_enters_a_layer_is_measured() -> None:
    model = tiny.vit()
    flows, _ = found(model)
    x = inputs(model, "blocks.1.mlp.fc2", tiny.images(6))[0].double().numpy()
    one = flows["blocks.1.mlp.fc2", "input", None]
    assert one.count == x.size and one.mean == pytest.approx(x.mean(), rel=1e-5)
    assert one.deviation == pytest.approx(x.std(), rel=1e-5)
    assert one.magnitude == pytest.approx(np.abs(x).mean(), rel=1e-5)
    assert one.kurtosis == pytest.approx(((x - x.mean()) ** 4).mean() / x.var() ** 2, rel=1e-4)
    assert one.peak == pytest.approx(np.abs(x).max() / np.abs(x).mean(), rel=1e-5)


def test_queries_keys_and_values_are_measured_head_by_head() -> None:
    model = tiny.vit()
    flows, _ = found(model)
    qkv = inputs(model, "blocks.0.attn.qkv", tiny.images(6))[1]
    key = qkv[..., WIDTH + HEAD : WIDTH + 2 * HEAD]
    one = flows["blocks.0.attn.qkv", "key", 1]
    assert one.magnitude == pytest.approx(key.abs().mean().item(), rel=1e-5) and one.count == key.numel()


def test_ranges_by_channel_and_by_token() -> None:
    model = tiny.vit()
    _, ranges = found(model)
    x = inputs(model, "blocks.0.mlp.fc1", tiny.images(6))[0].double().numpy()
    for by, axis in (("channel", 1), ("token", 2)):
        one = ranges["blocks.0.mlp.fc1", by]
        assert one.of == x.shape[3 - axis] and list(one.index) == sorted(set(one.index))
        picked = x.take(one.index, axis=3 - axis)
        low, high = np.quantile(picked, [0.01, 0.99], axis=axis).mean(1)
        np.testing.assert_allclose(one.low, picked.min(axis=(0, axis)), rtol=1e-5)
        np.testing.assert_allclose(one.high, picked.max(axis=(0, axis)), rtol=1e-5)
        np.testing.assert_allclose(one.low_usual, low, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(one.high_usual, high, rtol=1e-4, atol=1e-6)


def test_the_widest_channel_is_among_those_that_are_held() -> None:
    model: Any = tiny.vit()
    model.blocks[1].norm2.weight.data[29] = 40.0
    _, ranges = found(model)
    one = ranges["blocks.1.mlp.fc1", "channel"]
    widths = [high - low for low, high in zip(one.low, one.high, strict=True)]
    assert one.index[widths.index(max(widths))] == 29


def test_how_images_are_cut_into_batches_changes_nothing() -> None:
    model = tiny.vit()
    whole, single = (found(model, *batches(6, size)) for size in (6, 1))
    for place, one in whole[0].items():
        assert single[0][place].magnitude == pytest.approx(one.magnitude, rel=1e-5)
    for place, reach in whole[1].items():
        np.testing.assert_allclose(single[1][place].low_usual, reach.low_usual, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(single[1][place].high, reach.high, rtol=1e-4)


@pytest.mark.parametrize("name", ["deit", "registers", "swin", "swin_v2", "eva", "beit", "sret"])
def test_every_family_shows_its_queries(name: str) -> None:
    """Also where the model reads the weight of a projection past its forward."""
    flows, _ = found(tiny.FAMILIES[name]())
    assert {role for _, role, _ in flows} >= {"input", "query", "key", "value"}


@pytest.mark.parametrize("name", ["timm_resnet", "timm_vgg", "mixer", "plain"])
def test_other_models_show_what_enters_their_layers(name: str) -> None:
    flows, ranges = found(tiny.FAMILIES[name]())
    assert {role for _, role, _ in flows} == {"input"}
    assert any(by == "channel" for _, by in ranges)


def test_tokens_that_have_no_fixed_place_have_no_range() -> None:
    class Halves(nn.Module):
        """Runs its layer on all tokens, then on half as many at a time."""

        def __init__(self) -> None:
            super().__init__()
            self.embed, self.fc, self.head = nn.Conv2d(3, 8, 8, 8), nn.Linear(8, 8), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.fc(self.embed(x).flatten(2).mT)
            return self.head(self.fc(tokens.unflatten(1, (2, -1)).flatten(0, 1)).mean(1))

    _, ranges = found(Halves())
    assert ("fc", "channel") in ranges and ("fc", "token") not in ranges


def test_a_merged_model_is_measured_where_its_tokens_enter() -> None:
    model = stillbit.quantize(tiny.vit(), stillbit.Plan.uniform(4, 4, merge=True))
    stillbit.calibrate(model, [tiny.images()])
    flows, _ = found(model)
    qk, v = (flows[f"blocks.0.attn.{name}", "input", None] for name in ("qk", "v"))
    assert qk.magnitude == v.magnitude and ("blocks.0.attn.qk", "query-key", 2) in flows


def test_the_model_is_left_as_it_was() -> None:
    model = stillbit.quantize(tiny.vit(), "w4a4").train()
    stillbit.calibrate(model, [tiny.images()])
    before = {k: v.clone() for k, v in model.state_dict().items()}
    chance = torch.get_rng_state()
    measure(model, batches())
    assert torch.equal(chance, torch.get_rng_state()) and model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


def test_without_images_there_is_nothing_to_say() -> None:
    with pytest.raises(ValueError, match="not one layer of this model was reached: give images"):
        measure(tiny.vit(), [])
