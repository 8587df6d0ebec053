"""A model in which every quantized tensor, or a part of one, can be float, at the low bits or at the high ones.

Two ordinary quantized models are made of one float model and calibrated on the same images. This one holds the
quantizers of both, a pair in every place, and a switch. A tensor that is whole at one setting goes on as codes, as it
does in either of the two: with all at the high bits this is the high model, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal, final

from jaxtyping import Float
from torch import Tensor, nn

from stillbit.analysis.given import Given, said_to, to_calibrate
from stillbit.layers.walk import quantized
from stillbit.quantizers.base import Quantizer
from stillbit.quantizers.snap import Latent
from stillbit.surgery.calibrate import calibrate
from stillbit.surgery.plan import Plan
from stillbit.surgery.swap import quantize

Setting = Literal["float", "low", "high"]
Place = tuple[str, str]
"""The name of a quantized layer, and the role of one of its tensors: weight, input, query, ..."""


@dataclass(frozen=True)
class Part:
    """A tensor of a layer, or a slice of it along one axis (rows of a weight, channels of an input, a head)."""

    layer: str
    role: str
    axis: int = 0
    first: int = 0
    length: int | None = None
    """None: all of it."""

    @property
    def place(self) -> Place:
        """Which tensor it is of."""
        return self.layer, self.role

    def of(self, tensor: Float[Tensor, "*shape"]) -> Float[Tensor, "*part"]:
        """The part of such a tensor; a view."""
        return tensor if self.length is None else tensor.narrow(self.axis, self.first, self.length)


@final
class Switch(nn.Module):
    """Stands where a quantizer stood, and does what the low or the high one would do, or nothing."""

    blocks: tuple[int, ...] = ()
    """What a layer asks a quantizer about the tokens it is made for: nothing here."""

    def __init__(self, low: Quantizer | None, high: Quantizer | None) -> None:
        """None stays float."""
        super().__init__()
        self.low, self.high = low, high
        self.setting: Setting = "high"
        self.changed: tuple[tuple[Part, Setting], ...] = ()

    def forward(self, x: Float[Tensor, "*shape"]) -> Latent:
        """A tensor at one setting goes on as codes; one of several as values, which share no grid."""
        if not self.changed:
            return self.ready(self.setting, x)
        value = self.at(self.setting, x).clone()
        for part, setting in self.changed:
            part.of(value).copy_(part.of(self.at(setting, x)))
        return Latent(value)

    def ready(self, setting: Setting, x: Float[Tensor, "*shape"]) -> Latent:
        """The whole tensor, before it snaps."""
        quantizer = {"float": None, "low": self.low, "high": self.high}[setting]
        if quantizer is None:
            return Latent(x)
        latent: Latent = quantizer(x)
        return latent

    def at(self, setting: Setting, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The whole tensor as values."""
        return self.ready(setting, x).value()


@final
class Switched:
    """The model with its switches. It is a copy: the float model it was made from is left as it is."""

    def __init__(self, model: nn.Module, switches: Mapping[Place, Switch]) -> None:
        """``switches`` stand inside of ``model``."""
        self.model, self.switches = model.requires_grad_(True), switches

    def set(self, base: Mapping[Place, Setting] | Setting, parts: Iterable[Part] = (), to: Setting = "high") -> None:
        """Everything as ``base`` says, and then ``parts`` otherwise."""
        for place, switch in self.switches.items():
            switch.setting = base if isinstance(base, str) else base[place]
            switch.changed = ()
        for part in parts:
            switch = self.switches[part.place]
            if part.length is None:
                switch.setting = to
            else:
                switch.changed = (*switch.changed, (part, to))

    def __call__(self, *inputs: Tensor) -> Float[Tensor, "n classes"]:
        """What the model says as it is set now."""
        return said_to(self.model, inputs)


def calibrated(model: nn.Module, plan: Plan, batches: Sequence[Given]) -> nn.Module:
    """A quantized copy of the float ``model``, in eval mode, its activations calibrated on ``batches``."""
    made = quantize(deepcopy(model).eval(), plan, inplace=True)
    calibrate(made, to_calibrate(batches))
    return made


def join(low: nn.Module, high: nn.Module) -> Switched:
    """Two quantized models of one float model as one, made inside of ``high``."""
    below = dict(quantized(low))
    switches: dict[Place, Switch] = {}
    for name, layer in quantized(high):
        ours, theirs = layer.quantizers(), below[name].quantizers() if name in below else {}
        for role in dict.fromkeys((*ours, *theirs)):
            switches[name, role] = Switch(theirs.get(role), ours.get(role))
            setattr(layer, f"{role}_quantizer", switches[name, role])
    lowered = {(name, role) for name, layer in below.items() for role in layer.quantizers()}
    assert lowered <= set(switches), "what the low plan lowers, the high plan quantizes too"
    return Switched(high, switches)
