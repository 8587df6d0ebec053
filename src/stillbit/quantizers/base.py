"""A quantizer holds a grid and knows its blocks; how it finds the scale is the one thing methods disagree about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import ClassVar, Literal, Self, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.quantizers.calibrate import RULES, Rule, Start, standard
from stillbit.quantizers.gradscale import GRADSCALES, tame
from stillbit.quantizers.granularity import Blocks, Kind
from stillbit.quantizers.grid import Grid
from stillbit.quantizers.snap import Latent

Tensorkind = Literal["weight", "activation"]

SMALLEST_SCALE = 1e-12
"""A learned scale may shrink but never reaches zero: x / scale must stay finite for every float32 x below 1e26."""


class Quantizer(nn.Module, ABC):
    """Turns a float tensor into a `Latent`: the tensor, the grid it snaps to, and the scale.

    ``blocks`` is the shape of the scale. All state exists, in its final shape, when ``__init__`` returns.
    """

    serves: ClassVar[frozenset[Tensorkind]] = frozenset({"weight", "activation"})
    granularities: ClassVar[frozenset[Kind]] = frozenset(get_args(Kind))
    """Who may share a scale."""

    def __init__(self, grid: Grid, blocks: Blocks) -> None:
        """Remember the grid and who shares a scale."""
        super().__init__()
        self.grid = grid
        self.blocks = tuple(blocks)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Scales stay in float32 in a model of half precision: ``model.bfloat16()`` moves them and no more."""

        def keep(t: Tensor) -> Tensor:
            moved = fn(t)
            return t.to(moved.device) if moved.dtype in (torch.bfloat16, torch.float16) else moved

        super()._apply(keep, recurse)  # type: ignore[no-untyped-call]
        return self

    @classmethod
    def grid_for(cls, bits: int, signed: bool) -> Grid:
        """The grid this method uses at a bit-width; one signed bit is always symmetric."""
        return Grid(bits, signed, 0.5 if signed and bits == 1 else 0.0)

    @abstractmethod
    def scale_of(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*blocks"]:
        """The scale of ``x``, in the shape of the blocks, with the gradient the method wants."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Latent:
        """``x``, ready to be snapped."""
        return Latent(x, self.grid, self.scale_of(x))

    def start(self, x: Float[Tensor, "*shape"], rule: str | None = None) -> None:
        """Set the state from data; a quantizer without state has nothing to do."""

    def is_started(self) -> bool:
        """Whether the state came from data (or a file), so that it must not be overwritten by mistake."""
        return False

    def parts(self) -> tuple[Quantizer, ...]:
        """The quantizers that hold the state: this one, or the several that it is made of."""
        return (self,)

    def mean_bits(self) -> float:
        """Bits of a code, on average over the blocks."""
        return self.grid.bits

    def worded(self) -> str:
        """Bits and range in a word, as tables print them."""
        return str(self.grid)

    def extra_repr(self) -> str:
        """Bits, range and blocks, as `repr(model)` shows them."""
        kind = "mid-rise" if self.grid.offset else "signed" if self.grid.signed else "unsigned"
        return f"bits={self.grid.bits}, {kind}, scales={'x'.join(map(str, self.blocks))}"


def symmetric(grid: Grid) -> Grid:
    """``grid`` if it is mid-rise; else the call that makes it so."""
    if not grid.offset:
        raise ValueError(f"this quantizer's grid is symmetric: write Grid({grid.bits}, signed=True, offset=0.5)")
    return grid


class Startable(Quantizer, ABC):
    """A quantizer that takes its start value from data, by a rule of `calibrate.RULES`, and knows whether it has."""

    def __init__(self, grid: Grid, blocks: Blocks, *, start: str) -> None:
        """Not started yet."""
        super().__init__(grid, blocks)
        self.rule = known("start", start, RULES)
        self.register_buffer("started", torch.tensor(False))
        self.started: Tensor

    def is_started(self) -> bool:
        """Whether `start` was called, here or where the state was saved."""
        return not self.started.is_meta and bool(self.started)


class Learned(Startable, ABC):
    """A quantizer whose scale is a parameter."""

    def __init__(self, grid: Grid, blocks: Blocks, *, start: str = "mse", gradscale: str = "by_count") -> None:
        """Create the scale; before any data it fits standard normal numbers.

        ``start`` names a rule of `calibrate.RULES`; ``gradscale`` is by_count (LSQ) or by_magnitude (VVTQ).
        """
        super().__init__(grid, blocks, start=start)
        self.gradscale = known("gradscale", gradscale, GRADSCALES)
        self.scale = nn.Parameter(torch.full(self.blocks, standard(grid).scale.item(), dtype=torch.float32))

    def positive(self) -> Float[Tensor, "*blocks"]:
        """The scale, made positive: an optimizer that steps through zero turns it round, not inside out."""
        return self.scale.abs().clamp_min(SMALLEST_SCALE)

    def scale_of(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*blocks"]:
        """The learned scale, its gradient tamed."""
        return tame(self.positive(), GRADSCALES[self.gradscale](x, self.grid, self.blocks))

    def start(self, x: Float[Tensor, "*shape"], rule: str | None = None) -> None:
        """Begin at the scale that ``rule`` finds in ``x``."""
        self.take(rule_named(rule or self.rule)(x, self.grid, self.blocks, False))

    @torch.no_grad()
    def take(self, start: Start) -> None:
        """Copy a start value into the parameter; a block of zeros says nothing, and keeps a scale that can learn."""
        self.scale.copy_(torch.where(start.scale > SMALLEST_SCALE, start.scale, self.positive()))
        self.started.fill_(True)


def rule_named(name: str) -> Rule:
    """The rule for start values with this name."""
    return RULES[known("start", name, RULES)]


def known(what: str, name: str, names: Collection[str]) -> str:
    """``name`` if it is one of ``names``; else a sentence that lists them."""
    if name not in names:
        raise ValueError(f"unknown {what} {name!r}: use one of {', '.join(names)}")
    return name
