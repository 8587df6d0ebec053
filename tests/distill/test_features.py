"""The inside of models: caught by name, and compared."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from stillbit.distill.features import Capture, mimicry, relations, similarity


def vit() -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = timm.models.vision_transformer.VisionTransformer(
        img_size=16, patch_size=8, embed_dim=16, depth=2, num_heads=2, num_classes=3
    )
    return model


# ------------------------------------------------------------------------------------------------------------ capture


def test_outputs_are_caught_by_name_with_their_gradients() -> None:
    model, images = vit(), torch.randn(2, 3, 16, 16)
    with Capture(model, ["blocks.0", "blocks.1.mlp.fc1"]) as inside:
        model(images)
    assert inside["blocks.0"].shape == (2, 5, 16) and inside["blocks.1.mlp.fc1"].shape == (2, 5, 64)
    inside["blocks.0"].sum().backward()
    assert model.get_parameter("blocks.0.attn.qkv.weight").grad is not None
    assert model.get_parameter("blocks.1.attn.qkv.weight").grad is None


def test_after_it_is_left_nothing_listens() -> None:
    model = vit()
    with Capture(model, ["blocks.0"]) as inside:
        model(torch.ones(1, 3, 16, 16))
    first = inside["blocks.0"]
    model(torch.zeros(1, 3, 16, 16))
    assert inside["blocks.0"] is first
    assert not any(module._forward_hooks for module in model.modules())
    with pytest.raises(ValueError, match="has put out nothing"), inside:
        inside["blocks.0"]


def test_an_error_in_the_model_leaves_no_hook_behind() -> None:
    model = vit()
    with pytest.raises(AssertionError), Capture(model, ["blocks.0"]):
        model(torch.ones(1, 3, 17, 17))
    assert not any(module._forward_hooks for module in model.modules())


def test_a_wrapper_around_the_model_changes_nothing() -> None:
    class Wrapper(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.module(x)
            return out

    model = vit()
    with Capture(model, ["norm"]) as inside:
        Wrapper(model)(torch.ones(1, 3, 16, 16))
    assert inside["norm"].shape == (1, 5, 16)


def test_a_name_that_is_none_and_an_output_that_is_no_tensor_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the model has no module blocks\.0\.atn: did you mean blocks\.0\.attn\?"):
        Capture(vit(), ["blocks.0.atn"])
    lstm = nn.Sequential(nn.LSTM(2, 2))
    with pytest.raises(ValueError, match="0 puts out tuple, and no tensor"), Capture(lstm, ["0"]):
        lstm(torch.ones(1, 2))


# ------------------------------------------------------------------------------------------------------------- losses


def test_features_are_compared_by_where_they_point() -> None:
    x = torch.randn(2, 5, 8)
    assert mimicry(x, 3 * x).item() == pytest.approx(0, abs=1e-6)
    assert mimicry(x, -x).item() == pytest.approx(4)
    y = torch.randn(2, 5, 8)
    cosine = torch.cosine_similarity(x, y, dim=-1)
    torch.testing.assert_close(mimicry(x, y), (2 - 2 * cosine).mean())


def test_relations_have_norm_one_and_do_not_know_how_large_their_tokens_are() -> None:
    x = torch.randn(3, 2, 5, 8)
    found = relations(x)
    torch.testing.assert_close(torch.linalg.matrix_norm(found), torch.ones(3, 2))
    torch.testing.assert_close(relations(7 * x), found)
    assert torch.equal(found, found.mT) and relations(torch.zeros(1, 1, 2, 2)).abs().sum() == 0


def test_similarity_is_the_sum_over_heads_of_the_distance_of_relations() -> None:
    q, other = torch.randn(4, 3, 6, 8), torch.randn(4, 3, 6, 16)
    wanted = torch.zeros(())
    for n in range(4):
        for h in range(3):
            mine, theirs = q[n, h] @ q[n, h].T, other[n, h] @ other[n, h].T
            wanted += (mine / mine.norm() - theirs / theirs.norm()).norm() / 4
    torch.testing.assert_close(similarity(q, other), wanted)


def test_two_that_are_alike_have_a_gradient_that_is_a_number() -> None:
    x = torch.randn(2, 2, 4, 4, requires_grad=True)
    (similarity(x, x.detach()) + mimicry(x, x.detach())).backward()
    assert x.grad is not None and x.grad.isfinite().all()


def test_features_of_other_shapes_are_refused() -> None:
    for compare, shape in ((mimicry, (2, 5, 9)), (similarity, (2, 3, 6, 8))):
        with pytest.raises(ValueError, match="cannot be compared"):
            compare(torch.ones(2, *shape[1:-1], 8) if compare is mimicry else torch.ones(2, 3, 5, 8), torch.ones(shape))
