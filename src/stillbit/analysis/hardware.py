"""Area and energy of multiply-accumulate arrays, from published figures of single operations: a model, no measurement.

The energies are those of Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014; the areas
those that Dally prints beside them in "High-performance hardware for machine learning", NIPS 2015. Between and below
the published widths a power law goes through the two published points of each operation: a multiplier grows with the
product of its widths, an adder with its width. Nothing but multiplying and adding is counted: no memory, no wires.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log, log2
from typing import Literal, NamedTuple

SOURCE = "energies of M. Horowitz (ISSCC 2014), areas of W. Dally (NIPS 2015 tutorial), 45 nm"


class Published(NamedTuple):
    """One operation: square micrometres and picojoules at 8 and at 32 bits."""

    area8: float
    area32: float
    energy8: float
    energy32: float


MULTIPLY = Published(282.0, 3495.0, 0.2, 3.1)
ADD = Published(36.0, 137.0, 0.03, 0.1)
FLOATS = {"float16": (1640.0 + 1360.0, 1.1 + 0.4), "float32": (7700.0 + 4184.0, 3.7 + 0.9)}
"""Multiplication and addition together: square micrometres, picojoules."""
WIDTHS = (8, 6, 4, 3, 2, 1)
BRICK = 2
"""A composed unit is made of multipliers of so many bits by as many."""
LONGEST = 4096
"""The units that are listed add up so many products."""
FORMULAS = (
    "multiplier(w, a) = m8 (w a / 64)^p with p = log(m32 / m8) / log 16",
    "adder(n) = a8 (n / 8)^q with q = log(a32 / a8) / log 4",
    "accumulator = adder(w + a + ceil(log2 K)), K products being added up",
    "single: multiplier(w, a) + accumulator",
    "widest: the same with the largest w and the largest a, for all products",
    f"composed: ceil(w / {BRICK}) ceil(a / {BRICK}) multipliers of {BRICK} x {BRICK} bits, joined in rows and the rows "
    "to a product by adders as wide as what they put out, + accumulator; areas for the same speed",
    "rescaling = multiplier(32, 32) + adder(32), once a sum, and once more for every further block with a scale of its "
    "own along what is summed; area in proportion to how often it happens",
)


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One multiply-accumulate: a multiplier, and an adder as wide as the sum gets."""

    name: str
    """Such as 4 x 4 bits, or float32."""
    bits: float
    area: float
    """Square micrometres."""
    energy: float
    """Picojoules."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """An array that computes the products of a model, one image after the other, with as many units in every design."""

    name: Literal["single", "mixed, widest", "mixed, composed"]
    about: str
    area: float
    """Square micrometres of a unit, its accumulator and its share of rescaling included."""
    mac_energy: float
    """Microjoules an image, in products and sums."""
    scale_energy: float
    """Microjoules an image, in multiplying sums by scales."""

    @property
    def energy(self) -> float:
        """Microjoules an image."""
        return self.mac_energy + self.scale_energy


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Single precision with a scale a module against mixed precision with the same average bits."""

    source: str
    formulas: tuple[str, ...]
    units: tuple[Unit, ...]
    """One multiply-accumulate at several widths."""
    weight_bits: float
    """The average of the mixed design over the MACs, and what the single one has; 32 for a float model."""
    activation_bits: float
    imagined: bool
    """Whether the mixed precision is imagined, half of each layer a bit wider and half a bit narrower, since the model
    has one width."""
    designs: tuple[Design, ...]
    """The single one first; empty for a float model."""


class Work(NamedTuple):
    """Products of one kind: how many, the bits of both sides, how many sums they make, and the blocks of each sum."""

    macs: float
    left: float
    right: float
    sums: float
    blocks: float

    @property
    def length(self) -> float:
        """How many products a sum has."""
        return self.macs / self.sums


class Price(NamedTuple):
    """Square micrometres and picojoules."""

    area: float
    energy: float

    def plus(self, other: Price, times: float = 1.0) -> Price:
        """Together with ``times`` the other."""
        return Price(self.area + times * other.area, self.energy + times * other.energy)


def multiplier(left: float, right: float) -> Price:
    """Of two whole numbers of these bits."""
    size = left * right / 64
    return Price(
        MULTIPLY.area8 * size ** _power(MULTIPLY.area8, MULTIPLY.area32, 16),
        MULTIPLY.energy8 * size ** _power(MULTIPLY.energy8, MULTIPLY.energy32, 16),
    )


def adder(bits: float) -> Price:
    """Of two whole numbers of so many bits."""
    size = bits / 8
    return Price(
        ADD.area8 * size ** _power(ADD.area8, ADD.area32, 4), ADD.energy8 * size ** _power(ADD.energy8, ADD.energy32, 4)
    )


def unit(left: float, right: float, length: float) -> Price:
    """A multiplier, and the adder of its accumulator."""
    return multiplier(left, right).plus(_accumulator(left, right, length))


