"""From samples to records: load views, ask the teachers, keep what the layout keeps of their answer.

The views of a shard, sample by sample, are cut into batches of one size. The last one is filled up with its last view,
and none crosses into the next shard: what a teacher sees at a time depends on the request alone. On a CPU a batch
passes the teachers on one thread, and other batches at the same time on others, so that the number of threads does not
decide in which order numbers are summed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any, Literal, NamedTuple, Self, final

import numpy as np
import torch
from jaxtyping import Shaped
from numpy import ndarray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from stillbit.data.loaders import keep_working
from stillbit.distill.layout import UNLABELLED, fill
from stillbit.distill.manifest import Manifest
from stillbit.distill.panel import Panel
from stillbit.distill.seen import Seen, Views

PATIENCE = 0.2
"""Seconds after which somebody who waits looks up."""


class Batch(NamedTuple):
    """What the teachers are shown at a time, and the records that wait for their answer: fewer, in the last one."""

    inputs: Shaped[Tensor, "views ..."]
    records: ndarray[Any, Any]


@final
class Labeller:
    """Loads with processes and asks with threads, which live from shard to shard."""

    def __init__(
        self,
        seen: Seen,
        panel: Panel,
        wanted: Manifest,
        *,
        workers: int = 0,
        corrupt: Literal["fatal", "skip"] = "fatal",
        heed: Callable[[], None] = lambda: None,
    ) -> None:
        """``heed`` is called several times a second; what it raises ends the work."""
        self.seen, self.panel, self.wanted, self.corrupt, self.heed = seen, panel, wanted, corrupt, heed
        self.damaged: dict[str, str] = {}
        self._samples = _Numbers()
        self._loader: DataLoader[Views] = DataLoader(
            _Samples(seen),
            batch_size=None,
            sampler=self._samples,
            num_workers=workers,
            collate_fn=_as_it_is,
            worker_init_fn=keep_working,
            persistent_workers=workers > 0,
            generator=torch.Generator(),
        )

    def __enter__(self) -> Self:
        """Start the threads."""
        self._threads = torch.get_num_threads()
        torch.set_num_threads(1)
        count = self._threads if self.panel.device.type == "cpu" else 2  # one works, one fetches or brings
        count = 1 if self.panel.compiled else count
        self._over = False
        self._idle: SimpleQueue[Panel] = SimpleQueue()
        for number in range(count):
            self._idle.put(self._interruptible(self.panel if number == count - 1 else self.panel.twin()))
        # The number of threads is one of each thread.
        self._pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
        self._depth = 2 * count
        return self

    def __exit__(self, *_: object) -> None:
        """End them, in the middle of a batch if there is one, and the processes that load."""
        self._over = True
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._threads)
        for handle in self._handles:
            handle.remove()
        self._loader._iterator = None

    def shard(self, number: int) -> Iterator[ndarray[Any, Any]]:
        """The records of a shard, some at a time, in order."""
        asked: deque[Future[ndarray[Any, Any]]] = deque()
        for batch in self._batches(number):
            asked.append(self._pool.submit(self._answered, batch))
            if len(asked) > self._depth:
                yield self._result(asked.popleft())
        while asked:
            yield self._result(asked.popleft())

    def _batches(self, number: int) -> Iterator[Batch]:
        self._samples.numbers = self.wanted.samples_of(number)
        size, batch, at = self.wanted.batch_size, None, 0
        for views in self._loader:
            self.heed()
            self._check(views)
            for first, last in _pieces(self.wanted.views, at, size):
                batch = batch or self._empty(views)
                count = last - first
                batch.inputs[at : at + count] = views.inputs[first:last]
                if views.boxes is not None and views.flags is not None:
                    batch.records["box"][at : at + count] = views.boxes[first:last]
                    batch.records["flags"][at : at + count] = views.flags[first:last]
                at += count
                if at == size:
                    yield batch
                    batch, at = None, 0
        if batch is not None:
            batch.inputs[at:] = batch.inputs[at - 1]
            yield Batch(batch.inputs, batch.records[:at])

    def _empty(self, views: Views) -> Batch:
        shape = (self.wanted.batch_size, *views.inputs.shape[1:])
        return Batch(views.inputs.new_empty(shape), np.zeros(shape[0], self.wanted.layout.dtype))

    def _check(self, views: Views) -> None:
        assert len(views.inputs) == self.wanted.views, f"{len(views.inputs)} views, not {self.wanted.views}"
        assert (views.boxes is not None) == self.wanted.layout.boxes, "boxes are of crops"
        if views.damaged is None:
            return
        name, reason = views.damaged
        if self.corrupt == "fatal":
            raise ValueError(f"{name} cannot be used: {reason}; repair or remove it, or leave it out: --corrupt skip")
        self.damaged[name] = reason

    def _answered(self, batch: Batch) -> ndarray[Any, Any]:
        """What the next idle panel says to a batch."""
        panel = self._idle.get()
        try:
            answer = panel(batch.inputs)[: len(batch.records)]
        finally:
            self._idle.put(panel)
        records = batch.records
        fill(records, answer, self.wanted.layout)
        if self.wanted.layout.boxes:
            blank = (records["flags"] & UNLABELLED) > 0
            records[blank] = 0
            records["flags"][blank] = UNLABELLED
        return records

    def _result(self, future: Future[ndarray[Any, Any]]) -> ndarray[Any, Any]:
        while not wait([future], PATIENCE).done:
            self.heed()
        return future.result()

    def _interruptible(self, panel: Panel) -> Panel:
        """Let every layer look up: a batch of a large teacher takes minutes on a CPU."""
        self._handles = getattr(self, "_handles", [])
        if not panel.compiled:
            layers = [layer for expert in panel.experts for layer in expert.model.modules()]
            self._handles += [layer.register_forward_pre_hook(self._look_up) for layer in layers]
        return panel

    def _look_up(self, module: nn.Module, inputs: Any) -> None:
        if self._over:
            raise InterruptedError


class _Samples(Dataset[Views]):
    """What a worker does."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen

    def __getitem__(self, sample: int) -> Views:
        return self.seen.views(sample)


class _Numbers:
    """Which samples are loaded: those of the shard that is at hand."""

    numbers = range(0)

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)


def _pieces(count: int, at: int, size: int) -> Iterator[tuple[int, int]]:
    """``count`` views cut where batches of ``size`` end, if the first of them has ``at`` already."""
    first, last = 0, min(count, size - at)
    while first < count:
        yield first, last
        first, last = last, min(count, last + size)


def _as_it_is(views: Any) -> Any:
    return views
