"""Two processes on one machine: the replicas begin alike and stay alike."""

from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import stillbit


def replica(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.manual_seed(rank)  # replicas that differ until DDP sends rank 0's state round
    float_model = VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=1, num_heads=2, num_classes=5)
    model = stillbit.quantize(float_model, "w2a2")
    if rank == 0:
        stillbit.calibrate(model, [torch.randn(8, 3, 16, 16)])
    wrapped = DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(wrapped.parameters(), 1e-3)
    for _ in range(3):
        loss = nn.functional.cross_entropy(wrapped(torch.randn(4, 3, 16, 16)), torch.randint(5, (4,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save(model.state_dict(), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_replicas_calibrated_on_one_rank_train_alike_on_all(tmp_path: Path) -> None:
    mp.spawn(replica, args=(str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(bool(v) for name, v in first.items() if name.endswith("started")), "rank 0's start values reach all"
