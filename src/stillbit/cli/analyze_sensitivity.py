"""``stillbit analyze sensitivity``: which part of a model suffers from few bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from stillbit.cli.analyze import Asked, shown
from stillbit.cli.options import parse

if TYPE_CHECKING:
    from stillbit.methods.subject import Subject
    from stillbit.surgery.plan import Plan


@dataclass(frozen=True, kw_only=True)
class AskedSensitivity(Asked):
    """One group of tensors at a time gets few bits while the rest has 8, or stays float while the rest has few."""

    bits: str | None = None
    """The few bits, such as w2a2; those of a quantized run, or w3a3, if not given."""
    by: tuple[Literal["role", "block", "layer", "head"], ...] = ("role", "layer", "head")
    """What makes a group: a role (all, FFN, MHSA, query, ..., patch or words, head), a block, a layer, or an attention
    head."""
    keep: bool = False
    """All has few bits and the group stays float, instead of the group few bits and the rest 8."""
    images: int = 256
    """Images, or texts, to measure on, as many of every class; the first of them calibrate."""
    calibration_images: int = 64
    """Images, or texts, that calibrate activations."""
    train: int = 0
    """Steps of training for each group; with 0 it is calibration alone, which takes minutes and not hours."""
    batch_size: int = 64
    """Images or texts a step, where it trains."""
    lr: float = 1e-4
    """Learning rate, where it trains."""

    def __post_init__(self) -> None:
        """Refuse what means nothing, and what would have no effect."""
        super().__post_init__()
        if self.calibration_images < 1:
            raise ValueError(f"--calibration-images is at least 1, got {self.calibration_images}")
        if self.train < 0:
            raise ValueError(f"--train is a number of steps, got {self.train}: leave it out to calibrate only")
        if not self.train and (self.batch_size, self.lr) != (AskedSensitivity.batch_size, AskedSensitivity.lr):
            raise ValueError(
                "--batch-size and --lr are for groups that are trained: add --train 100, or leave them out"
            )
        if not self.by:
            raise ValueError("--by says what makes a group: --by role layer head")


def run(words: Sequence[str]) -> int:
    """The sensitivity of every group."""
    asked = parse(AskedSensitivity, words, prog="stillbit analyze sensitivity")
    from stillbit.analysis.inquiry import Inquiry
    from stillbit.analysis.sensitivity import compute
    from stillbit.methods.subject import float_of, lessons, open_subject, pictures
    from stillbit.train.settings import OptimSettings

    subject = open_subject(asked.target, checkpoint=asked.checkpoint, pretrained=asked.pretrained, device=asked.device)
    of_run = None if subject.recipe.quant is None else subject.recipe.quant.bits
    bits = asked.bits or of_run or "w3a3"
    origin = float_of(subject)
    inquiry = Inquiry(
        subject=subject.name,
        source=origin.about,
        question="keep" if asked.keep else "lower",
        bits=bits,
        plan=_plan(subject, bits),
        by=asked.by,
        calibration_images=asked.calibration_images,
        steps=asked.train,
        optim=OptimSettings(lr=asked.lr),
    )
    batches = pictures(subject, asked.images, **asked.of_data())
    record = compute(
        origin.model,
        batches,
        inquiry,
        lambda: lessons(subject, batch_size=asked.batch_size, **asked.of_data()),
    )
    return shown(asked, record, subject.folder)


def _plan(subject: Subject, bits: str) -> Plan | None:
    """The quantizers of the run at ``bits``, but for what has to be trained to mean anything; None for no run."""
    from stillbit.methods.build import plan_of

    settings = subject.recipe.quant
    if settings is None:
        return None
    learned = "learned_bits"
    plain = replace(
        settings,
        bits=bits,
        merge_qk=False,
        rectify=False,
        moves=False,
        weights_last=False,
        weight="lsq" if settings.weight == learned else settings.weight,
        activation="lsq" if settings.activation == learned else settings.activation,
        bit_budget=None,
        bit_budget_strength=type(settings).bit_budget_strength,
        bit_freeze=type(settings).bit_freeze,
    )
    return plan_of(plain)
