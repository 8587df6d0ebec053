"""The top eigenvalue of the Hessian of the loss, by power iteration.

A float model gives products with its Hessian exactly, by a second backward pass. The gradient of a quantized model is a
straight-through one, and has no derivative of its own: it is constant where no code changes. There

    H v = (g(w + h v) - g(w - h v)) / 2 h

over a distance h that changes codes, a share of the norm of the weights. So the number depends on the distance, which
stands beside it; the float model is measured over the same distance too, to compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from stillbit.analysis.directions import Weights, direction, movable, move
from stillbit.analysis.given import Given
from stillbit.analysis.gradient import counted, gradients, loss_part
from stillbit.analysis.untouched import untouched
from stillbit.layers.walk import quantizers

Vector = Float[Tensor, " weights"]


@dataclass(frozen=True, kw_only=True)
class Curvature:
    """The eigenvalue that is largest in magnitude, in the weights that the directions of a landscape move."""

    how: Literal["exact", "differences"]
    """Products with the Hessian by a second backward pass, or from differences of gradients."""
    distance: float | None
    """Of the two gradients of a difference from the centre, as a share of the norm of the weights."""
    eigenvalue: float
    iterations: int
    residual: float | None
    """|H v - eigenvalue v| / |eigenvalue|: 0 for an eigenvector. None where the eigenvalue is 0."""
    images: int


@dataclass(frozen=True, kw_only=True)
class PowerSettings:
    """When the iteration ends, and how far apart gradients are taken."""

    iterations: int = 30
    tolerance: float = 1e-3
    """It ends when the eigenvalue changes by less than this share of itself."""
    distance: float = 0.01
    """Of the norm of the weights; only for differences. A tenth of it changes too few codes at 2 bits to say anything,
    and five times as much leaves the neighbourhood in which a float model is quadratic."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse to end before the beginning."""
        if self.iterations < 1:
            raise ValueError(f"a power iteration has one step at least, got {self.iterations}: iterations=30")
        if not 0 < self.distance < 1:
            raise ValueError(f"the distance is a share of the norm of the weights, got {self.distance}: distance=0.01")


class Top(NamedTuple):
    """Where a power iteration ended."""

    eigenvalue: float
    residual: float | None
    iterations: int


def curvature(
    model: nn.Module, batches: Sequence[Given], settings: PowerSettings, how: Literal["exact", "differences"]
) -> Curvature:
    """The top eigenvalue of the mean cross-entropy over ``batches``; ``exact`` is for float models."""
    if how == "exact" and any(True for _ in quantizers(model)):
        raise ValueError(
            "the gradient of a quantized model is a straight-through one, and has no exact derivative: take differences"
        )
    with untouched(model), sdpa_kernel(SDPBackend.MATH):  # the fused attentions have no second backward pass
        parameters = movable(model)
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        product = _exact if how == "exact" else _differences
        start = _flat(direction(parameters, seed=settings.seed, number=-1).values())
        top = power(product(model, parameters, batches, settings.distance), start, settings)
    return Curvature(
        how=how,
        distance=None if how == "exact" else settings.distance,
        eigenvalue=top.eigenvalue,
        iterations=top.iterations,
        residual=top.residual,
        images=counted(batches),
    )


def power(product: Callable[[Vector], Vector], start: Vector, settings: PowerSettings) -> Top:
    """Multiply again and again; what is left is the eigenvector of the largest magnitude."""
    vector, before = start / start.norm(), None
    for iteration in range(1, settings.iterations + 1):
        multiplied = product(vector)
        eigenvalue, length = float(vector @ multiplied), multiplied.norm()
        if not length:
            return Top(0.0, None, iteration)
        residual = float((multiplied - eigenvalue * vector).norm()) / abs(eigenvalue) if eigenvalue else None
        if before is not None and abs(eigenvalue - before) <= settings.tolerance * abs(eigenvalue):
            break
        vector, before = multiplied / length, eigenvalue
    return Top(eigenvalue, residual, iteration)


def _exact(
    model: nn.Module, parameters: dict[str, nn.Parameter], batches: Sequence[Given], distance: float
) -> Callable[[Vector], Vector]:
    """Products by a second backward pass; there is no distance in them."""
    wanted, images = list(parameters.values()), counted(batches)

    def product(vector: Vector) -> Vector:
        along, total = _parts(vector, parameters), torch.zeros_like(vector)
        for batch in batches:
            first = torch.autograd.grad(
                loss_part(model, batch, images), wanted, create_graph=True, allow_unused=True, materialize_grads=True
            )
            slope = torch.stack([(g * v).sum() for g, v in zip(first, along.values(), strict=True)]).sum()
            total += _flat(torch.autograd.grad(slope, wanted, allow_unused=True, materialize_grads=True))
        return total

    return product


def _differences(
    model: nn.Module, parameters: dict[str, nn.Parameter], batches: Sequence[Given], distance: float
) -> Callable[[Vector], Vector]:
    """Products from gradients at two places; `untouched` puts the weights back."""
    origin = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    far = distance * float(_flat(origin.values()).norm())

    def product(vector: Vector) -> Vector:
        along, ends = _parts(vector, parameters), []
        for side in (far, -far):
            move(parameters, origin, (along,), (side,))
            ends.append(_flat(gradients(model, parameters, batches).values()))
        return (ends[0] - ends[1]) / (2 * far)

    return product


def _flat(tensors: Iterable[Tensor]) -> Vector:
    return torch.cat([tensor.detach().double().flatten() for tensor in tensors])


def _parts(vector: Vector, parameters: dict[str, nn.Parameter]) -> Weights:
    """The vector, cut into the shapes of the weights."""
    cut = vector.split([parameter.numel() for parameter in parameters.values()])
    pairs = zip(parameters.items(), cut, strict=True)
    return {name: part.view_as(parameter).to(parameter.dtype) for (name, parameter), part in pairs}
