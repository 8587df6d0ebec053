"""OFQ's query-key merge: the float function stays exactly what it was, biases included."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stillbit.layers.merged_attention import MergedAttention


def merge(attention: nn.Module, into: type[MergedAttention]) -> MergedAttention:
    """``attention`` with ``qk`` and ``v`` in place of ``qkv``; raises where query and key cannot be merged."""
    for norm in ("q_norm", "k_norm"):
        if not isinstance(getattr(attention, norm, nn.Identity()), nn.Identity):
            raise ValueError(
                f"query and key cannot be merged where {norm} stands between them: use AttentionSpec(merge=False)"
            )
    qkv: nn.Linear = attention.get_submodule("qkv")  # type: ignore[assignment]
    heads: Any = attention.num_heads
    layer = into.adopt(attention)
    layer._modules.pop("qkv")
    for name, (weight, bias) in _merged(qkv, heads).items():
        layer.add_module(name, _linear(weight, bias, like=qkv))
    return layer


@torch.no_grad()
def _merged(qkv: nn.Linear, heads: int) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Per head W_k^T W_q with bias W_k^T b_q, computed in float64; the value part as it is."""
    width = qkv.out_features // (3 * heads)
    weight = qkv.weight.double().view(3, heads, width, qkv.in_features)
    query, key, value = weight.unbind(0)
    turned = key.mT
    merged, bias, value_bias = (turned @ query).flatten(0, 1), None, None
    if qkv.bias is not None:
        parts = qkv.bias.double().view(3, heads, width, 1).unbind(0)
        bias, value_bias = (turned @ parts[0]).flatten(), parts[2].flatten()
    return {"qk": (merged, bias), "v": (value.flatten(0, 1), value_bias)}


def _linear(weight: Tensor, bias: Tensor | None, like: nn.Linear) -> nn.Linear:
    with torch.device("meta"):
        layer = nn.Linear(weight.size(1), weight.size(0), bias is not None)
    kind, wanted = like.weight.dtype, like.weight.requires_grad
    layer.weight = nn.Parameter(weight.to(kind), wanted)
    if bias is not None:
        layer.bias = nn.Parameter(bias.to(kind), wanted)
    return layer.train(like.training)
