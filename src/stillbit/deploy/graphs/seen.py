"""What goes into the graph of a runtime and comes out of it, as a program has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stillbit.deploy.program import Array, Input, sizes


def names_of(inputs: Sequence[Input]) -> list[str]:
    """What graphs call their inputs: images, or as the model calls them."""
    return ["images"] if [each.kind for each in inputs] == ["floats"] else [each.name for each in inputs]


def integers_of(tensor: Array, how: Mapping[str, Any], batch: int) -> Array:
    """A tensor as the codes of the program: zero taken off, and moved back."""
    try:
        codes = tensor.astype(np.int16) - np.int16(how["zero"])
        for move in how["back"]:
            shape = sizes(tuple(move.get("shape", ())), batch)
            codes = codes.transpose(move["axes"]) if "axes" in move else codes.reshape(shape)
        return codes
    except (OverflowError, ValueError) as problem:
        raise ValueError(f"what the graph says of its codes is damaged ({problem}): export it again") from problem
