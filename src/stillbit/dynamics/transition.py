"""TRS, transition-rate scheduling (arXiv 2404.19248): what is scheduled is how many codes change in a step.

    k = share of the low-bit weights whose code changed in the last step             (equation 5)
    K = m K + (1 - m) k                                                              (equation 10)
    U = max(0, U + eta (R - K))                                                      (equation 11)

U is the learning rate of the low-bit weights (equation 12), R the rate that is wanted. R falls along half a cosine from
rate * sqrt(bits) to 0. U begins at the learning rate they would have had, and eta is ``gain`` times that. It is one
rate and one U for the whole model. Scales of weights do not learn meanwhile: codes would change without an update.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any, ClassVar, final

import torch
from torch import nn
from torch.optim import Optimizer

from stillbit.dynamics.low_bit import low_bit
from stillbit.dynamics.ramp import Ramp
from stillbit.dynamics.watch import Training, Watch
from stillbit.layers.walk import QuantizedWeight

GROUP = "low-bit"
"""The name of the parameter groups whose learning rate is U."""


def hold_scales(model: nn.Module) -> None:
    """Let the learned scales of low-bit weights stand still; before an optimizer is made, and before DDP."""
    for weight in low_bit(model, "transition-rate scheduling"):
        weight.quantizer.requires_grad_(False)


def separate(optimizer: Optimizer, model: nn.Module) -> None:
    """Give the low-bit weights parameter groups of their own; before a schedule is made, which counts the groups."""
    own = {id(weight.parameter) for weight in low_bit(model, "transition-rate scheduling")}
    for group in list(optimizer.param_groups):
        taken = [p for p in group["params"] if id(p) in own]
        group["params"] = [p for p in group["params"] if id(p) not in own]
        if taken:
            options = {key: value for key, value in group.items() if key != "params"}
            optimizer.add_param_group({**options, "params": taken, "name": GROUP})
    optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]


@final
class Transition(Watch):
    """Sets the learning rate of the low-bit weights before every update."""

    name: ClassVar[str] = "transition"

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        steps: int,
        rate: float = 0.005,
        momentum: float = 0.99,
        gain: float = 1.0,
    ) -> None:
        """``optimizer`` went through `separate`, ``model`` through `hold_scales`; ``steps`` are of all epochs."""
        self.weights = low_bit(model, "transition-rate scheduling")
        own = [group for group in optimizer.param_groups if group.get("name") == GROUP]
        if {id(w.parameter) for w in self.weights} != {id(p) for group in own for p in group["params"]}:
            raise ValueError("low-bit weights need a learning rate of their own: call separate(optimizer, model) first")
        self.target = Ramp(steps=steps, first=rate * sqrt(_mean_bits(self.weights)), last=0.0, after=0.0)
        self.momentum = momentum
        self.rate = 0.0
        self.lr = float(own[0].get("initial_lr", own[0]["lr"]))
        self.eta = gain * self.lr
        self._begin()

    @torch.no_grad()
    def _begin(self) -> None:
        self.codes = {w.name: w.codes().to(torch.int8) for w in self.weights}

    @torch.no_grad()
    def before_update(self, training: Training) -> None:
        """Count what the last update changed, and set the learning rate of this one."""
        now = {w.name: w.codes().to(torch.int8) for w in self.weights}
        changed = torch.stack([(codes != self.codes[name]).sum() for name, codes in now.items()]).sum().item()
        share = changed / sum(codes.numel() for codes in now.values())
        self.codes = now
        self.rate = self.momentum * self.rate + (1 - self.momentum) * share
        self.lr = max(0.0, self.lr + self.eta * (self.target(training.step) - self.rate))
        for group in training.optimizer.param_groups:
            if group.get("name") == GROUP:
                group["lr"] = self.lr

    def numbers(self) -> dict[str, float]:
        """The running rate and the learning rate that it led to."""
        return {"transition_rate": self.rate, "transition_lr": self.lr}

    def state(self) -> dict[str, Any]:
        """The running rate, the learning rate, and the codes of the last step."""
        return {"rate": self.rate, "lr": self.lr, "codes": {name: c.clone() for name, c in self.codes.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``; without one, begin at the codes of now."""
        self._begin()
        if state:
            self.rate, self.lr = float(state["rate"]), float(state["lr"])
            self.codes = {n: state["codes"][n].to(c.device, copy=True) for n, c in self.codes.items()}


def _mean_bits(weights: Sequence[QuantizedWeight]) -> float:
    sizes = [weight.parameter.numel() for weight in weights]
    return sum(size * weight.bits for size, weight in zip(sizes, weights, strict=True)) / sum(sizes)
