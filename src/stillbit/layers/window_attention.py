"""Attention inside windows (Swin): a position bias, a mask between shifted windows, and cosine logits in version 2."""

from __future__ import annotations

import math
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.layers.attention import Heads, Logits, QuantAttention, joined_bias
from stillbit.layers.linear import linear

Mask = Float[Tensor, "windows tokens tokens"]


class QuantWindowAttention(QuantAttention):
    """Swin's window attention: logits q k^T / sqrt(d) plus a learned position bias."""

    _get_rel_pos_bias: Any

    def forward(self, x: Float[Tensor, "batch tokens channels"], mask: Mask | None = None) -> Tensor:  # type: ignore[override]
        """What the float class computes, with its two products on codes."""
        if self.is_float():
            y: Tensor = super(QuantAttention, self).forward(x, mask)
            return y
        q, k, v = self.split(self.qkv(x))
        logits = self.logits(q, k) * self.scale + self._get_rel_pos_bias()
        y = self.proj_drop(self.proj(self.mix(between_windows(logits, mask), v)))
        return y


class QuantCosineAttention(QuantAttention):
    """Swin version 2: normalised query and key, a learned temperature, a position bias from a small MLP."""

    reads_qkv_weight = True
    normalises = True
    logit_scale: Tensor
    cpb_mlp: nn.Module
    relative_coords_table: Tensor
    relative_position_index: Tensor

    def forward(self, x: Float[Tensor, "batch tokens channels"], mask: Mask | None = None) -> Tensor:  # type: ignore[override]
        """What the float class computes, with its two products on codes."""
        if self.is_float():
            y: Tensor = super(QuantAttention, self).forward(x, mask)
            return y
        q, k, v = self.split(linear(self.qkv, x, joined_bias(self)))
        logits = self.cosine(q, k) + self.position()
        y = self.proj_drop(self.proj(self.mix(between_windows(logits, mask), v)))
        return y

    def cosine(self, q: Heads, k: Heads) -> Logits:
        """The cosine of query and key, times a temperature of at most 100."""
        temperature = self.logit_scale.clamp(max=math.log(100.0)).exp()
        return self.logits(F.normalize(q, dim=-1), F.normalize(k, dim=-1)) * temperature

    def position(self) -> Float[Tensor, "heads tokens tokens"]:
        """16 sigmoid(MLP(log-spaced relative coordinates))."""
        table = self.cpb_mlp(self.relative_coords_table).view(-1, self.num_heads)
        bias = table[self.relative_position_index].permute(2, 0, 1).contiguous()
        position: Tensor = 16 * bias.sigmoid()
        return position


def between_windows(logits: Logits, mask: Mask | None) -> Logits:
    """Logits with the mask that keeps shifted windows apart; windows come image by image."""
    if mask is None:
        return logits
    apart = logits.reshape(-1, mask.size(0), *logits.shape[1:]) + mask.unsqueeze(1)
    return apart.flatten(0, 1)
