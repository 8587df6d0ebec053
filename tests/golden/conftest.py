"""Numbers computed by the papers' own released code, and the tolerances they are held to.

The float64 runs are exact to the last digits, so they get tight bounds. The released code computes its scale as
``(s - s * g) + s * g``, one unit in the last place away from ``s``, which is what the float32 bounds allow for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

DATA = Path(__file__).parent / "data"
DTYPES = {"f64": torch.float64, "f32": torch.float32}


class Golden:
    """One file of golden numbers, read as tensors."""

    def __init__(self, name: str) -> None:
        with np.load(DATA / f"{name}.npz", allow_pickle=False) as file:
            self.arrays = {key: file[key] for key in file.files}
        self.meta = json.loads(str(self.arrays.pop("meta")))

    def __call__(self, key: str, precision: str | None = None) -> Tensor:
        array = torch.from_numpy(np.array(self.arrays[key]))
        return array if precision is None else array.to(DTYPES[precision])

    def keys(self, ending: str) -> list[str]:
        return [key for key in self.arrays if key.endswith(ending)]


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Golden]:
    """Read a file of golden numbers, each file once."""
    read: dict[str, Golden] = {}
    return lambda name: read.setdefault(name, Golden(name))


@pytest.fixture(scope="session")
def close() -> Callable[[Tensor, Tensor, str], None]:
    """Compare values, or gradients to a tensor, at the tolerance of their precision."""

    def check(ours: Tensor, theirs: Tensor, precision: str) -> None:
        largest = theirs.abs().max().item()
        rtol, atol = (1e-9, 1e-10 * largest) if precision == "f64" else (1e-5, 2e-5 * largest)
        torch.testing.assert_close(ours.detach(), theirs, rtol=rtol, atol=atol, check_dtype=True)

    return check


@pytest.fixture(scope="session")
def close_scale() -> Callable[..., None]:
    """Compare gradients to a scale or shift: long sums of both signs, so float32 allows 1e-3 of the largest.

    A gradient that is zero but for rounding (a shift when nothing clips) has no digits of its own: ``summed``, what
    was added up, then says how much rounding a sum of it may leave.
    """

    def check(ours: Tensor, theirs: Tensor, precision: str, summed: Tensor | None = None) -> None:
        largest = theirs.abs().max().item()
        rtol, atol = (1e-9, 1e-10 * largest) if precision == "f64" else (0.0, 1e-3 * largest)
        if summed is not None:
            atol += torch.finfo(summed.dtype).eps * summed.abs().sum().item()
        torch.testing.assert_close(ours.detach().reshape(theirs.shape), theirs, rtol=rtol, atol=atol)

    return check
