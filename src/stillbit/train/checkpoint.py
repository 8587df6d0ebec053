"""Checkpoints: everything a training needs to go on as if it had never stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, final

import torch

from stillbit.data.whole import whole
from stillbit.train import distributed
from stillbit.train.distributed import Share
from stillbit.train.hooks import Hook
from stillbit.train.settings import OutputSettings
from stillbit.train.state import Training
from stillbit.train.task import Losses

FORMAT = 1
"""The version of the layout; checkpoints of a later one are refused."""

Held = dict[str, Any]
PARTS = {
    *("format", "recipe", "images_a_step", "position", "scores", "best"),
    *("model", "optimizer", "schedule", "ema", "rng", "hooks"),
}


@final
class Checkpoints(Hook):
    """Writes ``last.pt`` after every epoch (and every so many steps), ``best.pt`` when a run got better, and keepsakes.

    Stand last among the hooks: their states are taken when this one is called.
    """

    name: ClassVar[str] = "checkpoints"

    def __init__(
        self, folder: Path, settings: OutputSettings, share: Share, about: Held, hooks: Sequence[Hook], seed: int
    ) -> None:
        """``about`` is what has to be the same when the run goes on: the recipe, and the images of a step."""
        self.folder, self.settings, self.share, self.about, self.hooks = folder, settings, share, about, hooks
        self.seed = seed

    def after_step(self, training: Training, losses: Losses) -> None:
        """Write the last checkpoint where the settings ask for one inside an epoch."""
        every = self.settings.checkpoint_steps
        if every is not None and training.step % every == 0:
            self.save(training, "last.pt")

    def after_epoch(self, training: Training) -> None:
        """The best first: killed between the two writes, the run repeats the epoch and writes both again."""
        names = ["last.pt"]
        if training.best.get("epoch") == training.epoch:
            names.insert(0, "best.pt")
        keep = self.settings.checkpoint_keep
        if keep is not None and training.epoch % keep == 0:
            names.insert(0, f"epoch-{training.epoch:04d}.pt")
        self.save(training, *names)

    def save(self, training: Training, *names: str) -> None:
        """Write the state of now under these names; all processes take part, the first one writes."""
        model, optimizer = distributed.states(training.model, training.optimizer)
        hooks = {hook.name: hook.state() for hook in self.hooks}
        if not self.share.leads:
            return
        held = {
            **self.about,
            "format": FORMAT,
            "position": {"epoch": training.epoch, "batch": training.batch, "step": training.step},
            "scores": training.scores,
            "best": training.best,
            "model": model,
            "optimizer": optimizer,
            "schedule": None if training.schedule is None else training.schedule.state_dict(),
            "ema": None if training.ema is None else training.ema.module.state_dict(),
            "rng": {"seed": self.seed, "torch": torch.get_rng_state()},
            "hooks": hooks,
        }
        for name in names:
            write(held, self.folder / name)


def write(held: Held, target: Path) -> None:
    """All of it, or nothing: the checkpoint before stays until this one is whole."""
    try:
        with whole(target) as path:
            torch.save(held, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as an error of its own writer
        if "DataLoader worker" in str(error):  # a signal that came while this was written
            raise
        raise ValueError(
            f"{target} could not be written ({_reason(error)}), and the checkpoint before it is untouched: "
            "make room, then go on with --resume auto"
        ) from error


def _reason(error: BaseException) -> str:
    at = error if isinstance(error, OSError) else error.__context__
    return at.strerror or str(at) if isinstance(at, OSError) else "is the disk full?"


def read(path: Path) -> Held:
    """A checkpoint as it was written; tensors and plain data only, nothing in it can run."""
    if not path.is_file():
        raise ValueError(f"there is no checkpoint {path}")
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes torch say
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{path} is damaged or no checkpoint of a run ({first[:120]}): use another one") from None
    if not isinstance(held, dict) or not held.keys() >= PARTS:
        raise ValueError(f"{path} is no checkpoint of a run: give the last.pt or best.pt of one")
    if held["format"] > FORMAT:
        raise ValueError(f"{path} was written by a newer stillbit: pip install --upgrade stillbit")
    return dict(held)


def resume(training: Training, hooks: Sequence[Hook], held: Held) -> None:
    """Put a training and its hooks back to where ``held`` was written."""
    distributed.restore(training.model, training.optimizer, held["model"], held["optimizer"])
    if training.schedule is not None and held["schedule"] is not None:
        training.schedule.load_state_dict(held["schedule"])
    if training.ema is not None and held["ema"] is not None:
        training.ema.module.load_state_dict(held["ema"])
    for name, value in held["position"].items():
        setattr(training, name, value)
    training.scores, training.best = dict(held["scores"]), dict(held["best"])
    torch.set_rng_state(held["rng"]["torch"])
    for hook in hooks:
        hook.load_state(held["hooks"].get(hook.name, {}))
