"""Products of codes as integers: eight bits a side, sums of 32.

What a side multiplies by is its *digit*: the code, or ``2 * code + 1`` on a grid without a zero. `way` takes the
quickest that is exact for the digits at hand:

* both fit into eight bits (the left one signed or not): `torch._int_mm`, a matrix at a time;
* a weight whose codes fit, but not doubled: its codes, and once the sum of the left digits;
* anything else: a float product, of float32 if no sum can reach 2^24, or of float64.

`torch._int_mm` is only used where this processor computes it exactly and faster than floats: `trusted` tries.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

WHOLE = 2**24
"""Integers up to this, and sums of them, are exact in float32."""


Times = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Side:
    """The codes of one side: their ends, and whether they are doubled."""

    low: int
    high: int
    doubled: bool = False

    @property
    def digits(self) -> tuple[int, int]:
        """The smallest and the largest digit."""
        return (2 * self.low + 1, 2 * self.high + 1) if self.doubled else (self.low, self.high)

    @property
    def reach(self) -> int:
        """The largest digit without its sign."""
        return max(map(abs, self.digits))

    def fits(self, *types: torch.dtype) -> torch.dtype | None:
        """The first of these types that holds every digit."""
        low, high = self.digits
        return next((kind for kind in types if torch.iinfo(kind).min <= low and high <= torch.iinfo(kind).max), None)


def holds(low: int, high: int) -> torch.dtype:
    """The smallest type that codes of a grid are kept in."""
    return Side(low=low, high=high).fits(torch.int8, torch.uint8, torch.int16) or torch.int32


def exact_float(reach: int) -> torch.dtype:
    """The float in which sums up to this are exact."""
    return torch.float32 if reach <= WHOLE else torch.float64


def digits(codes: Tensor, side: Side, kind: torch.dtype) -> Tensor:
    """The digits of codes."""
    narrow = codes.to(kind)  # what is too large for a moment comes back into range, as the digit fits
    return torch.add(torch.ones((), dtype=kind), narrow, alpha=2) if side.doubled else narrow


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to multiply: the right side is laid out first, which for a weight is done once."""

    lay: Callable[[Tensor], Tensor]
    multiply: Callable[[Tensor, Tensor], Tensor]
    """Codes of the left side by what was laid out."""


def way(left: Side, right: Side, terms: int, *, weight: bool, times: Times) -> Way:
    """How codes of these are multiplied; ``weight``: the right side is known; ``times``: `rows` or `matrices`."""
    kind = left.fits(torch.int8, torch.uint8)
    if trusted() and kind is not None and right.fits(torch.int8) is not None:
        return Way(
            lay=lambda b: digits(b, right, torch.int8),
            multiply=lambda a, b: times(digits(a, left, kind), b),
        )
    if trusted() and kind is not None and weight and right.doubled and holds(right.low, right.high) is torch.int8:
        # sum a (2 c + 1) is 2 sum a c + sum a
        return Way(lay=lambda b: b.to(torch.int8), multiply=lambda a, b: _corrected(times, digits(a, left, kind), b))
    wide = exact_float(terms * left.reach * right.reach)
    return Way(
        lay=lambda b: digits(b, right, wide),
        multiply=lambda a, b: torch.matmul(digits(a, left, wide), b),
    )


def _corrected(times: Times, a: Tensor, b: Tensor) -> Tensor:
    return times(a, b).mul_(2).add_(a.sum(-1, keepdim=True, dtype=torch.int32))


def rows(a: Tensor, weight: Tensor) -> Tensor:
    """Every row of ``a``, whatever its axes, by one matrix."""
    flat = a.reshape(-1, a.shape[-1])
    if flat.stride(0) < flat.shape[1]:  # rows that overlap, as windows do, have no kernel
        flat = flat.contiguous()
    return torch._int_mm(flat, weight).view(*a.shape[:-1], weight.shape[-1])


def matrices(a: Tensor, b: Tensor) -> Tensor:
    """Matrix by matrix: measured quicker than a batched product of floats even for windows of 49 x 32."""
    ahead = a.shape[:-2]
    if ahead != b.shape[:-2]:
        ahead = torch.broadcast_shapes(ahead, b.shape[:-2])
        a, b = (x.expand(*ahead, *x.shape[-2:]) for x in (a, b))
    out = torch.empty(*ahead, a.shape[-2], b.shape[-1], dtype=torch.int32, device=a.device)
    pairs = zip(*(x.flatten(0, -3).unbind() if ahead else [x] for x in (a, b, out)), strict=True)
    for left, right, into in pairs:
        torch._int_mm(left, right, out=into)
    return out


MATRICES = torch.library.custom_op("stillbit::matrices", matrices, mutates_args=())
"""The same, one operation to whoever records and compiles."""


@MATRICES.register_fake
def _matrices_like(a: Tensor, b: Tensor) -> Tensor:
    ahead = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return torch.empty(*ahead, a.shape[-2], b.shape[-1], dtype=torch.int32, device=a.device)


@functools.cache
def trusted() -> bool:
    """Whether this processor multiplies integers exactly, and sooner than floats: tried once, in a few milliseconds."""
    a = torch.full((128, 256), 255, dtype=torch.uint8)
    a[::2], a[1::4] = 0, 1
    b = torch.full((256, 128), 127, dtype=torch.int8)
    b[:, ::2] = -128
    signed = torch.full((128, 256), -128, dtype=torch.int8)
    x, y = a.float(), b.float()
    try:
        if any(not torch.equal(torch._int_mm(left, b).double(), left.double() @ b.double()) for left in (a, signed)):
            return False
    except (RuntimeError, AttributeError):
        return False
    return _seconds(lambda: torch._int_mm(signed, b)) < _seconds(lambda: x @ y)


def _seconds(work: Callable[[], Tensor]) -> float:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)
