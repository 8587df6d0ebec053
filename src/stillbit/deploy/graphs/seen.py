"""What comes out of the graph of a runtime, as a program has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stillbit.deploy.graphs.onnx_file import Written
from stillbit.deploy.program import Array, sizes


def checked(images: Array, written: Written) -> Array:
    """Images as a graph takes them."""
    images, wanted = np.ascontiguousarray(images, np.float32), written.shape[1:]
    if images.shape[1:] != wanted or not len(images):
        spelled = " x ".join(map(str, wanted))
        raise ValueError(f"this model takes a batch of {spelled}, and not an array of {images.shape}")
    return images


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
