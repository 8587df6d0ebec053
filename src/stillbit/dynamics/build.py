"""From settings to the hooks and the task of a training, in the order in which they have to be made."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn
from torch.optim import Optimizer

from stillbit.dynamics.anneal import Anneal
from stillbit.dynamics.bins import BinPenalty
from stillbit.dynamics.dampen import Dampening
from stillbit.dynamics.freeze import Freeze
from stillbit.dynamics.kurtosis import Kurtosis
from stillbit.dynamics.low_bit import LOW, low_bit
from stillbit.dynamics.oscillation import Oscillation
from stillbit.dynamics.penalty import Penalized, Priced, Task
from stillbit.dynamics.ramp import Ramp
from stillbit.dynamics.settings import DynamicsSettings, PenaltySettings
from stillbit.dynamics.transition import Transition, hold_scales, separate
from stillbit.dynamics.watch import Watch


class Wish(NamedTuple):
    """Something that is on: its option, how to do without it, and the widths of the weights that it is for."""

    flag: str
    instead: str
    bits: tuple[int, ...]


def wishes(settings: DynamicsSettings) -> list[Wish]:
    """All that is on, in the words of the command line."""
    penalty, said = settings.penalty, tuple(settings.penalty.bin_reg_bits)
    every: tuple[tuple[str, object, str, tuple[int, ...]], ...] = (
        ("--track", settings.track.track, "leave it out", LOW),
        ("--bin-reg", penalty.bin_reg, "--bin-reg 0, or --bin-reg-bits with their width", said),
        ("--dampen", penalty.dampen, "--dampen 0", LOW),
        ("--kure", penalty.kure, "--kure 0", LOW),
        ("--freeze", settings.freeze.freeze, "--no-freeze", LOW),
        ("--anneal-epochs", settings.anneal.anneal_epochs, "--anneal-epochs 0", LOW),
        ("--transition-rate", settings.transition.transition_rate, "--transition-rate 0", LOW),
    )
    return [Wish(flag, instead, bits) for flag, on, instead, bits in every if on]


def check(model: nn.Module, settings: DynamicsSettings) -> None:
    """Refuse, before anything is computed, what there are no weights for."""
    for wish in wishes(settings):
        try:
            low_bit(model, wish.flag, wish.bits)
        except ValueError as error:
            raise ValueError(str(error).replace("leave it out", wish.instead)) from None


def prepare_model(model: nn.Module, settings: DynamicsSettings) -> None:
    """What has to be done to a model before DDP and the optimizer see it."""
    if settings.transition.transition_rate:
        hold_scales(model)


def prepare_optimizer(optimizer: Optimizer, model: nn.Module, settings: DynamicsSettings) -> None:
    """What has to be done to an optimizer before a schedule sees it."""
    if settings.transition.transition_rate:
        separate(optimizer, model)


def penalized(task: Task, model: nn.Module, settings: PenaltySettings, steps: int) -> Penalized | None:
    """``task`` with the penalties that are on, or None if all are off. ``steps`` are those of the whole training."""
    after, on = settings.penalty_start, []
    if settings.bin_reg:
        bins = BinPenalty(model, bits=settings.bin_reg_bits, form=settings.bin_reg_form)
        on.append(Priced(bins, Ramp(steps=steps, last=settings.bin_reg, after=after)))
    if settings.dampen:
        dampening = Dampening(model, form=settings.dampen_form)
        on.append(Priced(dampening, Ramp(steps=steps, last=settings.dampen, after=after)))
    if settings.kure:
        kurtosis = Kurtosis(model, target=settings.kure_target)
        on.append(Priced(kurtosis, Ramp(steps=steps, last=settings.kure, first=settings.kure)))
    return Penalized(task, on) if on else None


def hooks(
    model: nn.Module, optimizer: Optimizer, settings: DynamicsSettings, *, epochs: int, steps: int
) -> list[Watch]:
    """The hooks that are on, ``steps`` being those of an epoch; behind the evaluation, before log and checkpoints."""
    freeze, anneal, transition = settings.freeze, settings.anneal, settings.transition
    made: list[Watch] = []
    if transition.transition_rate:
        made.append(
            Transition(
                model,
                optimizer,
                steps=epochs * steps,
                rate=transition.transition_rate,
                momentum=transition.transition_momentum,
                gain=transition.transition_gain,
            )
        )
    if anneal.anneal_epochs:
        if anneal.anneal_epochs > epochs:
            raise ValueError(
                f"--anneal-epochs {anneal.anneal_epochs} are the last of --epochs {epochs}, which are fewer: "
                f"--anneal-epochs {epochs}"
            )
        made.append(Anneal(model, begin=(epochs - anneal.anneal_epochs) * steps, band=anneal.anneal_range))
    if freeze.freeze:  # behind the annealing, which would put back what freezing writes
        threshold = Ramp(
            steps=epochs * steps,
            first=freeze.freeze_threshold_start,
            last=freeze.freeze_threshold,
            after=freeze.freeze_start,
        )
        made.append(Freeze(model, threshold, momentum=freeze.freeze_momentum))
    if settings.track.track:
        if settings.track.track_every > epochs * steps:
            raise ValueError(
                f"--track-every {settings.track.track_every} is more than the {epochs * steps} steps of the training, "
                "which would end without a look: --track-every 1"
            )
        made.append(Oscillation(model, settings.track))
    return made
