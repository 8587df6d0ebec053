"""Attention with every product quantized: query times key, probabilities times value."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.layers.base import QuantLayer
from stillbit.layers.linear import latent
from stillbit.layers.product import inner
from stillbit.layers.rectify import Rectify
from stillbit.quantizers.base import Quantizer

Heads = Float[Tensor, "batch heads tokens width"]
Logits = Float[Tensor, "batch heads queries keys"]


class QuantAttention(QuantLayer):
    """Multi-head attention with a fused ``qkv`` and a ``proj``, both of them layers of their own.

    A family file joins this class with the float class it stands for; where everything in it is float, the float class
    runs. The input of the block is quantized by ``qkv``, the output of the attention by ``proj``.
    """

    roles: ClassVar[tuple[str, ...]] = (
        "query_quantizer",
        "key_quantizer",
        "value_quantizer",
        "probability_quantizer",
        "query_rectify",
        "key_rectify",
    )
    reads_qkv_weight: ClassVar[bool] = False
    """Whether the float class reads the weight of ``qkv`` past its forward, so that it must be float to run."""
    normalises: ClassVar[bool] = False
    """Whether query and key are normalised by the attention itself, so that there is nothing to rectify."""

    query_quantizer: Quantizer | None
    key_quantizer: Quantizer | None
    value_quantizer: Quantizer | None
    probability_quantizer: Quantizer | None
    query_rectify: Rectify | None
    key_rectify: Rectify | None

    num_heads: int
    head_dim: int
    scale: float
    qkv: nn.Linear
    proj: nn.Linear
    q_norm: nn.Module
    k_norm: nn.Module
    norm: nn.Module
    gate: nn.Linear | None
    attn_drop: nn.Module
    proj_drop: nn.Module

    def forward(
        self,
        x: Float[Tensor, "batch tokens channels"],
        attn_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Float[Tensor, "batch tokens out"]:
        """What the float class computes, with its two products on codes."""
        if self.is_float():
            y: Tensor = super().forward(x, attn_mask=attn_mask, is_causal=is_causal)
            return y
        gate = self.gate(x).sigmoid() if self.gate is not None else None
        q, k, v = self.split(self.qkv(x))
        logits = self.logits(self.q_norm(q), self.k_norm(k)) * self.scale
        bias = additive(attn_mask, is_causal, logits)
        x = self.mix(logits if bias is None else logits + bias, v)
        x = self.norm(x)
        if gate is not None:
            x = x * gate
        y = self.proj_drop(self.proj(x))
        return y

    def split(self, qkv: Float[Tensor, "batch tokens 3attn"]) -> tuple[Heads, Heads, Heads]:
        """Query, key and value, a head at a time."""
        q, k, v = qkv.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def logits(self, q: Heads, k: Heads) -> Logits:
        """Q k^T on codes, both rectified before if they are to be."""
        q = q if self.query_rectify is None else self.query_rectify(q)
        k = k if self.key_rectify is None else self.key_rectify(k)
        return inner(latent(self.query_quantizer, q), latent(self.key_quantizer, k))

    def mix(self, logits: Logits, v: Heads) -> Float[Tensor, "batch tokens attn"]:
        """softmax(logits) v on codes; a masked probability is exactly zero, and so is its code."""
        p = self.attn_drop(logits.softmax(dim=-1))
        mixed = inner(latent(self.probability_quantizer, p), latent(self.value_quantizer, v).mT)
        return mixed.transpose(1, 2).flatten(2)

    @property
    def width(self) -> int:
        """Channels of a head, on their way to ``proj``."""
        return self.proj.in_features // self.num_heads

    def is_float(self) -> bool:
        """Whether the float class can run: both products are float, and the linears look after themselves."""
        operands = tuple(getattr(self, role) for role in self.roles)
        held = self.reads_qkv_weight and isinstance(self.qkv, QuantLayer) and bool(self.qkv.quantizers())
        return not held and all(operand is None for operand in operands)


def additive(mask: Tensor | None, is_causal: bool, logits: Logits) -> Tensor | None:
    """A mask as a term of the logits, with the meaning scaled_dot_product_attention gives it (True: attend)."""
    if is_causal:
        hidden = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).triu(1)
        return logits.new_zeros(()).masked_fill(hidden, float("-inf"))
    if mask is not None and mask.dtype == torch.bool:
        return logits.new_zeros(()).masked_fill(~mask, float("-inf"))
    return mask


def joined_bias(attention: Any) -> Tensor | None:
    """The bias of ``qkv``: its own, or the parts that EVA, BEiT and Swin v2 keep apart (a key needs none)."""
    if getattr(attention, "q_bias", None) is None:
        bias: Tensor | None = attention.qkv.bias
        return bias
    return torch.cat((attention.q_bias, attention.k_bias, attention.v_bias))
