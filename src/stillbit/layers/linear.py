"""A linear layer of two quantized tensors."""

from __future__ import annotations

from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from stillbit.layers.base import QuantLayer
from stillbit.layers.product import inner
from stillbit.quantizers.base import Quantizer
from stillbit.quantizers.snap import Latent


@final
class QuantLinear(QuantLayer, nn.Linear):
    """`nn.Linear` whose weight and input snap to their grids before they meet."""

    weight_quantizer: Quantizer | None
    input_quantizer: Quantizer | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        weight_quantizer: Quantizer | None = None,
        input_quantizer: Quantizer | None = None,
    ) -> None:
        """A fresh layer; `adopt` quantizes one that exists."""
        nn.Linear.__init__(self, in_features, out_features, bias)
        self.float_class = nn.Linear
        self.weight_quantizer, self.input_quantizer = weight_quantizer, input_quantizer

    def forward(self, input: Tensor | Latent, bias: Tensor | None = None) -> Float[Tensor, "*batch o"]:
        """``input @ weight.T + bias`` on codes; attention hands in a bias of its own, or tokens that are quantized."""
        if isinstance(input, Tensor) and input.dim() == 1:  # one vector, as nn.Linear takes it too
            return self.forward(input.unsqueeze(0), bias).squeeze(0)
        tokens = latent(self.input_quantizer, input) if isinstance(input, Tensor) else Latent(*input)
        return inner(tokens, latent(self.weight_quantizer, self.weight), self.bias if bias is None else bias)


def latent(quantizer: Quantizer | None, x: Tensor) -> Latent:
    """``x`` with its grid, or as it is where there is no quantizer."""
    if quantizer is None:
        return Latent(x)
    tokens = quantizer.blocks[-2] if x.dim() > len(quantizer.blocks) > 1 else 1
    if tokens > 1 and tokens != x.size(-2):
        raise ValueError(
            f"there are scales for {tokens} tokens, and {x.size(-2)} came in: per_token ties a model to one "
            "resolution; call stillbit.resample(model, img_size), or use per_tensor"
        )
    ready: Latent = quantizer(x)
    return ready


def linear(layer: nn.Linear, x: Tensor | Latent, bias: Tensor | None) -> Tensor:
    """``layer`` with another bias, or with an input that is quantized already; ``layer`` may be plain."""
    if isinstance(layer, QuantLinear):
        y: Tensor = layer(x, bias)
        return y
    return inner(x if isinstance(x, Latent) else Latent(x), Latent(layer.weight), bias)
