"""Attention whose query and key are one matrix a head (OFQ's query-key reparameterization).

    logits = (W_q x + b_q) . (W_k x' + b_k) = (W_k^T W_q x + W_k^T b_q) . x' + (terms constant over x')

and softmax does not see the last part. So ``qk`` is a linear from C to heads * C whose bias carries b_q, its output
plays the query, and the input itself, quantized once, plays the key. Four tensors are quantized where six were.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from jaxtyping import Float
from torch import Tensor, nn

from stillbit.layers.attention import Heads, Logits, QuantAttention, additive
from stillbit.layers.linear import QuantLinear, latent, linear
from stillbit.layers.product import inner
from stillbit.layers.window_attention import between_windows
from stillbit.quantizers.snap import Latent

Tokens = Float[Tensor, "batch tokens channels"]


class MergedAttention(QuantAttention):
    """Attention with ``qk``, ``v`` and ``proj`` in place of ``qkv`` and ``proj``."""

    roles: ClassVar[tuple[str, ...]] = ("query_quantizer", "value_quantizer", "probability_quantizer")
    key_quantizer = None

    qk: nn.Linear
    v: nn.Linear

    def forward(self, x: Tokens, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tokens:
        """The float attention's function; exactly so where nothing is quantized."""
        gate = self.gate(x).sigmoid() if self.gate is not None else None
        tokens = self.tokens(x)
        logits = self.merged_logits(tokens)
        bias = additive(attn_mask, is_causal, logits)
        x = self.norm(self.mix(logits if bias is None else logits + bias, self.values(tokens)))
        if gate is not None:
            x = x * gate
        y: Tensor = self.proj_drop(self.proj(x))
        return y

    def tokens(self, x: Tokens) -> Latent:
        """The input, with the one grid that query, key and value share."""
        return latent(self.qk.input_quantizer if isinstance(self.qk, QuantLinear) else None, x)

    def merged_logits(self, tokens: Latent) -> Logits:
        """(W_qk x + c) x'^T / sqrt(d), all heads in one product."""
        query = self.headed(linear(self.qk, tokens, self.qk.bias))
        scores = inner(_stacked(latent(self.query_quantizer, query)), tokens)
        logits: Tensor = scores.unflatten(1, (self.num_heads, -1)) * self.scale
        return logits

    def values(self, tokens: Latent) -> Heads:
        """W_v x + b_v, a head at a time."""
        return self.headed(linear(self.v, tokens, self.v.bias))

    def headed(self, x: Tokens) -> Heads:
        """``[batch, tokens, heads * width]`` as ``[batch, heads, tokens, width]``."""
        heads: Tensor = x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        return heads

    def release(self) -> Self:
        """Merged it stays: a trained merged matrix has no query and key to go back to."""
        layer = type(self).adopt(self)
        layer.float_class = self.float_class
        return layer


class MergedWindowAttention(MergedAttention):
    """The same for Swin's windows, with their position bias."""

    _get_rel_pos_bias: Any

    def forward(self, x: Tokens, mask: Tensor | None = None) -> Tokens:  # type: ignore[override]
        """The float window attention's function; exactly so where nothing is quantized."""
        tokens = self.tokens(x)
        logits = self.merged_logits(tokens) + self._get_rel_pos_bias()
        y: Tensor = self.proj_drop(self.proj(self.mix(between_windows(logits, mask), self.values(tokens))))
        return y


def _stacked(query: Latent) -> Latent:
    """The heads of ``[batch, heads, tokens, channels]`` laid one below the other, their scales with them.

    A shift that is the same for all tokens stays one row a head: what it adds to the product is added up once.
    """
    heads, tokens = query.x.shape[1:3]

    def stack(t: Tensor | None, rows: int) -> Tensor | None:
        return t if t is None or t.dim() < 3 else t.expand(heads, rows, t.size(-1)).flatten(0, 1)

    alike = query.shift is not None and query.shift.dim() == 3 and query.shift.size(-2) == 1
    shift = stack(query.shift, 1 if alike else tokens)
    return query._replace(x=query.x.flatten(1, 2), scale=stack(query.scale, tokens), shift=shift)
