from __future__ import annotations

from itertools import pairwise
from math import log10

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from stillbit import calibrate, dequantize, quantize
from stillbit.analysis.error import Errors, TensorError
from stillbit.analysis.noise import errors
from stillbit.analysis.record import from_json, to_json
from stillbit.data.batch import Batch
from stillbit.layers.walk import quantized, weights
from stillbit.quantizers.granularity import per_tensor
from stillbit.quantizers.snap import Latent
from tests.analysis.alive import alive, seen
from tests.dynamics import small


def batches() -> list[Batch]:
    whole = small.batch(13)
    return [Batch(*(t[cut] for t in whole[:3])) for cut in (slice(0, 8), slice(8, 13))]


def found_in(model: nn.Module, given: list[Batch] | None = None) -> Errors:
    return errors(model, given or batches(), subject="run", about="best.pt")


def one(held: tuple[TensorError, ...], layer: str, role: str, head: int | None = None) -> TensorError:
    return next(e for e in held if (e.layer, e.role, e.head) == (layer, role, head))


def test_the_error_of_a_weight_is_what_a_hand_computes() -> None:
    layer = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    layer[1].weight.data = torch.tensor([[0.4, -0.6, 1.9, 0.0], [-3.0, 1.0, 0.2, 0.5]])
    model = quantize(layer, "w2a8")  # its only layer is the last one, and has eight bits
    quantizer = next(weights(model)).quantizer
    with torch.no_grad():
        quantizer.get_parameter("scale").fill_(0.5)
    calibrate(model, [torch.randn(6, 1, 2, 2)])
    given = [Batch(torch.randn(3, 1, 2, 2), torch.tensor([0, 1, 1]), torch.arange(3))]
    held = found_in(model, given).weights[0]
    # On halves: .4 -> .5, -.6 -> -.5, 1.9 -> 2, 0, -3, 1, .2 -> 0, .5
    error, signal = 0.1**2 + 0.1**2 + 0.1**2 + 0.2**2, 0.4**2 + 0.6**2 + 1.9**2 + 3.0**2 + 1.0**2 + 0.2**2 + 0.5**2
    assert held.relative == pytest.approx(error / signal, rel=1e-5)
    assert held.sqnr == pytest.approx(-10 * log10(error / signal), rel=1e-5)
    assert (held.bits, held.clipped, held.elements) == (8, 0.0, 8)


@pytest.mark.parametrize("method", ["lsq", "statsq", "dorefa", "minmax"])
def test_pieces_add_up_to_their_layer(method: str) -> None:
    model = small.vit(3, method)
    held = found_in(model)
    for weight in weights(model):
        x, value = weight.parameter.detach().double(), weight.latent().value().detach().double()
        whole = one(held.weights, weight.name, "weight")
        assert whole.relative == pytest.approx(((value - x).square().sum() / x.square().sum()).item(), rel=1e-6)
        for piece in weight.pieces():
            mine, part = piece.of(x), one(held.pieces, weight.name, piece.role, piece.head)
            error = (piece.of(value) - mine).square().sum() / mine.square().sum()
            assert part.relative == pytest.approx(error.item(), rel=1e-6) and part.elements == mine.numel()


def test_the_error_of_an_activation_is_that_of_what_reaches_its_quantizer() -> None:
    model = small.vit(4).eval()
    held, reached = found_in(model), dict[str, list[Tensor]]()
    layer = dict(quantized(model))["blocks.0.mlp.fc2"]

    def listen(quantizer: nn.Module, args: tuple[Tensor, ...], latent: Latent) -> None:
        reached.setdefault("x", []).append(args[0])
        reached.setdefault("q", []).append(latent.value())

    hook = layer.quantizers()["input"].register_forward_hook(listen)
    with torch.no_grad():
        for batch in batches():
            model(batch.images)
    hook.remove()
    x, value = (torch.cat(reached[name]).double() for name in ("x", "q"))
    error = one(held.activations, "blocks.0.mlp.fc2", "input")
    assert error.relative == pytest.approx(((value - x).square().sum() / x.square().sum()).item(), rel=1e-9)
    assert error.elements == x.numel() and error.bits == 4
    roles = {e.role for e in held.activations if e.layer == "blocks.0.attn"}
    assert roles == {"query", "key", "value", "probability"}


def test_every_bit_brings_about_six_decibels() -> None:
    worst = [min(e.sqnr or 0.0 for e in found_in(small.vit(bits)).weights if e.bits == bits) for bits in (2, 3, 4)]
    assert all(4 < b - a < 7 for a, b in pairwise(worst))


