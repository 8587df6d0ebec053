"""Where a model computes, and in what layout its numbers lie."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from stillbit.train.distributed import Share
from stillbit.train.settings import MachineSettings

M = TypeVar("M", bound=nn.Module)


def place(model: M, machine: MachineSettings, share: Share) -> M:
    """``model`` on its device, with channels last if asked."""
    layout = torch.channels_last if machine.channels_last else torch.preserve_format
    return model.to(device=share.device, memory_format=layout)  # type: ignore[call-overload,no-any-return]
