"""Batches of an epoch: the same images and pixels for any number of workers and of ranks."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Thread
from typing import Any, final

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from stillbit.data.batch import Batch
from stillbit.data.look import Look
from stillbit.data.order import PADDED, Order, Steps
from stillbit.data.samples import Bytes, Samples, Views
from stillbit.data.settings import AugmentSettings, DataSettings
from stillbit.data.source import Source


@dataclass(frozen=True)
class Place:
    """Which of how many processes this is, and the device its batches go to."""

    rank: int = 0
    world: int = 1
    device: str = "cpu"


@final
class Loader:
    """Batches for training (with ``augment``: shuffled, whole batches only) or for evaluation (in order, all images).

    With ``views`` a training sees those instead, in their own order. Two processes with half the batch see together
    what one process with the whole batch sees.
    """

    def __init__(
        self,
        source: Source,
        look: Look,
        settings: DataSettings,
        augment: AugmentSettings | None = None,
        *,
        seed: int = 0,
        place: Place | None = None,
        views: Views | None = None,
    ) -> None:
        self.place, self.training = place or Place(), augment is not None or views is not None
        self.corrupt, self._damaged = settings.corrupt, dict[str, str]()
        count, world = len(source), self.place.world
        self._order: Steps
        if views is None:
            self._order = Order(count, settings.batch_size, seed if self.training else None, self.place.rank, world)
        else:
            self._order = views.order(settings.batch_size, seed, self.place.rank, world)
        if not len(self._order):
            raise ValueError(
                f"a batch of {settings.batch_size * world} is larger than the data, {count} images: "
                f"--batch-size {max(1, count // world)} or less"
            )
        device = torch.device(self.place.device)
        mean, std = (torch.tensor(v, device=device)[:, None, None] for v in (look.mean, look.std))
        self._scale, self._shift = 1 / (255 * std), -mean / std
        self._loader: DataLoader[Any] = DataLoader(
            views or Samples(source, look, augment, seed),  # type: ignore[arg-type]  # only __getitems__ is called
            batch_sampler=self._order,
            num_workers=settings.workers,
            collate_fn=_as_it_is,
            worker_init_fn=keep_working,
            pin_memory=device.type == "cuda",
            persistent_workers=settings.workers > 0,
            generator=torch.Generator(),  # else every epoch would draw from the generator that training uses
        )

    def __len__(self) -> int:
        """Steps an epoch."""
        return len(self._order)

    @property
    def samples(self) -> int:
        """Images that count in an epoch, over all ranks."""
        return self._order.samples

    @property
    def damaged(self) -> list[tuple[str, str]]:
        """Name and reason of every image that was left out so far."""
        return list(self._damaged.items())

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches from step ``start`` on; what lies before is not even read."""
        self._order.epoch, self._order.start = epoch, start
        try:
            for loaded in self._loader:
                self._count(loaded)
                yield self._finish(loaded)
        except ValueError:
            # Workers end now, and not when the traceback is collected: in a collection they take 5 seconds each.
            self._loader._iterator = None
            raise

    def _count(self, loaded: Bytes) -> None:
        for name, reason in loaded.damaged:
            if self.corrupt == "fatal":
                raise ValueError(
                    f"{name} cannot be used: {reason}; repair or remove it, or leave it out: --corrupt skip"
                )
            self._damaged[name] = reason
        if self.training and loaded.damaged and loaded.indices[0] == PADDED:
            raise ValueError(f"every image of a batch is damaged, {loaded.damaged[0][0]} the first: repair the data")

    def _finish(self, loaded: Bytes) -> Batch:
        def moved(x: Tensor) -> Tensor:
            return x.to(self.place.device, non_blocking=True)

        images = moved(loaded.images).float().mul_(self._scale).add_(self._shift)
        said = (None if tensor is None else moved(tensor) for tensor in (loaded.classes, loaded.probabilities))
        return Batch(images, moved(loaded.targets), moved(loaded.indices), *said)


def keep_working(worker: int) -> None:
    """A cluster or a terminal tells all processes to stop, and the training still needs images to end its step.

    Workers obey the training alone. Deaf to it too, they would outlive its failure, and it would wait for them forever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on a Mac
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        Thread(target=_obey, daemon=True).start()


def _obey() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def _as_it_is(loaded: Any) -> Any:
    return loaded
