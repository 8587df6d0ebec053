"""The moment from which learned bits stay as they are (Q-ViT: at 90 % of training)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from stillbit.dynamics.watch import Training, Watch
from stillbit.layers.walk import quantizers
from stillbit.quantizers.learned_bits import LearnedBits


def freeze_bits(model: nn.Module) -> int:
    """Fix all learned bits as they are now; how many quantizers that were."""
    found = _found(model)
    for quantizer in found:
        quantizer.freeze()
    return len(found)


@final
class FreezeBits(Watch):
    """A hook of the training loop that freezes the bits of ``model``, the bare one, when its time has come.

    What is frozen stands in the model, so there is nothing else to remember: a training that goes on later than that
    finds it there.
    """

    name: ClassVar[str] = "freeze_bits"

    def __init__(
        self, model: nn.Module, steps: int, share: float = 0.9, cost: Callable[[], Tensor] | None = None
    ) -> None:
        """Freeze when ``share`` of ``steps``, those of the whole training, are done; log the ``cost`` in G BitOPs."""
        if not 0 < share <= 1:
            raise ValueError(f"bits are frozen at a share of training between 0 and 1, got {share:g}: write 0.9")
        self.quantizers = _found(model)
        self.of_weights = {id(q) for _, role, q in quantizers(model) if role == "weight"}
        self.at, self.cost = int(share * steps), cost

    def after_step(self, training: Training, losses: dict[str, Tensor]) -> None:
        """Freeze what is not frozen yet, from the given step on.

        A run is judged from there on: what was best before may have had more bits than its budget allows.
        """
        loose = [quantizer for quantizer in self.quantizers if not quantizer.is_frozen()]
        if training.step >= self.at and loose:
            training.best = {}
            for quantizer in loose:
                quantizer.freeze()

    @torch.no_grad()
    def numbers(self) -> dict[str, float]:
        """The mean width of weights and of activations, a quantizer counting once; and what they cost."""
        said = {}
        for name, of_weights in (("weight_bits", True), ("activation_bits", False)):
            widths = [q.width().double().mean() for q in self.quantizers if (id(q) in self.of_weights) == of_weights]
            if widths:
                said[name] = torch.stack(widths).mean().item()
        return said if self.cost is None else {**said, "gbitops": float(self.cost())}


def _found(model: nn.Module) -> list[LearnedBits]:
    found = [quantizer for *_, quantizer in quantizers(model) if isinstance(quantizer, LearnedBits)]
    if not found:
        raise ValueError("this model learns no bits: give its plan specs such as Spec(5, 'learned_bits')")
    return found
