"""A table of quantized rows."""

from __future__ import annotations

from typing import final

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from stillbit.layers.base import QuantLayer
from stillbit.layers.linear import latent
from stillbit.quantizers.base import Quantizer


@final
class QuantEmbedding(QuantLayer, nn.Embedding):
    """`nn.Embedding` whose rows snap to their grids when they are looked up."""

    roles = ("weight_quantizer",)
    weight_quantizer: Quantizer | None

    def forward(self, input: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch width"]:
        """Look up, then snap: only the rows asked for are rounded."""
        table = latent(self.weight_quantizer, self.weight)
        rows = F.embedding(
            input, table.x, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        )
        scale = table.scale
        if scale is not None and scale.size(0) > 1:
            scale = scale[input]
        return table._replace(x=rows, scale=scale).value()
