"""What is asked about the sensitivity of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from stillbit.analysis.given import Given, kind_of, split
from stillbit.analysis.gradient import of_one_class
from stillbit.analysis.groups import By
from stillbit.quantizers.granularity import per_channel, per_tensor
from stillbit.quantizers.grid import FLOAT_BITS
from stillbit.quantizers.spec import Spec
from stillbit.surgery.plan import ENDS, LayerSpec, Plan, preset
from stillbit.train.settings import OptimSettings

Question = Literal["lower", "keep"]
HIGH = 8
"""Bits of what is not lowered."""


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """What is asked of a model."""

    subject: str
    source: str
    """Where its float weights are from."""
    question: Question = "lower"
    bits: str = "w2a2"
    """The low ones."""
    plan: Plan | None = None
    """How the low bits are made; the step sizes of least squared error, a weight channel and a tensor each, if None."""
    by: tuple[By, ...] = ("role", "layer", "head")
    calibration_images: int = 64
    """From which activations get their scales, the first ones; the proxy looks at them too."""
    chunk: int | None = None
    """Samples that pass the model together; if None, 8 on a CPU, whose caches then hold a layer, and 64 on a GPU."""
    steps: int = 0
    """Of training, for the base and for each group."""
    optim: OptimSettings = field(default_factory=lambda: OptimSettings(lr=1e-4))

    def __post_init__(self) -> None:
        """Refuse what would measure nothing."""
        weights, activations = preset(self.bits)
        if self.question == "lower" and min(weights, activations) >= HIGH:
            raise ValueError(f"{self.bits} lowers nothing, since the rest has 8 bits: use --bits w4a4, or ask --keep")

    @property
    def high(self) -> str:
        """The bits of the rest, in the words of ``bits``; what is float among the low ones is float here too."""
        weights, activations = (FLOAT_BITS if bits == FLOAT_BITS else HIGH for bits in preset(self.bits))
        return f"w{weights}a{activations}"

    def plans(self) -> tuple[Plan, Plan]:
        """The low one, whose ends are low too in case they are asked about, and the high one."""
        weights, activations = preset(self.bits)
        end = LayerSpec(Spec(weights, "lsq", per_channel), Spec(activations, "lsq", per_tensor))
        low = self.plan or Plan.uniform(weights, activations)
        # In place of the rules for them and not in front of all: a plan may have one of its own for the words.
        rules = tuple(replace(rule, spec=end) if rule.pattern in ENDS else rule for rule in low.rules)
        return Plan(rules), Plan.uniform(*preset(self.high))

    def chunks(self, batches: Sequence[Given]) -> tuple[Given, ...]:
        """The same samples in the same order, ``chunk`` at a time; samples of one class alone are refused."""
        size = self.chunk or (8 if batches[0].targets.device.type == "cpu" else 64)
        if of_one_class(batches):
            what = kind_of(batches)
            raise ValueError(
                f"all {what} are of one class, among which every answer is right: give {what} of at least two"
            )
        return tuple(some for batch in batches for some in split(batch, size))

    def first(self, chunks: Sequence[Given]) -> tuple[Given, ...]:
        """The chunks that calibrate: as few as have enough images."""
        wanted, chosen = self.calibration_images, []
        for batch in chunks:
            if wanted > 0:
                chosen.append(batch)
                wanted -= len(batch.targets)
        return tuple(chosen)
