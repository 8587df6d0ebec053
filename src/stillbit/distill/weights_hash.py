"""Which weights a model has, in 64 letters."""

from __future__ import annotations

from hashlib import sha256

import torch
from torch import Tensor, nn


def weights_hash(model: nn.Module) -> str:
    """SHA-256 of names, dtypes, shapes and bytes of all parameters and buffers that are saved, sorted by name."""
    digest = sha256()
    for name, tensor in sorted(model.state_dict().items()):
        assert isinstance(tensor, Tensor), f"{name} is no tensor"
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
