"""What a tensor's quantizer shall be, as a value: a plan is made of these, and a file stores them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass, field
from inspect import signature
from typing import Any, Literal, NamedTuple

import torch

from stillbit.quantizers.base import Learned, Quantizer, Tensorkind, known
from stillbit.quantizers.binary import Elastic, Sign
from stillbit.quantizers.dorefa import DoReFaActivation, DoReFaWeight
from stillbit.quantizers.each_run import EachRun
from stillbit.quantizers.granularity import Blocks, Granularity, named, per_tensor
from stillbit.quantizers.grid import FLOAT_BITS, check_bits
from stillbit.quantizers.learned_bits import LearnedBits
from stillbit.quantizers.lsq import LSQ, LSQPlus
from stillbit.quantizers.minmax import MinMax
from stillbit.quantizers.moved import Moved
from stillbit.quantizers.pact import PACT
from stillbit.quantizers.statsq import StatsQ

Range = Literal["signed", "unsigned", "shifted"]


USUAL_WEIGHT = 0.02
"""The standard deviation weights are drawn with: a block of zeros (a new classifier) says nothing better."""


class Method(NamedTuple):
    """The quantizer classes behind one name, a class for each kind of tensor that the method serves."""

    weight: type[Quantizer] | None = None
    activation: type[Quantizer] | None = None
    shifted: type[Quantizer] | None = None
    weight_options: tuple[tuple[str, Any], ...] = ()


METHODS: dict[str, Method] = {
    "lsq": Method(LSQ, LSQ, LSQPlus),
    "lsq+": Method(LSQ, LSQPlus, LSQPlus, (("start", "three_sigma"),)),
    "statsq": Method(weight=StatsQ),
    "minmax": Method(MinMax, MinMax, weight_options=(("live", True),)),
    "pact": Method(activation=PACT),
    "dorefa": Method(DoReFaWeight, DoReFaActivation),
    "elastic": Method(activation=Elastic),
    "sign": Method(weight=Sign),
    "learned_bits": Method(LearnedBits, LearnedBits),
}


def register(name: str, method: Method) -> None:
    """Make your own quantizer known under ``name``, so that plans and files can speak of it."""
    if name in METHODS:
        raise ValueError(f"a quantizer named {name!r} exists: choose another name")
    METHODS[name] = method


@dataclass(frozen=True)
class Spec:
    """Bits, method, who shares a scale, and the range of one tensor.

    ``range="auto"`` takes what the layer knows of its tensor: probabilities and ReLU outputs are unsigned, a GELU's
    output is unsigned with a learned shift where the method has one. ``options`` go to the quantizer's constructor.
    ``each_run`` is for activations of a layer that runs more than once with the same weights (SReT): a scale for each
    run, where one serves all of them otherwise.
    ``moves`` is for activations: a learned pair for each channel, one added before the snap and one after (OFQ).
    """

    bits: int = 4
    quantizer: str = "lsq"
    granularity: Granularity = per_tensor
    range: Range | Literal["auto"] = "auto"
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    each_run: bool = False
    moves: bool = False

    def __post_init__(self) -> None:
        """Refuse a wrong word here, where it was written."""
        check_bits(self.bits)
        known("quantizer", self.quantizer, METHODS)
        known("range", self.range, ("auto", "signed", "unsigned", "shifted"))
        if not isinstance(self.granularity, Granularity):
            raise ValueError(f"granularity must be a value such as per_channel, got {self.granularity!r}")

    @property
    def is_float(self) -> bool:
        """Whether the tensor stays as it is."""
        return self.bits == FLOAT_BITS

    def __str__(self) -> str:
        """Say it in a word, as tables print it."""
        said = f"{self.bits} {self.quantizer} {self.granularity}"
        return "float" if self.is_float else f"{said} moved" if self.moves else said

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {**asdict(self), "granularity": str(self.granularity)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Spec:
        """The inverse of `to_dict`."""
        return cls(**{**data, "granularity": named(data["granularity"])})


def build(
    spec: Spec, kind: Tensorkind, blocks: Blocks, natural: Range, runs: int = 1, channels: Blocks = ()
) -> Quantizer | None:
    """The quantizer of a tensor, or None where it stays float.

    ``natural`` is what its layer knows of its range, ``runs`` how often the layer runs in one forward pass,
    ``channels`` the shape that something for each channel of the tensor has.
    """
    if spec.is_float:
        return None
    if kind == "weight" and spec.each_run:
        raise ValueError("a weight is the same in every run: leave each_run out of its spec")
    if kind == "weight" and spec.moves:
        raise ValueError("moves are for activations, a weight moves by itself: leave moves out of its spec")
    if spec.moves and not channels:
        raise ValueError("moves need a tensor whose channels are known: leave moves out of this spec")
    quantizer = _built(spec, kind, blocks, natural)
    if spec.moves:
        quantizer = Moved(quantizer, channels)
    return EachRun([deepcopy(quantizer) for _ in range(runs)]) if spec.each_run and runs > 1 else quantizer


def _built(spec: Spec, kind: Tensorkind, blocks: Blocks, natural: Range) -> Quantizer:
    method = METHODS[spec.quantizer]
    if kind == "weight":
        if spec.range not in ("auto", "signed"):
            raise ValueError(f"weights are signed, got range={spec.range!r}: leave range at 'auto'")
        chosen, signed, options = method.weight, True, dict(method.weight_options)
    else:
        range_ = natural if spec.range == "auto" else spec.range
        if range_ == "shifted" and spec.range == "auto":
            # Moves do what a shift does, and OFQ quantizes behind a GELU without sign.
            range_ = "unsigned" if spec.moves else "shifted" if method.shifted else "signed"
        chosen = method.shifted if range_ == "shifted" else method.activation
        signed, options = range_ == "signed", {}
    if chosen is None:
        raise ValueError(_refusal(spec, kind))
    if spec.granularity.kind not in chosen.granularities:
        fitting = " or ".join(f"per_{kind}" for kind in sorted(chosen.granularities, reverse=True))
        raise ValueError(f"{spec.quantizer!r} is not made for {spec.granularity}: use {fitting}")
    options |= spec.options
    taken = [p.name for p in signature(chosen).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for name in options:
        if name not in taken:
            has = f"it takes {', '.join(taken)}" if taken else "it takes none"
            raise ValueError(f"the quantizer {spec.quantizer!r} has no option {name!r}: {has}")
    quantizer = chosen(chosen.grid_for(spec.bits, signed), blocks, **options)
    if kind == "weight" and isinstance(quantizer, Learned | LearnedBits):
        with torch.no_grad():
            quantizer.scale.mul_(USUAL_WEIGHT)
    return quantizer


def _refusal(spec: Spec, kind: Tensorkind) -> str:
    serving = [n for n, m in METHODS.items() if getattr(m, kind)]
    if spec.range == "shifted":
        serving = [n for n, m in METHODS.items() if m.shifted]
        return f"the quantizer {spec.quantizer!r} has no learned shift: use one of {', '.join(serving)}"
    why = {
        "statsq": "takes its scale from the tensor itself, which for activations would change with every batch",
        "sign": "takes its scale from the tensor itself, which for activations would change with every batch",
    }.get(spec.quantizer, "is made for activations" if kind == "weight" else "is made for weights")
    plural = "weights" if kind == "weight" else "activations"
    return f"{spec.quantizer!r} {why}: for {plural} use one of {', '.join(serving)}"
