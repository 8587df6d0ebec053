"""The learning rate of every step: a function of the number of the step, and of nothing else."""

from __future__ import annotations

from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from torch.optim import Optimizer

from stillbit.train.settings import ScheduleSettings


def build(optimizer: Optimizer, settings: ScheduleSettings, steps: int) -> Scheduler:
    """Timm's schedule, counted in steps; ``steps`` is how many an epoch has.

    A group's own learning rate scales the whole curve of the group, down to the common ``min_lr``.
    """
    schedule, _ = create_scheduler_v2(
        optimizer,
        sched="poly" if settings.sched == "linear" else settings.sched,
        num_epochs=settings.epochs,
        warmup_epochs=settings.warmup_epochs,
        warmup_lr=settings.warmup_lr,
        min_lr=settings.min_lr,
        step_on_epochs=False,
        updates_per_epoch=steps,
        decay_rate=1.0,  # the power of a polynomial, which only "linear" is
    )
    assert schedule is not None, "the choices of --sched all have a schedule"
    return schedule
