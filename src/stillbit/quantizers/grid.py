"""The grid: how many codes there are, whether they have a sign, and where zero lies among them."""

from __future__ import annotations

from dataclasses import dataclass

FLOAT_BITS = 32
"""The bit-width that means "not quantized": a spec of 32 bits leaves its tensor as it is."""


def check_bits(bits: object) -> int:
    """Return ``bits`` if it is a whole number from 1 to 8, or 32 for float; say what to write otherwise."""
    if isinstance(bits, bool) or not isinstance(bits, int):
        try:
            whole = int(float(bits))  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            whole = 4
        raise ValueError(f"bits must be a whole number from 1 to 8, or 32 for float, got {bits!r}: write bits={whole}")
    if not (1 <= bits <= 8 or bits == FLOAT_BITS):
        nearest = 1 if bits < 1 else 8
        raise ValueError(f"bits must be a whole number from 1 to 8, or 32 for float, got {bits}: write bits={nearest}")
    return bits


@dataclass(frozen=True)
class Grid:
    """The integers a tensor may become, ``low .. high``, and the half step between them and zero.

    A code ``k`` stands for the value ``(k + offset) * scale``. With ``offset=0`` zero is a level (mid-tread: LSQ,
    MinMax, PACT); with ``offset=0.5`` zero lies between two levels and the grid is symmetric (mid-rise: StatsQ,
    DoReFa weights, and at one bit the two levels of a binary tensor).
    """

    bits: int
    signed: bool = True
    offset: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no grid."""
        if check_bits(self.bits) == FLOAT_BITS:
            raise ValueError("a grid has 1 to 8 bits; a float tensor has no grid: leave the quantizer out")
        if self.offset not in (0.0, 0.5):
            raise ValueError(f"offset must be 0 (mid-tread) or 0.5 (mid-rise), got {self.offset!r}")
        if self.offset and not self.signed:
            raise ValueError("a mid-rise grid (offset=0.5) is symmetric: write Grid(bits, signed=True, offset=0.5)")
        if self.bits == 1 and self.signed and not self.offset:
            raise ValueError(
                "one signed bit needs a symmetric grid: write Grid(1, signed=True, offset=0.5) for {-1, 1} "
                "or Grid(1, signed=False) for {0, 1}"
            )

    @property
    def low(self) -> int:
        """The smallest code."""
        return -(1 << self.bits - 1) if self.signed else 0

    @property
    def high(self) -> int:
        """The largest code."""
        return (1 << self.bits - 1) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def edges(self) -> tuple[float, float]:
        """The outermost levels, in steps: between them, themselves included, the gradient passes (equation 6)."""
        return self.low + self.offset, self.high + self.offset

    @property
    def levels(self) -> int:
        """How many codes there are."""
        return 1 << self.bits

    def __str__(self) -> str:
        """Say it in a word, as tables print it."""
        return f"{self.bits}{'r' if self.offset else '' if self.signed else 'u'}"
