"""Another image size: what belongs to a token follows it to its new place."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

import stillbit
from stillbit import AttentionSpec, LayerSpec, Plan, Rule, Spec, per_channel, per_group, per_head, per_tensor, per_token
from stillbit.layers.walk import quantizers
from stillbit.surgery.resample import Tokens
from tests.surgery import tiny

TOKEN = Spec(4, granularity=per_token, moves=True)


def plan_of(attention: AttentionSpec, *rules: Rule) -> Plan:
    """Every activation of a block with a scale a token."""
    linear = LayerSpec(Spec(4, granularity=per_channel), TOKEN)
    return Plan.uniform(4, 4).but(Rule("@attention", attention), *rules, Rule("blocks.*", linear))


PLAN = plan_of(AttentionSpec.all(TOKEN))
MERGED = plan_of(AttentionSpec.all(TOKEN, merge=True))


def trained(make: Any = tiny.vit, plan: Plan = PLAN) -> Any:
    """A calibrated model, its scales moved apart as training would."""
    model = stillbit.quantize(make(**({"depth": 1} if make in (tiny.vit, tiny.deit) else {})), plan).eval()
    stillbit.calibrate(model, [tiny.images(2)], "mean_magnitude")
    with torch.no_grad():
        for _, role, quantizer in quantizers(model):
            if role != "weight":
                quantizer.scale.mul_(torch.rand(quantizer.scale.shape) + 0.5)
    return model


def images(size: int) -> Tensor:
    return nn.functional.interpolate(tiny.images(2), size)


# ----------------------------------------------------------------------------------------------------- numbers


def test_the_prefix_keeps_its_numbers_and_patches_keep_their_place() -> None:
    """By a loop: the value at the centre of each new patch, between the centres of the old ones."""
    tokens = Tokens(prefix=2, old=(3, 2), new=(6, 5))
    x = torch.randn(2 + 6, 4, dtype=torch.float64)
    y = tokens.resampled(x, 0)
    assert tokens.counts == (8, 32) and y.shape == (32, 4)
    assert torch.equal(y[:2], x[:2])
    image = x[2:].reshape(3, 2, 4)
    for row in range(6):
        for column in range(5):
            at = [(row + 0.5) * 3 / 6 - 0.5, (column + 0.5) * 2 / 5 - 0.5]
            below = [min(max(math.floor(a), 0), n - 2) for a, n in zip(at, (3, 2), strict=True)]
            part = [min(max(a - b, 0.0), 1.0) for a, b in zip(at, below, strict=True)]
            expected = sum(
                (part[0] if i else 1 - part[0]) * (part[1] if j else 1 - part[1]) * image[below[0] + i, below[1] + j]
                for i in (0, 1)
                for j in (0, 1)
            )
            torch.testing.assert_close(y[2 + row * 5 + column], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
def test_tokens_may_lie_along_any_axis(axis: int) -> None:
    tokens = Tokens(prefix=1, old=(2, 2), new=(3, 4))
    rows = torch.randn(5, 3)
    shape = [3, 3]
    x = rows if axis in (0, -2) else rows.mT
    expected = tokens.resampled(rows, 0)
    found = tokens.resampled(x.contiguous(), axis)
    assert found.is_contiguous() and shape
    assert torch.equal(found, expected if axis in (0, -2) else expected.mT)


@pytest.mark.parametrize("size", [16, 64])
@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("make", [tiny.vit, tiny.deit])
def test_scales_of_tokens_are_interpolated_in_the_logarithm(make: Any, merge: bool, size: int) -> None:
    model = trained(make, MERGED if merge else PLAN)
    with torch.no_grad():  # a sign that training turned round is no size
        model.blocks[0].mlp.fc1.input_quantizer.inner.scale[3] *= -1
    other: Any = stillbit.resample(model, size)
    prefix, side = model.num_prefix_tokens, size // 8
    before, after = ({(n, r): q for n, r, q in quantizers(m)} for m in (model, other))
    assert before.keys() == after.keys()
    several = 0
    for key, old in before.items():
        new = after[key]
        if key[1] == "weight" or old.scale.numel() == 1:
            assert torch.equal(new.scale, old.scale) and new.blocks == old.blocks
            continue
        several += 1
        patches = old.scale.detach().abs()[..., prefix:, :].flatten().log().reshape(1, 1, 4, 4)
        wanted = nn.functional.interpolate(patches, (side, side), mode="bilinear", antialias=True).exp().flatten()
        assert new.blocks == tuple(new.scale.shape) and new.scale.size(-2) == prefix + side * side
        torch.testing.assert_close(new.scale[..., prefix:, :].flatten(), wanted, rtol=1e-6, atol=0)
        assert torch.equal(new.scale[..., :prefix, :], old.scale[..., :prefix, :].abs())
        assert new.scale.requires_grad and new.is_started()
    assert several == (7 if merge else 8)


def test_the_model_computes_at_its_new_size_and_trains() -> None:
    model = trained()
    other: Any = stillbit.resample(model, 64)
    assert other is not model and model(images(32)).shape == (2, 10)
    y = other(images(64))
    y.square().sum().backward()
    assert y.shape == (2, 10)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in other.parameters())
    assert stillbit.summary(other).calibrated
    with pytest.raises(AssertionError, match="Input height"):
        other(images(32))


def test_a_scale_that_grows_from_side_to_side_grows_as_evenly_at_another_size() -> None:
    """In the logarithm: from 1 to 64 over four patches it is times 4 each, and times 2 over the eight between."""
    x = torch.cat([torch.tensor([5.0]), 4.0 ** torch.arange(4).repeat(4)]).reshape(1, 17, 1)
    y = Tokens(prefix=1, old=(4, 4), new=(8, 8)).resampled(x, -2, sizes=True)
    rows = y[0, 1:, 0].reshape(8, 8)
    assert y[0, 0, 0] == 5.0
    torch.testing.assert_close(rows[3, 2:-1] / rows[3, 1:-2], torch.full((5,), 2.0))
    assert x[0, 1:].min() <= rows.min() and rows.max() <= x.max() * (1 + 1e-6)


def test_the_same_size_changes_no_number() -> None:
    model = trained()
    same: Any = stillbit.resample(model, (32, 32))
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), same.state_dict().values(), strict=True))


def test_a_rectangle_is_resampled_side_by_side() -> None:
    other: Any = stillbit.resample(trained(), (32, 64))
    assert other(nn.functional.interpolate(tiny.images(2), (32, 64))).shape == (2, 10)
    assert other.blocks[0].mlp.fc1.input_quantizer.blocks == (1 + 4 * 8, 1)


@pytest.mark.parametrize("granularity", [per_tensor, per_head], ids=str)
def test_without_scales_of_tokens_another_size_is_all_there_is_to_do(granularity: Any) -> None:
    """The alternative: one scale a tensor (or a head) knows of no resolution."""
    plan = Plan.uniform(4, 4).but(Rule("@attention", AttentionSpec.all(Spec(4, granularity=granularity))))
    model = trained(plan=plan)
    other: Any = stillbit.resample(model, 64)
    ours, theirs = other.state_dict(), model.state_dict()
    assert {name for name in ours if not torch.equal(ours[name], theirs[name])} == {"pos_embed"}
    model.set_input_size(64)
    assert torch.equal(other(images(64)), model(images(64)))


def test_scales_and_shifts_of_keys_follow_the_keys() -> None:
    """Probabilities have tokens on both axes."""
    every = Spec(4, granularity=per_channel)
    shifted = Rule("*.fc2", LayerSpec(Spec(4), Spec(4, granularity=per_token, range="shifted")))
    model = trained(plan=plan_of(AttentionSpec(TOKEN, TOKEN, TOKEN, probability=every), shifted))
    other: Any = stillbit.resample(model, 64)
    assert other.blocks[0].attn.probability_quantizer.scale.shape == (3, 1, 65)
    old, new = model.blocks[0].mlp.fc2.input_quantizer, other.blocks[0].mlp.fc2.input_quantizer
    assert new.shift.shape == (65, 1) and torch.equal(new.shift[0], old.shift[0])
    patches = old.shift.detach()[1:].reshape(1, 1, 4, 4)
    wanted = nn.functional.interpolate(patches, (8, 8), mode="bilinear").flatten()
    torch.testing.assert_close(new.shift[1:].flatten(), wanted)
    assert other(images(64)).isfinite().all()


def test_the_runs_of_a_layer_are_resampled_one_by_one() -> None:
    each = Spec(4, granularity=per_token, each_run=True)
    model = trained(plan=PLAN.but(Rule("*.fc1", LayerSpec(Spec(4), each))))
    assert stillbit.resample(model, 64).blocks[0].mlp.fc1.input_quantizer.blocks == (65, 1)


# --------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"])
def test_a_file_from_one_size_is_loaded_at_another(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    small = timm.create_model(name, img_size=64, depth=1, num_classes=10)
    model = stillbit.quantize(small, PLAN).eval()
    stillbit.calibrate(model, [torch.randn(2, 3, 64, 64)])
    path = stillbit.save(model, tmp_path / "small.safetensors")
    large: Any = stillbit.load(path, small, img_size=96)
    x = torch.randn(2, 3, 96, 96)
    assert torch.equal(large(x), stillbit.resample(model, 96)(x))
    again: Any = stillbit.load(stillbit.save(large, tmp_path / "large.safetensors"), _float_like(name, 96))
    assert torch.equal(again(x), large(x)) and not again.training


def _float_like(name: str, size: int) -> nn.Module:
    return timm.create_model(name, img_size=size, depth=1, num_classes=10)


# ------------------------------------------------------------------------------------------------------- windows


@pytest.mark.parametrize("make", [tiny.swin, tiny.swin_v2])
def test_windows_have_the_same_tokens_at_every_size(make: Any) -> None:
    token = Spec(4, granularity=per_token)
    plan = Plan.uniform(4, 4).but(Rule("@attention", AttentionSpec.all(token)), Rule("@qkv", LayerSpec(Spec(4), token)))
    model = trained(make, plan)
    other: Any = stillbit.resample(model, 64)
    before, after = ([(q.blocks, q.scale) for _, _, q in quantizers(m)] for m in (model, other))
    assert all(a == b and torch.equal(s, t) for (a, s), (b, t) in zip(before, after, strict=True))
    assert any(blocks[-2:] == (16, 1) for blocks, _ in after)
    assert other(images(64)).shape == (2, 10)


# timm's, when it resizes a table of positions
@pytest.mark.filterwarnings("ignore:torch.searchsorted:UserWarning", "ignore:Using a non-tuple sequence:UserWarning")
def test_windows_that_do_not_fit_into_the_image_any_more_are_refused() -> None:
    plan = Plan.uniform(4, 4).but(Rule("@attention", AttentionSpec.all(Spec(4, granularity=per_token))))
    with pytest.raises(ValueError, match=r"cannot be resampled to images of 12: there are scales for 16 tokens, and 9"):
        stillbit.resample(trained(tiny.swin, plan), 12)


# ------------------------------------------------------------------------------------------------------- refusals


def test_groups_of_keys_are_refused() -> None:
    groups = AttentionSpec(TOKEN, TOKEN, TOKEN, Spec(4, granularity=per_group(17)))
    model = trained(plan=plan_of(groups))
    stillbit.resample(model, 64)  # one group of all keys is no group
    groups = AttentionSpec(TOKEN, TOKEN, TOKEN, Spec(4, granularity=per_group(9)))
    model = trained(tiny.deit, plan_of(groups))
    with pytest.raises(ValueError, match="groups of keys do not survive another image size: use per_tensor"):
        stillbit.resample(model, 64)


def test_a_model_that_has_one_size_only_says_so() -> None:
    with pytest.raises(ValueError, match=r"MlpMixer does not change its image size \(it has no set_input_size\)"):
        stillbit.resample(stillbit.quantize(tiny.mixer(), "w4a4"), 64)


def test_a_float_model_is_told_what_it_needs() -> None:
    with pytest.raises(ValueError, match=r"a float one needs only model.set_input_size\(img_size\)"):
        stillbit.resample(tiny.vit(), 64)


def test_a_token_too_many_is_told_about_resampling() -> None:
    model = trained()
    model.set_input_size(64)
    with pytest.raises(
        ValueError, match=r"scales for 17 tokens, and 65 came in: .*stillbit.resample\(model, img_size\)"
    ):
        model(images(64))
