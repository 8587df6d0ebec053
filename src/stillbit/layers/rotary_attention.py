"""Attention with rotary positions (EVA, DINOv3, RoPE ViTs) and with biases kept apart from ``qkv`` (EVA, BEiT)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.layers.attention import Heads, QuantAttention, additive, joined_bias
from stillbit.layers.linear import linear

Tokens = Float[Tensor, "batch tokens channels"]


class QuantRotaryAttention(QuantAttention):
    """Query and key are turned by their position before they are quantized; key and value heads may be shared."""

    reads_qkv_weight = True
    rotate: ClassVar[Callable[..., Tensor]]
    """``rotate(x, rope, half=...)`` of the family."""

    qkv: nn.Linear | None  # type: ignore[assignment]
    num_prefix_tokens: int
    q_proj: nn.Linear
    k_proj: nn.Linear
    v_proj: nn.Linear

    def forward(  # type: ignore[override]
        self, x: Tokens, rope: Tensor | None = None, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tokens:
        """What the float class computes, with its two products on codes."""
        if self.is_float():
            y: Tensor = super(QuantAttention, self).forward(x, rope=rope, attn_mask=attn_mask, is_causal=is_causal)
            return y
        gate = self.gate(x).sigmoid() if self.gate is not None else None
        q, k, v = self.projected(x)
        q, k = self.turned(self.q_norm(q), rope, v), self.turned(self.k_norm(k), rope, v)
        groups = q.size(1) // k.size(1)
        if groups > 1:
            k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        logits = self.logits(q, k) * self.scale
        bias = additive(attn_mask, is_causal, logits)
        x = self.norm(self.mix(logits if bias is None else logits + bias, v))
        y = self.proj_drop(self.proj(x if gate is None else x * gate))
        return y

    def projected(self, x: Tokens) -> tuple[Heads, Heads, Heads]:
        """Query, key and value from one linear or from three."""
        if isinstance(self.qkv, nn.Linear):
            return self.split(linear(self.qkv, x, joined_bias(self)))
        q, k, v = (
            projection(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        return q, k, v

    def turned(self, x: Heads, rope: Tensor | None, like: Tensor) -> Heads:
        """``x`` turned by its position; prefix tokens (class, registers) have none."""
        if rope is None:
            return x
        prefix, patches = x.split([self.num_prefix_tokens, x.size(2) - self.num_prefix_tokens], dim=2)
        half = getattr(self, "rotate_half", False)
        return torch.cat([prefix, type(self).rotate(patches, rope, half=half)], dim=2).type_as(like)


class QuantBiasedAttention(QuantAttention):
    """BEiT: a position bias on the logits, its own or one shared by all blocks."""

    reads_qkv_weight = True
    relative_position_bias_table: Tensor | None
    _get_rel_pos_bias: Any

    def forward(self, x: Tokens, shared_rel_pos_bias: Tensor | None = None) -> Tokens:  # type: ignore[override]
        """What the float class computes, with its two products on codes."""
        if self.is_float():
            y: Tensor = super(QuantAttention, self).forward(x, shared_rel_pos_bias)
            return y
        q, k, v = self.split(linear(self.qkv, x, joined_bias(self)))
        logits = self.logits(q, k) * self.scale
        if self.relative_position_bias_table is not None:
            logits = logits + self._get_rel_pos_bias()
        if shared_rel_pos_bias is not None:
            logits = logits + shared_rel_pos_bias
        y = self.proj_drop(self.proj(self.mix(logits, v)))
        return y
