"""Dampening (Nagel et al., arXiv 2203.11086): latents are pulled to the middle of their bins.

    L = | w_q - clip(w, low s, high s) |^2

with w_q and s standing still, so that neither the range nor the scale moves to please it.
"""

from __future__ import annotations

from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.dynamics.low_bit import LOW, low_bit
from stillbit.dynamics.rounding import USUAL_SIZE, rounding, with_gradient
from stillbit.quantizers.snap import Latent

Form = Literal["per_weight", "kernel_mean", "mean", "sum"]


@final
class Dampening:
    """The sum of `dampening` over the low-bit weights."""

    name: ClassVar[str] = "dampen"

    def __init__(self, model: nn.Module, *, bits: tuple[int, ...] = LOW, form: Form = "per_weight") -> None:
        """``model`` comes bare, not in its wrapper."""
        self.weights = low_bit(model, "dampening", bits)
        self.form = form

    def __call__(self) -> Float[Tensor, ""]:
        """The penalty now."""
        return torch.stack([dampening(weight.latent(), self.form) for weight in self.weights]).sum()


def dampening(latent: Latent, form: Form = "per_weight") -> Float[Tensor, ""]:
    """The squared rounding error of one weight, with its gradient to the latent.

    "sum" is the paper's norm. "kernel_mean" is the released code's default: summed over outputs, averaged over the
    rest. "per_weight" is the sum over `USUAL_SIZE`: the same pull on a weight in a layer of any size.
    """
    with torch.no_grad():
        at = rounding(latent)
        price = {
            "per_weight": 1 / USUAL_SIZE,
            "kernel_mean": at.error.size(0) / at.error.numel(),
            "mean": 1 / at.error.numel(),
            "sum": 1.0,
        }[form]
        value = price * at.error.square().sum()
        gradient = at.error.mul_(at.inside).mul_(2 * price)
    return with_gradient(latent.x, value.to(latent.x.dtype), gradient)
