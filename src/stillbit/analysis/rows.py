"""Numbers of attention, row by row: how spread out a row is, whether it is silent, how alike two rows rank the keys."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Rows = Float[Tensor, "*queries keys"]


def silent(rows: Rows) -> Bool[Tensor, "*queries"]:
    """Whether a query attends to nothing: few bits snap small probabilities to zero, and in a long row all are."""
    return rows.abs().amax(-1) == 0


def entropy(rows: Rows) -> Float[Tensor, "*queries"]:
    """In nats, of every row brought to a sum of 1; zero for a silent one."""
    weights = rows.double()
    weights = weights / weights.sum(-1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    found: Tensor = torch.special.entr(weights).sum(-1)
    return found


def spearman(one: Rows, other: Rows) -> Float[Tensor, "*queries"]:
    """The rank correlation of every row with its like; equal numbers share a rank, and a row of equals correlates 0."""
    first, second = _ranks(one), _ranks(other)
    together = (first * second).sum(-1)
    spread = (first.square().sum(-1) * second.square().sum(-1)).sqrt()
    return torch.where(spread > 0, together / spread.clamp_min(torch.finfo(torch.float64).tiny), 0.0)


def _ranks(rows: Tensor) -> Tensor:
    """The rank of every number in its row, the mean of the ranks of its equals, less the mean of all."""
    rows = rows.contiguous()
    ordered = rows.sort(-1).values
    below = torch.searchsorted(ordered, rows)
    upto = torch.searchsorted(ordered, rows, right=True)
    return (below + upto).double() / 2 - rows.size(-1) / 2
