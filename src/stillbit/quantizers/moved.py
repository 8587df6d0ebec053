"""OFQ's learnable shifts (arXiv 2302.02210): each channel is moved before it is snapped, and moved again after."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.quantizers.base import Quantizer
from stillbit.quantizers.granularity import Blocks, spread
from stillbit.quantizers.snap import Latent


@final
class Moved(Quantizer):
    """value = inner(x + before) + after, around any quantizer of activations.

    The two are not tied to each other and begin at zero. The gradient of ``after`` is 1; that of ``before`` is the
    gradient of ``x``. In a product ``after`` folds into the bias, as every shift does, so codes stay codes.
    """

    serves = frozenset({"activation"})

    def __init__(self, inner: Quantizer, channels: Blocks) -> None:
        """``channels`` is the shape of the pair, aligned to the tensor's last axes: one of each a channel."""
        super().__init__(inner.grid, inner.blocks)
        self.inner = inner
        self.before = nn.Parameter(torch.zeros(channels, dtype=torch.float32))
        self.after = nn.Parameter(torch.zeros(channels, dtype=torch.float32))

    def forward(self, x: Float[Tensor, "*shape"]) -> Latent:
        """``x`` moved twice, with a shift that takes the second move off before the snap and adds it afterwards."""
        ready: Latent = self.inner(self._entering(x))
        moved = (ready.x + spread(self.after, x.shape)).to(x.dtype)
        if ready.grid is None:  # calibrate looks at floats
            return Latent(moved)
        # Where the snap is straight-through everywhere, the latent alone brings the gradient 1.
        shift = self.after if ready.clips else self.after.detach()
        if ready.shift is not None:
            alike = ready.shift.shape == shift.shape
            shift = shift + ready.shift if alike else spread(shift, x.shape) + spread(ready.shift, x.shape)
        return ready._replace(x=moved, shift=shift)

    def scale_of(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*blocks"]:
        """The scale of what the quantizer inside sees."""
        return self.inner.scale_of(self._entering(x))

    def start(self, x: Float[Tensor, "*shape"], rule: str | None = None) -> None:
        """Begin the quantizer inside; the pair stays as it is."""
        self.inner.start(self._entering(x), rule)

    def is_started(self) -> bool:
        """Whether the quantizer inside was."""
        return self.inner.is_started()

    def parts(self) -> tuple[Quantizer, ...]:
        """What the quantizer inside is made of."""
        return self.inner.parts()

    def _entering(self, x: Tensor) -> Tensor:
        return (x + spread(self.before, x.shape)).to(x.dtype)

    def extra_repr(self) -> str:
        """How many pairs; the quantizer inside says the rest."""
        return f"pairs={'x'.join(map(str, self.before.shape))}"
