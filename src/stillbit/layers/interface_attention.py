"""Attention whose float class does its products through a function that its config names, as transformers' do.

The forward pass stays the float class's own. It projects, asks its config for the attention function of that name, and
calls it with itself as the first argument; the quantized attention has a config of its own, which names ours.
"""

from __future__ import annotations

from copy import copy
from typing import Any, Self

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from stillbit.layers.attention import Heads, Logits, QuantAttention
from stillbit.layers.linear import latent
from stillbit.layers.product import inner
from stillbit.layers.walk import heads_of
from stillbit.quantizers.base import Quantizer
from stillbit.quantizers.snap import Latent

INTERFACE = "stillbit"
"""The name under which `attend` is to be registered."""
WIDTH = ("attention_head_size", "head_dim")
"""What attentions call the channels of a head."""
HIDDEN = -1e4
"""A mask that adds this much or less hides: what BERT's own code added once; -inf, or the least number, today."""
NO_ZERO = (
    "a probability that a padding mask hides has to be exactly zero, and this quantizer has no such code (its grid is "
    "shifted or mid-rise): give the probability another one, AttentionSpec(..., probability=Spec(4, 'lsq'))"
)


class InterfaceAttention(QuantAttention):
    """Multi-head attention that leaves its products to `attend`; a family file joins it with the float class."""

    config: Any
    float_config: Any

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The float class's own forward, which comes back through `attend`."""
        return super(QuantAttention, self).forward(*args, **kwargs)

    @classmethod
    def adopt(cls, original: nn.Module, **quantizers: nn.Module | None) -> Self:
        """As every layer; what is quantized inside asks for our function, what is float for the one it had."""
        _check_zero(quantizers.get("probability_quantizer"))
        layer = super().adopt(original, **quantizers)
        layer.num_heads = heads_of(original)
        if not layer.is_float():
            layer.take_over()
        return layer

    def take_over(self) -> None:
        """Ask for `attend` from now on, whatever is quantized inside."""
        if "float_config" not in self.__dict__:
            self.float_config, self.config = self.config, copy(self.config)
            self.config._attn_implementation_internal = INTERFACE

    def release(self) -> nn.Module:
        """The float attention again, with the config it shares with its model."""
        layer = super().release()
        layer.__dict__.pop("num_heads")
        if "float_config" in layer.__dict__:
            layer.__dict__["config"] = layer.__dict__.pop("float_config")
        return layer

    @property
    def width(self) -> int:
        """Channels of a head."""
        return width_of(self)

    def products(
        self, q: Heads, k: Heads, v: Heads, mask: Tensor | None, *, scaling: float | None, dropout: float
    ) -> tuple[Float[Tensor, "batch queries heads width"], Logits]:
        """Both products on codes, and the probabilities before they snap; code zero wherever ``mask`` hides."""
        logits = self.logits(q, k) * (self.width**-0.5 if scaling is None else scaling)
        hidden = None
        if mask is not None:
            logits, hidden = masked(logits, mask)
        p = F.dropout(logits.softmax(dim=-1), dropout, self.training)
        snapping = latent(self.probability_quantizer, p)
        if hidden is not None:
            snapping = hide(snapping, hidden)
        mixed = inner(snapping, latent(self.value_quantizer, v).mT)
        return mixed.transpose(1, 2).contiguous(), p


def attend(
    module: InterfaceAttention,
    query: Heads,
    key: Heads,
    value: Heads,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **others: Any,
) -> tuple[Float[Tensor, "batch queries heads width"], Logits]:
    """The attention function: what transformers calls, with the signature of its own."""
    if others.get("is_causal"):
        raise ValueError("quantized attention looks both ways: leave is_causal out, or quantize an encoder")
    return module.products(query, key, value, attention_mask, scaling=scaling, dropout=dropout)


def masked(logits: Logits, mask: Tensor) -> tuple[Logits, Bool[Tensor, "*mask"]]:
    """The logits with ``mask`` applied, and which positions it hides, in a shape that broadcasts.

    A mask is what a model of transformers hands on, made for any of its implementations: True or a one (attend), a
    term to be added, or a row of ones and zeros for each sentence.
    """
    if not isinstance(mask, Tensor):
        raise ValueError(
            f"quantized attention cannot read a mask of type {type(mask).__name__}: "
            "make the float model with attn_implementation='sdpa' or 'eager'"
        )
    if mask.dim() == 2:
        mask = mask[:, None, None, :].bool()
    if mask.dtype != torch.bool:
        return logits + mask, mask <= HIDDEN
    # The least number and not -inf: a row with nothing to attend to stays finite, and all its codes are hidden.
    return logits.masked_fill(~mask, torch.finfo(logits.dtype).min), ~mask


def hide(snapping: Latent, hidden: Bool[Tensor, "*mask"]) -> Latent:
    """The latent with code zero, and value zero, wherever ``hidden``, whatever a learned threshold says there."""
    if snapping.shift is not None or (snapping.grid is not None and snapping.grid.offset):
        raise ValueError(NO_ZERO)
    return snapping._replace(x=snapping.x.masked_fill(hidden, 0.0))


def _check_zero(quantizer: nn.Module | None) -> None:
    if isinstance(quantizer, Quantizer) and any(q.grid.offset or hasattr(q, "shift") for q in quantizer.parts()):
        raise ValueError(NO_ZERO)


def width_of(attention: nn.Module) -> int:
    """How many channels one of its heads has."""
    return int(next(getattr(attention, name) for name in WIDTH if hasattr(attention, name)))
