"""Who shares a scale. Granularities are values; a layout turns one into the shape of the scale."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Kind = Literal["tensor", "channel", "head", "token", "group"]
Blocks = tuple[int, ...]
"""Into how many equal blocks each axis is cut; the shape of the scale, aligned to the tensor's last axes."""


@dataclass(frozen=True)
class Granularity:
    """Which elements of a tensor share one scale."""

    kind: Kind
    size: int | None = None

    def of_weight(self, shape: tuple[int, ...], *, heads: int | None = None, head_axis: int = 0) -> Blocks:
        """Cut a weight ``[out, in, ...]``; ``heads`` blocks lie along ``head_axis``.

        A fused query-key-value weight has three times as many blocks as heads on its rows (axis 0); an attention
        projection has its heads on the input columns (axis 1).
        """
        whole = (1,) * len(shape)
        match self.kind:
            case "tensor":
                return whole
            case "channel":
                return (shape[0], *whole[1:])
            case "head":
                return _cut(whole, head_axis, self._heads(heads), shape[head_axis])
            case "group":
                return (shape[0], self._groups(shape[1]), *whole[2:])
            case "token":
                raise ValueError("a weight has no token positions: use per_tensor, per_channel, per_head or per_group")

    def of_tokens(self, channels: int, *, tokens: int | None = None, heads: int | None = None) -> Blocks:
        """Cut tokens ``[..., tokens, channels]``; only per_token needs to know how many tokens there are."""
        match self.kind:
            case "tensor":
                return (1,)
            case "channel":
                return (channels,)
            case "head":
                return _cut((1,), 0, self._heads(heads), channels)
            case "group":
                return (self._groups(channels),)
            case "token":
                return (_known(tokens), 1)

    def of_heads(self, heads: int, width: int, *, tokens: int | None = None) -> Blocks:
        """Cut an attention operand ``[batch, heads, tokens, width]``; ``width`` may be a number of keys."""
        match self.kind:
            case "tensor":
                return (1,)
            case "channel":
                return (heads, 1, width)
            case "head":
                return (heads, 1, 1)
            case "group":
                return (heads, 1, self._groups(width))
            case "token":
                return (1, _known(tokens), 1)

    def of_image(self, channels: int) -> Blocks:
        """Cut a feature map ``[batch, channels, height, width]``."""
        match self.kind:
            case "tensor":
                return (1,)
            case "channel":
                return (channels, 1, 1)
            case "group":
                return (self._groups(channels), 1, 1)
            case _:
                raise ValueError(f"a feature map has no {self.kind}s: use per_tensor, per_channel or per_group")

    def _heads(self, heads: int | None) -> int:
        if heads is None:
            raise ValueError("per_head needs a layer with attention heads: use per_tensor or per_channel here")
        return heads

    def _groups(self, length: int) -> int:
        assert self.size is not None, "per_group(size) always has a size"
        if length % self.size:
            raise ValueError(f"groups of {self.size} do not divide {length} inputs: choose a divisor of {length}")
        return length // self.size

    def __str__(self) -> str:
        """Say it as it is written."""
        return f"per_{self.kind}" + (f"({self.size})" if self.size else "")


per_tensor = Granularity("tensor")
per_channel = Granularity("channel")
per_head = Granularity("head")
per_token = Granularity("token")


def per_group(size: int) -> Granularity:
    """``size`` neighbouring inputs of one output share a scale."""
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"a group has a whole number of inputs, got {size!r}: write per_group(64)")
    return Granularity("group", size)


def named(name: str) -> Granularity:
    """The granularity that ``str`` wrote as ``name``; the inverse of ``str(granularity)``."""
    if name.startswith("per_group(") and name.endswith(")") and name[10:-1].isdigit():
        return per_group(int(name[10:-1]))
    known = {str(g): g for g in (per_tensor, per_channel, per_head, per_token)}
    if name not in known:
        raise ValueError(f"unknown granularity {name!r}: use one of {', '.join(known)} or per_group(64)")
    return known[name]


def _cut(whole: Blocks, axis: int, blocks: int, length: int) -> Blocks:
    if blocks < 1 or length % blocks:
        raise ValueError(f"{blocks} heads do not divide {length} channels: give a number of heads that does")
    return tuple(blocks if i == axis else b for i, b in enumerate(whole))


def _known(tokens: int | None) -> int:
    if tokens is None:
        raise ValueError(
            "per_token needs to know how many tokens there are: this layer's input has no fixed number; use per_tensor"
        )
    return tokens


def spread(scale: Float[Tensor, "*blocks"], shape: tuple[int, ...]) -> Float[Tensor, "*broadcastable"]:
    """Repeat a block-shaped scale until it broadcasts against a tensor of ``shape``."""
    for axis in range(-scale.dim(), 0):
        blocks, length = scale.size(axis), shape[axis]
        if blocks not in (1, length):
            if length % blocks:
                raise ValueError(f"a tensor of shape {tuple(shape)} cannot be cut into {tuple(scale.shape)} blocks")
            scale = scale.repeat_interleave(length // blocks, axis)
    return scale


def gather(x: Float[Tensor, "*shape"], blocks: Blocks) -> Float[Tensor, "blocks elements"]:
    """One row a block: everything that shares a scale, leading axes (the batch) included."""
    lead = x.dim() - len(blocks)
    split = [s for b, n in zip(blocks, x.shape[lead:], strict=True) for s in (b, n // b)]
    rows = x.reshape(*x.shape[:lead], *split)
    first = [lead + 2 * i for i in range(len(blocks))]
    rest = [*range(lead), *(axis + 1 for axis in first)]
    return rows.permute(*first, *rest).reshape(prod(blocks), -1)


def gathered_sum(x: Float[Tensor, "*shape"], blocks: Blocks) -> Float[Tensor, "*blocks"]:
    """Sum over everything that shares a scale; the transpose of `spread`."""
    cut = any(b not in (1, n) for b, n in zip(blocks, x.shape[x.dim() - len(blocks) :], strict=True))
    return gather(x, blocks).sum(1).reshape(blocks) if cut else x.sum_to_size(blocks)


def wide(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """``x`` in at least float32: statistics and scales live there, whatever the tensor's own precision."""
    return x if x.dtype == torch.float64 else x.float()


def share(x: Float[Tensor, "*shape"], blocks: Blocks) -> float:
    """How many elements of one sample share a scale; the batch axis, if there is one, does not count."""
    sample = x.shape[1:] if x.dim() > len(blocks) else x.shape
    return float(prod(sample)) / prod(blocks)
