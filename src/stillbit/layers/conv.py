"""A 2-D convolution of two quantized tensors: patch embeddings and convolutional networks."""

from __future__ import annotations

from typing import final

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.layers.base import QuantLayer
from stillbit.layers.linear import latent
from stillbit.layers.product import Convolution, Pair, convolution
from stillbit.quantizers.base import Quantizer


@final
class QuantConv2d(QuantLayer, nn.Conv2d):
    """`nn.Conv2d` whose kernel and image snap to their grids before they meet."""

    weight_quantizer: Quantizer | None
    input_quantizer: Quantizer | None

    def forward(self, input: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch o p q"]:
        """The convolution on codes; padding adds the value zero, or what the padding mode says."""
        if input.dim() == 3:  # one image, as nn.Conv2d takes it too
            return self.forward(input.unsqueeze(0)).squeeze(0)
        padding, around = self.padding, (0, 0, 0, 0)
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._reversed_padding_repeated_twice, mode=self.padding_mode), (0, 0)
        elif isinstance(padding, str):
            left, right, top, bottom = self._reversed_padding_repeated_twice
            padding, around = (0, 0), (left, right, top, bottom)
        how = Convolution(_pair(self.stride), _pair(padding), _pair(self.dilation), self.groups, around)
        image = latent(self.input_quantizer, input)
        return convolution(image, latent(self.weight_quantizer, self.weight), self.bias, how)


def _pair(value: tuple[int, ...]) -> Pair:
    return value[0], value[1]
