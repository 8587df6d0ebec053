"""Information rectification (Q-ViT, arXiv 2210.06707): query and key get a spread the grid can use before they snap.

    q~ = (q - mu(q) + beta) / (gamma * sqrt(sigma^2(q) + eps)),   one gamma and one beta a head

The mean and the variance are those of one head in one sample, over its tokens and channels: nothing is carried from one
batch to the next, so training and eval compute the same. The paper leaves open over what they are taken.
"""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.quantizers.base import SMALLEST_SCALE
from stillbit.quantizers.granularity import wide

Heads = Float[Tensor, "batch heads tokens width"]
EPSILON = 1e-5
"""Keeps the denominator from being zero; LayerNorm's usual one."""


@final
class Rectify(nn.Module):
    """The rectification of a query or a key."""

    def __init__(self, heads: int) -> None:
        """Before any data every head has mean zero and variance one."""
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(heads))
        self.beta = nn.Parameter(torch.zeros(heads))
        self.register_buffer("started", torch.tensor(False))
        self.started: Tensor

    def forward(self, x: Heads) -> Heads:
        """``x`` rectified; computed in at least float32, as every statistic is."""
        mean, deviation = _moments(x)
        gamma, beta = (wide(t).reshape(-1, 1, 1) for t in (self.gamma, self.beta))
        # As with a scale: an optimizer that steps through zero turns it round, not inside out.
        return ((wide(x) - mean + beta) / (gamma.abs().clamp_min(SMALLEST_SCALE) * deviation)).to(x.dtype)

    @torch.no_grad()
    def start(self, x: Heads) -> None:
        """Begin as near to no change as can be: with the least squared error of ``x`` rectified against ``x``.

        A sample d n + m, n of mean 0 and deviation 1, becomes r n + c / d with r = 1 / gamma and c = beta / gamma. The
        error, the sum of (r - d)^2 + (c / d - m)^2 over samples, is least where r is the mean of d and c is
        sum(m / d) / sum(1 / d^2). What is alike in all samples passes unchanged; what differs is lost.
        """
        mean, deviation = _moments(x)
        gamma = 1 / deviation.mean(0)
        self.gamma.copy_(gamma.flatten())
        self.beta.copy_((gamma * (mean / deviation).sum(0) / deviation.square().reciprocal().sum(0)).flatten())
        self.started.fill_(True)

    def is_started(self) -> bool:
        """Whether `start` was called, here or where the state was saved."""
        return not self.started.is_meta and bool(self.started)

    def extra_repr(self) -> str:
        """How many heads."""
        return f"heads={len(self.gamma)}"


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each head of each sample."""
    x = wide(x)
    mean = x.mean((-2, -1), keepdim=True)
    return mean, ((x - mean).square().mean((-2, -1), keepdim=True) + EPSILON).sqrt()
