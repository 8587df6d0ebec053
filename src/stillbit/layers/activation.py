"""A quantizer in a place of its own, for tensors that no layer of the house takes in."""

from __future__ import annotations

from typing import ClassVar, final

from jaxtyping import Float
from torch import Tensor, nn

from stillbit.layers.base import QuantLayer
from stillbit.layers.linear import latent
from stillbit.quantizers.base import Quantizer


@final
class QuantActivation(QuantLayer):
    """Snaps what passes through: put one before a matmul of your own."""

    roles: ClassVar[tuple[str, ...]] = ("input_quantizer",)
    input_quantizer: Quantizer | None

    def __init__(self, input_quantizer: Quantizer | None) -> None:
        """``None`` lets everything pass as it is."""
        super().__init__()
        self.float_class = nn.Identity
        self.input_quantizer = input_quantizer

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The value of ``x`` on the grid."""
        return latent(self.input_quantizer, x).value()
