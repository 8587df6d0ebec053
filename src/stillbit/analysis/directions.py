"""Random directions in the space of the weights, filter-normalised (Li et al. 2018, arXiv 1712.09913)."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.quantizers.base import Quantizer
from stillbit.surgery.hf import TABLES

Weights = dict[str, Tensor]
MATRICES = {"weight", "in_proj_weight"}
"""What layers call what they multiply with."""


def movable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that a direction moves: matrices and kernels of layers, with the names they have in the model.

    Biases, norms, positions, class tokens and the state of quantizers are none.
    """
    modules = dict(model.named_modules())
    inside = {
        f"{name}." for name, module in modules.items() if isinstance(module, Quantizer) or _is_place(name, module)
    }
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if name.rpartition(".")[2] in MATRICES and parameter.dim() > 1 and not any(map(name.startswith, inside))
    }


def _is_place(name: str, module: nn.Module) -> bool:
    """Whether it is a table of where a token is, and not of which."""
    return isinstance(module, nn.Embedding) and "position" in TABLES.get(name.rpartition(".")[2], ())


def direction(weights: Mapping[str, Tensor], *, seed: int, number: int) -> Weights:
    """Normal numbers, every filter of them as long as the filter of the weight. A filter is what makes one output.

    The numbers depend on the seed, on which direction it is, and on the name of the weight: two models with weights of
    the same name and shape get the same ones.
    """
    return {name: _normalised(_drawn(name, weight, seed, number), weight) for name, weight in weights.items()}


def _drawn(name: str, weight: Tensor, seed: int, number: int) -> Tensor:
    key = int.from_bytes(sha256(f"{seed} {number} {name}".encode()).digest()[:8], "big") >> 1
    chance = torch.Generator().manual_seed(key)  # on the CPU: the same numbers on every device
    return torch.randn(weight.shape, generator=chance).to(weight.device)


def _normalised(drawn: Float[Tensor, "*shape"], weight: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """A filter of zeros stays where it is."""
    wanted, has = (t.detach().double().flatten(1).norm(dim=1) for t in (weight, drawn))
    factor = (wanted / has).view(-1, *(1,) * (weight.dim() - 1))
    scaled: Tensor = drawn.double() * factor
    return scaled.to(weight.dtype)


@torch.no_grad()
def move(
    parameters: Mapping[str, nn.Parameter], origin: Weights, along: tuple[Weights, ...], at: tuple[float, ...]
) -> None:
    """Put the weights at ``origin`` plus so much of every direction; at zero they are the origin to the bit."""
    for name, parameter in parameters.items():
        place = origin[name].clone()
        for direction, much in zip(along, at, strict=True):
            if much:
                place.add_(direction[name], alpha=much)
        parameter.copy_(place)
