"""Batches that nobody has to have: enough to prove codes, and to measure how long a batch takes."""

from __future__ import annotations

import numpy as np

from stillbit.deploy.inputs import Wanted
from stillbit.deploy.program import Array

PAD = 0
"""What fills sentences up, where nobody says otherwise."""


def noise(wanted: Wanted, number: int, *, seed: int = 0, pad: int = PAD) -> tuple[Array, ...]:
    """So many images of noise, or sentences of chance words and lengths, of which the first is as long as can be.

    Indices without a table say which words there are: 1, and 0 for padding. Words are those of the largest table; what
    else is asked of tables is 0 where there is no word.
    """
    random = np.random.default_rng(seed)
    rows = max(wanted.limits.values(), default=0)
    lengths: dict[int, Array] = {}
    made = []
    for each in wanted.inputs:
        shape = (number, *each.dims[1:])
        if each.kind == "floats":
            made.append(random.standard_normal(shape, np.float32))
            continue
        longest = shape[-1]
        if longest not in lengths:
            lengths[longest] = random.integers(1, longest + 1, (number, *(1,) * (len(shape) - 1)))
            lengths[longest][:1] = longest
        there = np.broadcast_to(np.arange(longest) < lengths[longest], shape)
        limit = wanted.limits.get(each.name)
        if limit is None:
            made.append(there.astype(np.int64))
        else:
            filling = pad if limit == rows else 0
            made.append(np.where(there, random.integers(0, limit, shape), filling))
    return tuple(made)
