"""What two processes do together, each writing down what it saw."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as mp
from rich.console import Console
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from stillbit.data.batch import Batch
from stillbit.data.loaders import Place
from stillbit.train import distributed
from stillbit.train.distributed import Share
from stillbit.train.evaluate import Evaluation, evaluate
from stillbit.train.log import Log
from stillbit.train.loop import Loop
from stillbit.train.progress import Progress
from stillbit.train.settings import MachineSettings, OptimSettings
from stillbit.train.state import Training
from stillbit.train.stop import Stop, Stopped
from tests.train import tiny

Seen = dict[str, Any]
CUTS = (slice(0, 3), slice(3, 8))
"""Eight images, three for the first process and five for the second."""


def start(share: Share, folder: Path) -> Seen:
    return {"share": (share.rank, share.world, str(share.device), share.leads)}


def words(share: Share, folder: Path) -> Seen:
    tensors = [torch.full((2,), float(share.rank)), torch.tensor([share.rank == 0])]
    distributed.broadcast(tensors)
    sums = distributed.total(torch.tensor([1.5, share.rank], dtype=torch.float64))
    distributed.barrier()
    return {"agree": distributed.agree(share.rank + 1, share.rank == 1), "total": sums, "broadcast": tensors}


def wrapped(share: Share, fsdp: bool) -> Training:
    """A training in double precision whose weights differ between processes until something makes them equal."""
    model = tiny.network()
    if share.rank and not fsdp:
        nn.init.normal_(model[1].weight)
    model = model.double()
    forward = distributed.wrap(model, share, fsdp=fsdp, blocks=[model[1]])
    training = tiny.training(model, OptimSettings(opt="adamw", lr=0.01))
    training.forward = forward
    return training


def uneven(share: Share, fsdp: bool) -> Seen:
    """Two steps, in parts, of which each process has another share."""
    training, batch = wrapped(share, fsdp), tiny.batch()
    batch = Batch(batch.images.double(), *batch[1:])
    mine = Batch(*(tensor[CUTS[share.rank]] for tensor in batch[:3]))
    loop = Loop(tiny.classify(), [], MachineSettings(grad_accum_steps=2), share, clip=0.5)
    losses = [loop.step(training, mine, 8)["loss"] for _ in range(2)]
    model, optimizer = deepcopy(distributed.states(training.model, training.optimizer))
    seen: Seen = {"losses": distributed.total(torch.stack(losses)) / 2, "model": model, "optimizer": optimizer}
    again = wrapped(share, fsdp)
    sent = deepcopy([model, optimizer])
    torch.distributed.broadcast_object_list(sent, src=0)
    distributed.restore(again.model, again.optimizer, *sent)
    for each in (training, again):
        each.step = 2
        loop.step(each, mine, 8)
    seen["went_on"], seen["again"] = (distributed.states(each.model, each.optimizer)[0] for each in (training, again))
    return seen


def copies(share: Share, folder: Path) -> Seen:
    return uneven(share, fsdp=False)


def shards(share: Share, folder: Path) -> Seen:
    return uneven(share, fsdp=True)


def exchanges(share: Share, folder: Path) -> Seen:
    """How often gradients are exchanged in a step of four parts."""
    training, count = wrapped(share, fsdp=False), [0]

    def counted(state, bucket):  # type: ignore[no-untyped-def]  # torch would compare the annotations, as text
        count[0] += 1
        return allreduce_hook(state, bucket)

    training.forward.register_comm_hook(None, counted)  # type: ignore[operator]
    batch = tiny.batch()
    loop = Loop(tiny.classify(), [], MachineSettings(grad_accum_steps=4), share, clip=None)
    loop.step(training, Batch(batch.images.double(), *batch[1:]), 16)
    return {"exchanges": count[0]}


def counts(share: Share, folder: Path) -> Seen:
    loader = tiny.loader(9, 2, train=False, place=Place(share.rank, 2))
    return {"scores": evaluate(tiny.network(), loader, device=share.device)}


def means(share: Share, folder: Path) -> Seen:
    """Running means of a batch norm differ between processes; what is evaluated and saved must not."""
    model = nn.Sequential(nn.BatchNorm2d(1), tiny.network())
    assert model[0].running_mean is not None
    model[0].running_mean += share.rank
    training = tiny.training(model, ema=True)
    judge = Evaluation(tiny.loader(9, 2, train=False, place=Place(share.rank, 2)), share, False)
    training.epoch = 1
    judge.after_epoch(training)
    return {"means": [m[0].running_mean for m in (training.model, training.judged)], "scores": training.scores}


def lines(share: Share, folder: Path) -> Seen:
    loader = tiny.loader(place=Place(share.rank, 2))
    log = Log(folder, loader, share, 1, Progress(Console(file=io.StringIO(), quiet=True), 1, 1))
    training = tiny.training()
    training.step = 1
    log.after_step(training, {"loss": torch.tensor(1.0 + share.rank)})
    return {"log": log.state()["epoch"]}


def asked(share: Share, folder: Path) -> Seen:
    """Only the second process is asked to stop."""
    training, stop = tiny.training(), Stop()
    hooks = [tiny.Asker(stop, 2)] if share.rank == 1 else []
    loop = Loop(tiny.classify(), hooks, MachineSettings(), share, None)
    try:
        loop.fit(training, tiny.loader(place=Place(share.rank, 2), batch=2), 2, stop)
    except Stopped as stopped:
        return {"signal": stopped.signal, "step": training.step}
    return {}


SCENES: tuple[Callable[[Share, Path], Seen], ...] = (
    start,
    words,
    copies,
    shards,
    exchanges,
    counts,
    means,
    lines,
    asked,
)


def process(rank: int, folder: str, port: int) -> None:
    torch.set_num_threads(1)
    about = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port, "MASTER_ADDR": "127.0.0.1"}
    os.environ.update({name: str(value) for name, value in about.items()})
    share = distributed.join("cpu")
    seen = {scene.__name__: scene(share, Path(folder)) for scene in SCENES}
    distributed.leave()
    torch.save(seen, Path(folder) / f"{rank}.pt")


def run(folder: Path) -> list[Seen]:
    """What both saw of every scene."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(process, args=(str(folder), port), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
