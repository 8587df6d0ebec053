"""Learned bits (Q-ViT, arXiv 2201.07703): the bit-width is a parameter, and every width has a scale of its own.

    b = round(clip(bits, 2, 8)),   s = scale[b - 2],   value = s * clip(round(x / s), low(b), high(b))

The gradient of the rounding of ``bits`` is 1, so bits learn through the clip bounds: an element above the range gives
``s * d high / d b = s * ln 2 * 2^(b - 1)`` times its upstream, one inside gives nothing. The values of every width lie
on the grid of 8 bits too: that is the grid of the codes, and products stay products of codes.
"""

from __future__ import annotations

from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from stillbit.quantizers.base import SMALLEST_SCALE, Startable, rule_named
from stillbit.quantizers.calibrate import standard
from stillbit.quantizers.gradscale import tame
from stillbit.quantizers.granularity import Blocks, gathered_sum, share, spread, wide
from stillbit.quantizers.grid import Grid
from stillbit.quantizers.snap import Latent, snap

FEWEST, MOST = 2, 8
WIDTHS = range(FEWEST, MOST + 1)
_INSIDE = 1 - 2.0**-22
"""At 8 bits the clip lies this far inside the range: s * 127 / s may be more than 127, and would lose its gradient."""


@final
class LearnedBits(Startable):
    """Bits and a scale for each width, of every block; blocks are a tensor or its heads."""

    granularities = frozenset({"tensor", "head"})

    def __init__(self, grid: Grid, blocks: Blocks, *, start: str = "mse") -> None:
        """Begin with the bits of ``grid``."""
        if grid.offset or grid.bits < FEWEST:
            raise ValueError(f"bits are learned from {FEWEST} to {MOST}, got {grid.bits}: write bits={FEWEST} or more")
        super().__init__(Grid(MOST, grid.signed), blocks, start=start)
        self.bits = nn.Parameter(torch.full(self.blocks, float(grid.bits), dtype=torch.float32))
        scales = [torch.full(self.blocks, standard(self._grid(b)).scale.item(), dtype=torch.float32) for b in WIDTHS]
        self.scale = nn.Parameter(torch.stack(scales))
        self.register_buffer("frozen", torch.zeros(self.blocks, dtype=torch.int8))
        self.frozen: Tensor
        """The bits of every block once they are frozen, 0 before. A buffer: no optimizer moves it."""

    def width(self) -> Float[Tensor, "*blocks"]:
        """How many bits every block has now: whole numbers, with the gradient of ``bits`` until they are frozen."""
        free = snap(_Held.apply(self.bits), self.bits.new_ones(1), Grid(MOST, signed=False))
        return torch.where(self.frozen > 0, self.frozen.to(free.dtype), free)

    @torch.no_grad()
    def freeze(self) -> None:
        """Fix the bits as they are now; they get no gradient any more, and scales go on learning."""
        self.frozen.copy_(self.width())

    def is_frozen(self) -> bool:
        """Whether `freeze` was called, here or where the state was saved."""
        return not self.frozen.is_meta and bool((self.frozen > 0).all())

    def forward(self, x: Float[Tensor, "*shape"]) -> Latent:
        """``x`` clipped to the range of its width, on the grid of 8 bits."""
        width = self.width()
        low, high = self._edges(width)
        scale = self._scale(x, width, high)
        reach = scale * torch.where(width.detach() < MOST, 1.0, _INSIDE)
        return Latent(_Clipped.apply(x, reach * low, reach * high), self.grid, scale)

    def positive(self) -> Float[Tensor, " widths *blocks"]:
        """The scales, made positive."""
        return self.scale.abs().clamp_min(SMALLEST_SCALE)

    def scale_of(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*blocks"]:
        """The scale of the width in use, its gradient divided by sqrt(N high) as LSQ's is."""
        width = self.width()
        return self._scale(x, width, self._edges(width)[1])

    @torch.no_grad()
    def start(self, x: Float[Tensor, "*shape"], rule: str | None = None) -> None:
        """Begin the scale of every width where ``rule`` finds it in ``x``; the bits stay."""
        find = rule_named(rule or self.rule)
        scale = torch.stack([find(x, self._grid(bits), self.blocks, False).scale for bits in WIDTHS])
        self.scale.copy_(torch.where(scale > SMALLEST_SCALE, scale, self.positive()))
        self.started.fill_(True)

    def mean_bits(self) -> float:
        """What training has made of them; without numbers, the most there can be."""
        return MOST if self.bits.is_meta else self.width().mean().item()

    def worded(self) -> str:
        """The average of the bits, and the range."""
        return f"{self.mean_bits():.3g}{'' if self.grid.signed else 'u'}"

    def extra_repr(self) -> str:
        """The average of the bits, range and blocks."""
        kind, learned = "signed" if self.grid.signed else "unsigned", "frozen" if self.is_frozen() else "learned"
        blocks = "x".join(map(str, self.blocks))
        return f"bits={self.mean_bits():.3g} {learned}, {kind}, scales={len(WIDTHS)}x{blocks}"

    def _grid(self, bits: int) -> Grid:
        return Grid(bits, self.grid.signed)

    def _scale(self, x: Tensor, width: Tensor, high: Tensor) -> Tensor:
        chosen = (width.detach() - FEWEST).long().unsqueeze(0)
        active = self.positive().gather(0, chosen).squeeze(0)
        return tame(active, (high.detach() * share(x, self.blocks)).rsqrt())

    def _edges(self, width: Tensor) -> tuple[Tensor, Tensor]:
        """The outermost levels of a width, in steps."""
        if not self.grid.signed:
            return torch.zeros_like(width), width.exp2() - 1
        half = (width - 1).exp2()
        return -half, half - 1


class _Clipped(Function):
    """Between bounds in the shape of the blocks, which learn from what they clip; torch's own clamp is far slower."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        ctx.save_for_backward(x, low, high)
        return x.clamp(spread(low, x.shape), spread(high, x.shape)).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, low, high = ctx.saved_tensors
        below = wide(grads[0]) * (x < spread(low, x.shape))
        above = wide(grads[0]) * (x > spread(high, x.shape))
        to_low, to_high = (gathered_sum(clipped, tuple(low.shape)) for clipped in (below, above))
        return (grads[0] - below - above).to(x.dtype), to_low, to_high


class _Held(Function):
    """Clipped to 2 .. 8. Outside, a gradient passes that leads back: bits that overshot must not stay there."""

    @staticmethod
    def forward(ctx: Any, bits: Tensor) -> Tensor:
        ctx.save_for_backward(bits)
        return bits.clamp(FEWEST, MOST)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (bits,) = ctx.saved_tensors
        away = ((bits < FEWEST) & (grads[0] > 0)) | ((bits > MOST) & (grads[0] < 0))
        return grads[0].masked_fill(away, 0.0)