@pytest.mark.parametrize("method", ["lsq", "learned_bits"])
def test_what_is_clipped_is_counted(method: str) -> None:
    model = small.vit(2, method, granularity=per_tensor)
    weight = next(w for w in weights(model) if w.name == "blocks.0.mlp.fc1")
    with torch.no_grad():
        weight.quantizer.get_parameter("scale").fill_(1.0)
        weight.parameter.uniform_(-0.4, 0.4)
        weight.parameter.flatten()[:23] = 1.7
    held = one(found_in(model).weights, "blocks.0.mlp.fc1", "weight")
    assert held.clipped == 23 / held.elements


def test_gradients_agree_as_two_backward_passes_say() -> None:
    model = small.vit(2).eval()
    held, origin = found_in(model), dequantize(model).eval()
    whole = small.batch(13)
    slopes = []
    for side in (model, origin):
        side.zero_grad()
        cross_entropy(side(whole.images), whole.targets).backward()
        slopes.append([side.get_parameter(f"{w.name}.weight").grad.double() for w in weights(model)])  # type: ignore[union-attr]
    for agreement, mine, theirs in zip(held.gradients, *slopes, strict=True):
        cosine = (mine * theirs).sum() / (mine.norm() * theirs.norm())
        assert agreement.cosine == pytest.approx(cosine.item(), rel=1e-4, abs=1e-5)
        assert agreement.ratio == pytest.approx((mine.norm() / theirs.norm()).item(), rel=1e-4)
    mine, theirs = (torch.cat([slope.flatten() for slope in side]) for side in slopes)
    assert held.agreement == pytest.approx(((mine @ theirs) / (mine.norm() * theirs.norm())).item(), rel=1e-4)
    assert held.loss == pytest.approx(cross_entropy(model(whole.images), whole.targets).item(), rel=1e-5)
    assert held.float_loss == pytest.approx(cross_entropy(origin(whole.images), whole.targets).item(), rel=1e-5)


def test_a_gradient_of_zero_agrees_with_nothing() -> None:
    model = small.vit(2)
    with torch.no_grad():
        model.head.weight.zero_()
    held = found_in(model)
    layer = next(g for g in held.gradients if g.layer == "blocks.0.mlp.fc1")
    assert layer.cosine is None and layer.ratio is None
    head = one(held.weights, "head", "weight")
    assert head.relative is None and head.sqnr is None
    assert from_json(Errors, to_json(held), "x") == held


def test_the_worst_comes_first() -> None:
    tables = found_in(small.vit(2)).tables()
    for table in (tables[0], tables[1], tables[3]):
        ratios = [row[[c.name for c in table.columns].index("SQNR dB")] for row in table.rows]
        assert ratios == sorted(ratios)
    cosines = [row[1] for row in tables[2].rows]
    assert cosines == sorted(cosines) and "cosine" in tables[2].title


def test_the_model_is_as_it_was() -> None:
    model = small.vit(2).train()
    model.blocks[0].attn.qkv.weight.requires_grad_(False)
    before, random = {n: t.clone() for n, t in model.state_dict().items()}, torch.get_rng_state()
    found_in(model)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items()) and model.training
    assert not model.blocks[0].attn.qkv.weight.requires_grad and torch.equal(random, torch.get_rng_state())
    assert all(p.grad is None for p in model.parameters())
    assert not any(q._forward_hooks for _, layer in quantized(model) for q in layer.quantizers().values())


def test_a_float_model_has_no_error_of_quantization() -> None:
    with pytest.raises(ValueError, match="run is float, and has no error of quantization: give a run with bits"):
        found_in(dequantize(small.vit(2)))


@pytest.mark.parametrize(
    "family", ["deit", "swin", "swin_v2", "eva", "sret", "timm_resnet", "mixer", "shared", "multihead"]
)
def test_every_family_has_errors(family: str) -> None:
    held = found_in(alive(family), seen())
    assert from_json(Errors, to_json(held), "x") == held
    assert all(e.elements and e.relative is not None for e in (*held.weights, *held.activations))
    assert held.agreement is not None and len(held.gradients) == len(held.weights)


def test_broken_weights_are_named() -> None:
    model = small.vit(2)
    model.blocks[0].mlp.fc1.weight.data[3, 3] = torch.nan
    with pytest.raises(ValueError, match=r"weights of run are broken, blocks\.0\.mlp\.fc1\.weight holds NaN"):
        found_in(model)
