"""The top eigenvalue against a Hessian that is written out and taken apart by torch.linalg."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy

from stillbit import calibrate, quantize
from stillbit.analysis.directions import movable
from stillbit.analysis.hessian import PowerSettings, curvature, power
from stillbit.data.batch import Batch
from tests.dynamics import small

LONG = PowerSettings(iterations=300, tolerance=1e-9)


def network() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.Tanh(), nn.Linear(7, 3)).double()


def transformer() -> VisionTransformer:
    options = {"img_size": 8, "patch_size": 4, "embed_dim": 4, "num_heads": 2, "depth": 1, "num_classes": 3}
    return VisionTransformer(**options, in_chans=1, mlp_ratio=1.0).double()


def batches(shape: tuple[int, ...] = (3, 2, 2)) -> list[Batch]:
    chance = torch.Generator().manual_seed(3)
    images = torch.randn(11, *shape, generator=chance, dtype=torch.float64)
    targets = torch.randint(3, (11,), generator=chance)
    return [Batch(images[cut], targets[cut], targets[cut]) for cut in (slice(0, 6), slice(6, 11))]


def eigenvalues(model: nn.Module, given: list[Batch]) -> Tensor:
    """Of the Hessian in the weights, written out."""
    weights = movable(model)
    images, targets = (torch.cat([getattr(batch, name) for batch in given]) for name in ("images", "targets"))
    with sdpa_kernel(SDPBackend.MATH):
        slopes = torch.autograd.grad(cross_entropy(model(images), targets), list(weights.values()), create_graph=True)
        flat = torch.cat([slope.flatten() for slope in slopes])
        rows = [torch.autograd.grad(slope, list(weights.values()), retain_graph=True) for slope in flat]
    dense = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
    torch.testing.assert_close(dense, dense.T)
    found = torch.linalg.eigvalsh(dense)
    return found[found.abs().argsort(descending=True)]


@pytest.mark.parametrize("make", [network, transformer])
def test_the_exact_eigenvalue_is_that_of_the_dense_hessian(make: type[nn.Module]) -> None:
    model = make().eval()
    given = batches() if make is network else batches((1, 8, 8))
    found, wanted = curvature(model, given, LONG, "exact"), eigenvalues(model, given)
    assert found.eigenvalue == pytest.approx(wanted[0].item(), rel=1e-6)
    assert found.how == "exact" and found.distance is None and found.images == 11


def test_differences_over_a_short_distance_find_the_same() -> None:
    model, given = network(), batches()
    short = replace(LONG, distance=1e-3)
    found = curvature(model, given, short, "differences")
    assert found.eigenvalue == pytest.approx(eigenvalues(model, given)[0].item(), rel=0.01)
    assert found.distance == 1e-3 and found.how == "differences"


def test_at_eight_bits_differences_find_what_the_float_model_has() -> None:
    torch.manual_seed(1)
    options = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "num_heads": 3, "depth": 1, "num_classes": 5}
    model, given = VisionTransformer(**options).eval(), [small.batch(32)]
    coarse = quantize(model, "w8a8")
    calibrate(coarse, [given[0].images])
    exact = curvature(model, given, PowerSettings(iterations=30, tolerance=1e-4), "exact")
    found = curvature(coarse, given, PowerSettings(iterations=30), "differences")
    assert found.eigenvalue == pytest.approx(exact.eigenvalue, rel=0.15)


def test_a_quantized_model_has_no_exact_one() -> None:
    with pytest.raises(ValueError, match="has no exact derivative: take differences"):
        curvature(small.vit(2), [small.batch()], LONG, "exact")


@pytest.mark.parametrize("how", ["exact", "differences"])
def test_the_model_is_as_it_was(how: str) -> None:
    model = network()
    model[1].weight.requires_grad_(False)
    before, state = {n: t.clone() for n, t in model.state_dict().items()}, torch.get_rng_state()
    curvature(model, batches(), PowerSettings(iterations=2), how)  # type: ignore[arg-type]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not model[1].weight.requires_grad and model.training and torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_power_iteration_finds_the_largest_magnitude_with_its_sign() -> None:
    turned = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64)).Q
    matrix = turned @ torch.diag(torch.tensor([3.0, -5.0, 1.0, 0.5, -2.0, 4.0], dtype=torch.float64)) @ turned.T
    top = power(lambda v: matrix @ v, torch.ones(6, dtype=torch.float64), LONG)
    assert top.eigenvalue == pytest.approx(-5.0, rel=1e-6) and top.residual is not None and top.residual < 1e-3


def test_a_flat_loss_has_an_eigenvalue_of_zero() -> None:
    top = power(torch.zeros_like, torch.ones(4, dtype=torch.float64), LONG)
    assert (top.eigenvalue, top.residual, top.iterations) == (0.0, None, 1)


def test_the_iteration_ends_when_it_was_told_to() -> None:
    slow = torch.tensor([2.0, 1.99], dtype=torch.float64)
    ended = power(lambda v: slow * v, torch.ones(2).double(), replace(LONG, iterations=7))
    assert ended.iterations == 7 and ended.residual


@pytest.mark.parametrize("wrong", [{"iterations": 0}, {"distance": 0.0}, {"distance": 1.0}])
def test_settings_that_go_nowhere_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"iterations=30|distance=0\.01"):
        PowerSettings(**wrong)  # type: ignore[arg-type]