def composed(left: float, right: float, length: float) -> Price:
    """The same put together of small multipliers."""
    rows, columns = ceil(left / BRICK), ceil(right / BRICK)
    whole = _accumulator(left, right, length).plus(multiplier(BRICK, BRICK), rows * columns)
    for joined in range(2, columns + 1):
        whole = whole.plus(adder(BRICK * (joined + 1)), rows)
    for joined in range(2, rows + 1):
        whole = whole.plus(adder(BRICK * (joined + columns)))
    return whole


def compare(works: Sequence[Work], modules: Sequence[float]) -> Hardware:
    """The designs for these products; ``modules`` says how many blocks each sum has if every module has a scale.

    Where all products have the same bits the mixed precision is imagined.
    """
    macs = sum(work.macs for work in works)
    if not macs:
        return Hardware(
            source=SOURCE, formulas=FORMULAS, units=units(), weight_bits=32.0, activation_bits=32.0, imagined=False,
            designs=(),
        )  # fmt: skip
    left, right = (
        sum(work.macs * bits for work, bits in zip(works, side, strict=True)) / macs for side in _sides(works)
    )
    imagined = all(sides == (works[0].left, works[0].right) for sides in zip(*_sides(works), strict=True))
    mixed = _imagined(works) if imagined else list(works)
    single = [w._replace(left=left, right=right, blocks=n) for w, n in zip(works, modules, strict=True)]
    return Hardware(
        source=SOURCE,
        formulas=FORMULAS,
        units=units(),
        weight_bits=left,
        activation_bits=right,
        imagined=imagined,
        designs=(_single(single), _widest(mixed), _composed(mixed)),
    )


def units() -> tuple[Unit, ...]:
    """One multiply-accumulate at several widths, floating point first."""
    found = [Unit(name=name, bits=float(name[5:]), area=a, energy=e) for name, (a, e) in reversed(FLOATS.items())]
    for bits in WIDTHS:
        one = unit(bits, bits, LONGEST)
        found.append(Unit(name=f"{bits} x {bits} bits", bits=float(bits), area=one.area, energy=one.energy))
    return tuple(found)


def _single(works: Sequence[Work]) -> Design:
    left, right, longest = _widths(works)
    about = f"{left:.3g} x {right:.3g} bits everywhere, a scale for every module"
    one = unit(left, right, longest)
    return _design("single", about, one.area, [(work, unit(left, right, work.length)) for work in works])


def _widest(works: Sequence[Work]) -> Design:
    left, right, longest = _widths(works)
    about = f"every unit serves the widest operands, {left:.3g} x {right:.3g} bits, and has them in all products"
    one = unit(left, right, longest)
    return _design("mixed, widest", about, one.area, [(work, unit(left, right, work.length)) for work in works])


def _composed(works: Sequence[Work]) -> Design:
    _, _, longest = _widths(works)
    macs = sum(work.macs for work in works)
    area = sum(work.macs * composed(work.left, work.right, longest).area for work in works) / macs
    about = f"units put together of {BRICK} x {BRICK} bits, as many as each product needs"
    return _design("mixed, composed", about, area, [(w, composed(w.left, w.right, w.length)) for w in works])


def _widths(works: Sequence[Work]) -> tuple[float, float, float]:
    """The most bits on either side, and the longest sum."""
    return max(w.left for w in works), max(w.right for w in works), max(w.length for w in works)


def _design(
    name: Literal["single", "mixed, widest", "mixed, composed"],
    about: str,
    area: float,
    each: Sequence[tuple[Work, Price]],
) -> Design:
    rescaling = multiplier(32, 32).plus(adder(32))
    times = sum(work.sums * work.blocks for work, _ in each)
    return Design(
        name=name,
        about=about,
        area=area + rescaling.area * times / sum(work.macs for work, _ in each),
        mac_energy=sum(work.macs * one.energy for work, one in each) / 1e6,
        scale_energy=rescaling.energy * times / 1e6,
    )


def _imagined(works: Sequence[Work]) -> list[Work]:
    """Half of the outputs of every layer with one bit more, half with one bit less, as far as there is one to take."""
    found = []
    for work in works:
        half = work._replace(macs=work.macs / 2, sums=work.sums / 2)
        steps = [1.0 if bits > 1 else 0.0 for bits in (work.left, work.right)]
        for sign in (1, -1):
            found.append(half._replace(left=work.left + sign * steps[0], right=work.right + sign * steps[1]))
    return found


def _accumulator(left: float, right: float, length: float) -> Price:
    return adder(left + right + ceil(log2(max(length, 1))))


def _power(small: float, large: float, growth: float) -> float:
    return log(large / small) / log(growth)


def _sides(works: Sequence[Work]) -> tuple[list[float], list[float]]:
    return [work.left for work in works], [work.right for work in works]
