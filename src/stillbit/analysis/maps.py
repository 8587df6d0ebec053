"""Attention over a picture: the last attention of all heads fused, and the rollout through all layers.

Rollout is Abnar and Zuidema's (arXiv 2005.00928): a block passes on half of what comes in and mixes the other half, so

    A = (mean over heads of P + I) / 2, rows brought to a sum of 1;   rollout = A_last ... A_first

Fused is the largest probability of all heads of the last attention, as VVTQ shows it in Figure 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from stillbit.analysis.probabilities import Attended

Grid = Float[Tensor, "images height width"]


class Reading(NamedTuple):
    """How a map is read from what tokens attend to."""

    size: tuple[int, int]
    """Patches from top to bottom, and from left to right."""
    prefix: int
    """Tokens in front of the patches."""
    by_class: bool
    """Whether the class token's attention is the model's; else it is the mean over all tokens."""

    def of(self, attended: Float[Tensor, "images queries keys"]) -> Grid:
        """The attention to each patch; every image sums to 1."""
        row = attended[:, 0] if self.by_class else attended.mean(1)
        patches = row[:, self.prefix :].double()
        whole = patches.sum(-1, keepdim=True)
        even = torch.full_like(patches, 1 / patches.size(-1))
        shares = torch.where(whole > 0, patches / whole.clamp_min(torch.finfo(torch.float64).tiny), even)
        grid: Tensor = shares.unflatten(-1, self.size)
        return grid


def reading(model: Any, attended: Mapping[str, Attended], images: int) -> Reading | str:
    """How maps of this model are read, or why it has none."""
    shapes = {(len(p), *p.shape[-2:]) for p in attended.values()}
    if any(count != images for count, _, _ in shapes):
        return "its attention is inside windows or groups of tokens, and no token looks at the whole image"
    if len(shapes) > 1 or any(queries != keys for _, queries, keys in shapes):
        return "its tokens change from block to block, so that what they attend to cannot be multiplied together"
    tokens = next(iter(shapes))[1]
    prefix = int(getattr(model, "num_prefix_tokens", 0))
    size = _size(model, tokens - prefix)
    if size is None:
        return f"its {tokens} tokens are no grid of patches"
    by_class = prefix > 0 and getattr(model, "global_pool", "") == "token"
    return Reading(size, prefix, by_class)


def fused(layers: Sequence[Attended]) -> Float[Tensor, "images queries keys"]:
    """The largest probability of all heads, of the last attention."""
    return layers[-1].double().amax(1)


def rollout(layers: Sequence[Attended]) -> Float[Tensor, "images queries keys"]:
    """What every token of the last layer has of every token of the first."""
    rolled = None
    for attended in layers:
        mixed = attended.double().mean(1)
        mixed = mixed + torch.eye(mixed.size(-1), dtype=mixed.dtype, device=mixed.device)
        mixed = mixed / mixed.sum(-1, keepdim=True)
        rolled = mixed if rolled is None else mixed @ rolled
    assert rolled is not None, "a model that is looked at has an attention"
    return rolled


def _size(model: Any, patches: int) -> tuple[int, int] | None:
    grid = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    if isinstance(grid, tuple) and len(grid) == 2 and grid[0] * grid[1] == patches:
        return grid[0], grid[1]
    side = isqrt(max(patches, 0))
    return (side, side) if side and side * side == patches else None
