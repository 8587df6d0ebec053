"""The sliced recursive transformer: published numbers, and what each part does."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import timm.optim
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stillbit.models.sret import RecursiveBlock, Shape, SReT, cut, join
from stillbit.surgery import macs

SMALL = Shape(base_dim=16, blocks=(1, 2, 1))


def small(**options: Any) -> SReT:
    return SReT(SMALL, **{"img_size": 32, "num_classes": 10, **options})


def images(count: int = 2, size: int = 32) -> Tensor:
    return torch.randn(count, 3, size, size)


def ghost(name: str, **options: Any) -> Any:
    with torch.device("meta"):
        return timm.create_model(name, **options)


# ------------------------------------------------------------------------------------------------------- published


def test_sret_tiny_has_the_published_number_of_parameters() -> None:
    assert sum(p.numel() for p in ghost("sret_tiny").parameters()) == pytest.approx(4.8e6, rel=0.02)


def test_sret_tiny_has_the_published_number_of_macs() -> None:
    assert macs.count(ghost("sret_tiny")).total == pytest.approx(1.1e9, rel=0.05)


def test_sret_tiny_has_the_published_shape() -> None:
    model = ghost("sret_tiny")
    widths = [stage.blocks[0].attn.qkv.in_features for stage in model.stages]
    assert widths == [64, 128, 256] and [len(stage.blocks) for stage in model.stages] == [2, 5, 3]
    assert [stage.blocks[0].attn.num_heads for stage in model.stages] == [2, 4, 8]
    assert [stage.blocks[0].slices for stage in model.stages] == [(8, 2), (4, 1), (1, 1)]
    assert model.pos_embed.shape == (1, 64, 28, 28)
    assert model(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1000)


# ------------------------------------------------------------------------------------------------------------- runs


@pytest.mark.parametrize("dealt", [False, True])
@pytest.mark.parametrize("slices", [1, 2, 8])
def test_what_is_cut_into_slices_is_joined_again(slices: int, dealt: bool) -> None:
    x = torch.randn(3, 16, 4)
    apart = cut(x, slices, dealt)
    assert apart.shape == (3 * slices, 16 // slices, 4)
    assert torch.equal(join(apart, slices, dealt), x)


def test_the_first_run_cuts_neighbours_and_the_second_deals() -> None:
    tokens = torch.arange(6.0).view(1, 6, 1)
    assert cut(tokens, 2, dealt=False)[..., 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert cut(tokens, 2, dealt=True)[..., 0].tolist() == [[0, 2, 4], [1, 3, 5]]


def straight(block: Any, x: Tensor) -> Tensor:
    """A block of width 8 with 2 heads on 8 tokens, slices (4, 2), line by line from what is published."""
    p = dict(block.named_parameters())
    groups = [
        [[0, 1], [2, 3], [4, 5], [6, 7]],
        [[0, 2, 4, 6], [1, 3, 5, 7]],
    ]
    for run, npl in enumerate(("first", "second")):
        y = F.layer_norm(x, (8,), p["norm1.weight"], p["norm1.bias"], 1e-6)
        qkv = y @ p["attn.qkv.weight"].T + p["attn.qkv.bias"]
        out = torch.zeros_like(x)
        for group in groups[run]:
            for head in range(2):
                q, k, v = (qkv[:, group, 8 * i + 4 * head : 8 * i + 4 * head + 4] for i in range(3))
                a = torch.softmax(q @ k.transpose(1, 2) / 4**0.5, dim=-1)
                out[:, group, 4 * head : 4 * head + 4] = a @ v
        out = out @ p["attn.proj.weight"].T + p["attn.proj.bias"]
        x = p["residual1.keep"] * x + p["residual1.add"] * out
        y = F.layer_norm(x, (8,), p["norm2.weight"], p["norm2.bias"], 1e-6)
        y = F.gelu(y @ p["mlp.fc1.weight"].T + p["mlp.fc1.bias"]) @ p["mlp.fc2.weight"].T + p["mlp.fc2.bias"]
        x = p["residual2.keep"] * x + p["residual2.add"] * y
        y = F.layer_norm(x, (8,), p[f"{npl}.norm.weight"], p[f"{npl}.norm.bias"], 1e-6)
        y = F.gelu(y @ p[f"{npl}.mlp.fc1.weight"].T + p[f"{npl}.mlp.fc1.bias"])
        y = y @ p[f"{npl}.mlp.fc2.weight"].T + p[f"{npl}.mlp.fc2.bias"]
        x = p[f"{npl}.residual.keep"] * x + p[f"{npl}.residual.add"] * y
    return x


def test_a_block_computes_what_the_publication_says_line_by_line() -> None:
    block = RecursiveBlock(8, 2, (4, 2), 3.6, 0.0).double()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    assert block.mlp.fc1.out_features == 28 and block.first.mlp.fc1.out_features == 8
    x = torch.randn(3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(block(x), straight(block, x), rtol=1e-12, atol=1e-12)


def test_both_runs_share_one_set_of_weights_and_both_give_it_a_gradient() -> None:
    block = RecursiveBlock(8, 2, (4, 2), 3.6, 0.0)
    assert sum(name.endswith("qkv.weight") for name, _ in block.named_parameters()) == 1
    x = torch.randn(2, 8, 8)

    def gradient(first: bool, second: bool) -> Tensor:
        """Of the shared qkv, with a run computed on weights that learn nothing."""
        block.zero_grad()
        y = x
        for number, learns in enumerate((first, second)):
            for parameter in block.attn.parameters():
                parameter.requires_grad_(learns)
            y = block.run(y, number)
        for parameter in block.attn.parameters():
            parameter.requires_grad_(True)
        y.square().sum().backward()
        assert block.attn.qkv.weight.grad is not None
        return block.attn.qkv.weight.grad.clone()

    one, two, both = gradient(True, False), gradient(False, True), gradient(True, True)
    assert one.abs().max() > 0 and two.abs().max() > 0
    torch.testing.assert_close(one + two, both)


def test_tokens_of_different_slices_meet_in_the_second_run() -> None:
    block = RecursiveBlock(8, 2, (4, 2), 3.6, 0.0).eval()
    x = torch.randn(1, 8, 8)
    other = x.clone()
    other[:, 5] += torch.randn(8)
    once = (block.run(x, 0) - block.run(other, 0)).abs().amax((0, 2)) > 0
    assert once.tolist() == [False] * 4 + [True] * 2 + [False] * 2
    assert bool(((block(x) - block(other)).abs().amax((0, 2)) > 0).all())


# ------------------------------------------------------------------------------------------------------------ model


def test_eval_repeats_itself_whatever_chance_did_before() -> None:
    model = small().eval()
    x = images()
    expected = model(x)
    torch.manual_seed(99)
    assert torch.equal(model(x), expected)
    assert torch.equal(model(x[:1]), model(x[:1]))


def test_blocks_are_left_out_in_training_only() -> None:
    model = small(drop_path_rate=0.5)
    x = images(8)
    assert not torch.equal(model.train()(x), model(x))
    plain = small()
    plain.load_state_dict(model.state_dict())
    assert torch.equal(model.eval()(x), plain.eval()(x))


@pytest.mark.parametrize("size", [32, 64, (64, 96)])
def test_the_position_map_follows_the_image(size: Any) -> None:
    model = small(img_size=size)
    height, width = (size, size) if isinstance(size, int) else size
    assert model.pos_embed.shape == (1, 32, height // 8, width // 8)
    assert model(torch.randn(1, 3, height, width)).shape == (1, 10)


@pytest.mark.parametrize("size", [0, 48, (64, 100)])
def test_a_size_that_cannot_be_halved_five_times_is_refused(size: Any) -> None:
    with pytest.raises(ValueError, match="give a multiple of 32"):
        small(img_size=size)


def test_a_state_is_loaded_to_the_bit() -> None:
    model, other = small().eval(), small().eval()
    other.load_state_dict(model.state_dict(), strict=True)
    x = images()
    assert torch.equal(other(x), model(x))


def test_the_api_of_timm_works() -> None:
    model = timm.create_model("sret_pico", num_classes=10, in_chans=1, img_size=32, drop_rate=0.1).eval()
    x = torch.randn(2, 1, 32, 32)
    features = model.forward_features(x)
    assert features.shape == (2, 128, 1, 1)
    assert torch.equal(model.forward_head(features), model(x))
    assert model.forward_head(features, pre_logits=True).shape == (2, 128)
    assert model.get_classifier() is model.head.fc
    model.reset_classifier(3)
    assert model(x).shape == (2, 3) and model.num_classes == 3
    model.reset_classifier(0)
    assert model(x).shape == (2, model.num_features)
    assert model.pretrained_cfg["architecture"] == "sret_pico"


def test_features_of_every_stage_can_be_taken_out() -> None:
    model = timm.create_model("sret_pico", features_only=True)
    shapes = [tuple(f.shape) for f in model(torch.randn(1, 3, 64, 64))]
    assert shapes == [(1, 32, 8, 8), (1, 64, 4, 4), (1, 128, 2, 2)]
    assert model.feature_info.reduction() == [8, 16, 32]


def test_optimizers_of_timm_find_their_groups() -> None:
    model = small()
    groups = timm.optim.param_groups_weight_decay(model, 0.1, no_weight_decay_list=model.no_weight_decay())
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert (decays[id(model.pos_embed)], decays[id(model.head.fc.weight)]) == (0.0, 0.1)
    layers = timm.optim.param_groups_layer_decay(model, 0.1, layer_decay=0.5)
    scales = {id(p): group["lr_scale"] for group in layers for p in group["params"]}
    assert len(scales) == len(list(model.parameters()))
    assert scales[id(model.pos_embed)] < scales[id(model.stages[0].blocks[0].norm1.weight)]
    assert scales[id(model.stages[2].blocks[0].norm1.weight)] < scales[id(model.head.fc.weight)] == 1.0


def test_linears_begin_as_timms_do() -> None:
    model = small()
    linears = [m for m in model.modules() if isinstance(m, nn.Linear)]
    assert all(m.bias.abs().max() == 0 for m in linears)
    assert all(0.015 < m.weight.std().item() < 0.025 for m in linears)
    assert 0.015 < model.pos_embed.std().item() < 0.025


def test_checkpointing_of_activations_gives_the_same_gradients() -> None:
    model, x = small().train(), images(4)
    gradients = []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        model(x).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(list(model.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_a_few_images_are_learned_by_heart() -> None:
    model = small().train()
    x, labels = images(20), torch.arange(20) % 10
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(30):
        loss = F.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(2.3, abs=0.3) and losses[-1] < 0.2


@pytest.mark.slow
def test_a_compiled_model_computes_the_same() -> None:
    model = small().eval()
    x = images()
    torch.testing.assert_close(torch.compile(model, fullgraph=True)(x), model(x), rtol=1e-4, atol=1e-5)
