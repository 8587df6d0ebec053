"""Float and quantized attention side by side."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

import stillbit
from stillbit.analysis.attention import Attention, Shown, compute
from stillbit.analysis.maps import fused, rollout
from stillbit.analysis.probabilities import Probabilities
from stillbit.analysis.record import from_json, to_json
from stillbit.analysis.twin import open_twin
from stillbit.data.batch import Batch
from stillbit.data.look import Look
from tests.surgery import tiny

LOOK = Look((32, 32))


def batches(count: int = 5, size: int = 5) -> list[Batch]:
    images, numbers = tiny.images(count), torch.arange(count)
    return [
        Batch(some, index % 3, 10 + index) for some, index in zip(images.split(size), numbers.split(size), strict=True)
    ]


def sharp(make: Any = tiny.vit) -> Any:
    """A model whose attention differs from key to key."""
    model = make()
    for name, weight in model.named_parameters():
        if "qkv.weight" in name or "q_proj.weight" in name or "k_proj.weight" in name:
            weight.data *= 12
    return model.eval()


def low(model: nn.Module, bits: Any) -> nn.Module:
    quantized = stillbit.quantize(model, bits)
    stillbit.calibrate(quantized, [tiny.images(5)])
    return quantized


def look(*models: nn.Module, keep: int = 2, data: list[Batch] | None = None) -> Attention:
    shown = [Shown(f"model {i}", "made here", model) for i, model in enumerate(models)]
    return compute(shown, batches() if data is None else data, subject="tests", look=LOOK, keep=keep)


def test_a_model_is_like_itself() -> None:
    model = sharp()
    found = look(model, model)
    assert found.models[0].layers == found.models[1].layers and found.models[0].maps == found.models[1].maps
    for seen in found.models:
        assert seen.fused_correlation == pytest.approx(1) and seen.rollout_correlation == pytest.approx(1)
        for layer in seen.layers:
            assert layer.correlation == pytest.approx((1.0,) * 3) and layer.silent == (0.0,) * 3


def test_fewer_bits_look_less_like_float() -> None:
    model = sharp()
    found = look(model, low(model, "w8a8"), low(model, "w4a4"), low(model, "w2a2"))
    means = [sum(sum(layer.correlation) for layer in seen.layers) / 6 for seen in found.models]
    assert means == sorted(means, reverse=True) and means[1] > 0.8 and means[3] < 0.5
    assert found.models[1].rollout_correlation > found.models[3].rollout_correlation  # type: ignore[operator]


def test_numbers_are_means_over_all_images_and_queries() -> None:
    model = sharp()
    found = look(model, data=batches(10, 10))
    opened = open_twin(model)
    with torch.no_grad(), Probabilities(opened) as looked:
        opened(tiny.images(10))
        attended = looked.take()
    for layer in found.models[0].layers:
        p = attended[layer.layer].double()
        entropy = -(p * p.log()).sum(-1).mean((0, 2))
        assert layer.entropy == pytest.approx(entropy.tolist(), rel=1e-5) and layer.keys == 17
    assert found.images == 10


def test_how_images_are_cut_into_batches_changes_nothing() -> None:
    model = sharp()
    whole, single = (look(model, low(model, "w4a4"), data=batches(10, size)) for size in (10, 1))
    for one, other in zip(whole.models, single.models, strict=True):
        for a, b in zip(one.layers, other.layers, strict=True):
            assert a.entropy == pytest.approx(b.entropy, rel=1e-3)
            assert a.correlation == pytest.approx(b.correlation, abs=0.02)
    assert whole.pictures == single.pictures


def test_even_attention_has_the_most_entropy() -> None:
    model: Any = tiny.vit()
    model.blocks[0].attn.qkv.weight.data[:48] = 0
    model.blocks[0].attn.qkv.bias.data[:48] = 0
    layer = look(model).models[0].layers[0]
    assert layer.entropy == pytest.approx((math.log(17),) * 3, rel=1e-5)
    assert layer.correlation == (0.0,) * 3, "what has no order is like nothing, itself included"


def test_who_snaps_every_probability_to_zero_is_silent() -> None:
    model = sharp()
    quantized: Any = low(model, "w4a4")
    quantized.blocks[0].attn.probability_quantizer.scale.data.fill_(100.0)
    first, second = look(model, quantized).models[1].layers
    assert first.silent == (1.0,) * 3 and first.entropy == first.correlation == (0.0,) * 3
    assert max(second.silent) < 1


def test_a_head_that_was_changed_is_found() -> None:
    model = sharp()
    other = sharp()
    other.load_state_dict(model.state_dict())
    other.blocks[1].attn.qkv.weight.data[16:32] *= -1  # the queries of head 1
    layer = look(model, other).models[1].layers[1]
    assert layer.correlation[1] < 0 and layer.correlation[0] == layer.correlation[2] == pytest.approx(1)


def test_maps_are_kept_of_the_first_images() -> None:
    model = sharp()
    found = look(model, low(model, "w4a4"), keep=3, data=batches(10, 4))
    assert [picture.number for picture in found.pictures] == [10, 11, 12]
    assert [picture.target for picture in found.pictures] == [0, 1, 2]
    opened = open_twin(model)
    with torch.no_grad(), Probabilities(opened) as looked:
        opened(tiny.images(10)[:3])
        layers = list(looked.take().values())
    for seen in found.models:
        assert len(seen.maps) == 3
    for name, whole in (("fused", fused(layers)), ("rollout", rollout(layers))):
        row = whole[2, 0, 1:]
        expected = (row / row.sum()).unflatten(0, (4, 4))
        kept = torch.tensor(getattr(found.models[0].maps[2], name), dtype=torch.float64)
        torch.testing.assert_close(kept, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ["deit", "registers", "eva", "beit"])
def test_families_with_one_grid_have_maps(name: str) -> None:
    model = sharp(tiny.FAMILIES[name])
    found = look(model, low(model, "w4a4"))
    assert not found.no_maps and all(len(seen.maps) == 2 for seen in found.models) and found.reads


@pytest.mark.parametrize("name", ["swin", "swin_v2", "sret"])
def test_windows_and_groups_have_numbers_and_no_maps(name: str) -> None:
    model = sharp(tiny.FAMILIES[name])
    found = look(model, low(model, "w4a4"))
    assert "no token looks at the whole image" in found.no_maps and not found.pictures and not found.reads
    assert all(not seen.maps and seen.fused_correlation is None for seen in found.models)
    assert "There are no maps: its attention is inside windows" in found.tables()[0].note


def test_merged_attention_is_compared_with_float() -> None:
    model = sharp()
    merged = stillbit.quantize(model, stillbit.Plan.uniform(32, 32, merge=True))
    found = look(model, merged)
    for layer in found.models[1].layers:
        assert layer.correlation == pytest.approx((1.0,) * 3, abs=1e-3)


def test_a_record_comes_back_from_json() -> None:
    model = sharp()
    found = look(model, low(model, "w2a2"))
    assert from_json(Attention, to_json(found), "a test") == found
    first, second = found.tables()
    assert [row[0] for row in first.rows] == ["model 0", "model 1"]
    worst = [row[5] for row in second.rows]
    assert worst == sorted(worst) and len(second.rows) == 4  # type: ignore[type-var]


def test_models_are_left_as_they_were() -> None:
    model, quantized = sharp().train(), low(sharp(), "w4a4").train()
    before = {k: v.clone() for k, v in quantized.state_dict().items()}
    chance = torch.get_rng_state()
    look(model, quantized)
    assert torch.equal(chance, torch.get_rng_state()) and model.training and quantized.training
    assert all(torch.equal(v, before[k]) for k, v in quantized.state_dict().items())
    assert not any(m._forward_hooks for m in (*model.modules(), *quantized.modules()))


@pytest.mark.parametrize(
    ("make", "why"),
    [(tiny.timm_resnet, "it has none"), (tiny.cait, "that of blocks.0.attn is known to no family")],
)
def test_a_model_that_shows_no_attention_is_refused(make: Any, why: str) -> None:
    with pytest.raises(ValueError, match=rf"shows no attention \({why}\): give a vision transformer of timm's"):
        look(make())


def test_another_model_is_no_comparison() -> None:
    with pytest.raises(ValueError, match="model 1 has other attentions than the model it is compared with"):
        look(tiny.vit(), tiny.vit(depth=1))


def test_broken_weights_are_refused_by_name() -> None:
    model = sharp()
    model.blocks[0].mlp.fc1.weight.data[0, 0] = math.nan
    with pytest.raises(ValueError, match=r"model 0 .*blocks\.0\.mlp\.fc1\.weight"):
        look(model)


def test_attention_needs_an_image() -> None:
    with pytest.raises(ValueError, match="attention is looked at over images or texts: give one at least"):
        look(tiny.vit(), data=[])
