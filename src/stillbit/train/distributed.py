"""Several processes, one training: who I am, what all agree on, and how a model is spread over them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others before it gives up."""


@dataclass(frozen=True)
class Share:
    """Which part of the work is this process's, and on what device it does it."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0


def share(device: str = "auto") -> Share:
    """Which of torchrun's processes this is, without meeting the others."""
    world, rank, local = (int(os.environ.get(k, d)) for k, d in (("WORLD_SIZE", 1), ("RANK", 0), ("LOCAL_RANK", 0)))
    chosen = _device(device, local)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    return Share(rank, world, chosen)


def join(device: str = "auto") -> Share:
    """Meet the other processes of torchrun; alone if there are none."""
    mine = share(device)
    if mine.world > 1 and not dist.is_initialized():
        # Counts and signals travel over gloo, so that no step waits for the GPU to report them.
        gpu = mine.device if mine.device.type == "cuda" else None
        dist.init_process_group("gloo" if gpu is None else "cpu:gloo,cuda:nccl", timeout=PATIENCE, device_id=gpu)
    return mine


def leave() -> None:
    """Say goodbye to the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _device(name: str, local: int) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"--device {name!r} is no device of torch: use auto, cpu, cuda or cuda:0") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ValueError(f"--device {name}: torch sees no GPU here; use --device cpu")
        device = torch.device("cuda", local if device.index is None else device.index)
        if device.index is not None and device.index >= torch.cuda.device_count():
            raise ValueError(f"there is no GPU {device.index}, only {torch.cuda.device_count()}: start fewer processes")
    return device


def agree(*numbers: int) -> tuple[int, ...]:
    """The sums of these numbers over all processes, on the host."""
    if not dist.is_initialized():
        return numbers
    sums = torch.tensor(numbers)
    dist.all_reduce(sums)
    return tuple(int(n) for n in sums)


def total(sums: Tensor) -> Tensor:
    """These sums added up over all processes."""
    if dist.is_initialized():
        dist.all_reduce(sums)
    return sums


def broadcast(tensors: Iterable[Tensor]) -> None:
    """Give every process the numbers of the first."""
    if dist.is_initialized():
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)


def gathered(mine: Any) -> list[Any]:
    """What every process brings, in the order of their numbers."""
    if not dist.is_initialized():
        return [mine]
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, mine)
    return every


def barrier() -> None:
    """Wait until every process is here."""
    agree(0)


def wrap(model: nn.Module, share: Share, *, fsdp: bool = False, blocks: Iterable[nn.Module] = ()) -> nn.Module:
    """What a step calls: the model alone, a copy in every process (DDP), or a shard in each (FSDP2, block by block)."""
    if fsdp:
        if not dist.is_initialized():
            raise ValueError("--fsdp shards a model over processes, and there is one: start several with torchrun")
        mesh = dist.device_mesh.init_device_mesh(share.device.type, (share.world,))
        for block in blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
        return model
    if share.world > 1:
        ids = [share.device] if share.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids)
    return model


def waits(forward: nn.Module, last: bool) -> AbstractContextManager[Any]:
    """Gradients are exchanged after the last part of a step; before that they are only added up."""
    if isinstance(forward, FSDPModule):
        forward.set_requires_gradient_sync(last)
    elif isinstance(forward, DistributedDataParallel) and not last:
        return forward.no_sync()
    return nullcontext()


def states(model: nn.Module, optimizer: Optimizer) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state of model and optimizer, whole, in every process that leads; all processes take part."""
    if isinstance(model, FSDPModule):
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        return get_model_state_dict(model, options=options), get_optimizer_state_dict(model, optimizer, options=options)
    return model.state_dict(), optimizer.state_dict()


def restore(model: nn.Module, optimizer: Optimizer, held: dict[str, Any], moved: dict[str, Any]) -> None:
    """The inverse of `states`."""
    if isinstance(model, FSDPModule):
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        set_model_state_dict(model, held, options=options)
        set_optimizer_state_dict(model, optimizer, moved, options=options)
        return
    model.load_state_dict(held)
    optimizer.load_state_dict(moved)
