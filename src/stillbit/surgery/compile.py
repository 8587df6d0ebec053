"""Compile a block once and use it for all its twins: a cold start in seconds instead of minutes."""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)

KINDS_OF_BLOCKS = 64
"""How many different blocks (widths, shifted windows, drop paths) one forward may be compiled for."""


def compile_blocks(model: M, **options: Any) -> M:
    """Compile every repeated block of ``model`` in place and return the model.

    Blocks that differ only in their numbers share one compilation. ``options`` go to `torch.compile`; the defaults here
    are ``fullgraph=True`` and ``dynamic=False``. What stands between the blocks (embedding, norm, head) runs as it is.
    """
    blocks = _repeated(model)
    if not blocks:
        raise ValueError("no repeated blocks in this model: call torch.compile(model) instead")
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, KINDS_OF_BLOCKS)
    for block in blocks:
        block.compile(**{"fullgraph": True, "dynamic": False, **options})
    return model


def _repeated(model: nn.Module) -> list[nn.Module]:
    """The members of every ModuleList or Sequential that holds two or more of one class with children of their own."""
    found: list[nn.Module] = []
    inside: set[int] = set()
    for module in model.modules():
        if id(module) in inside or not isinstance(module, nn.ModuleList | nn.Sequential):
            continue
        kinds = Counter(type(child) for child in module)
        blocks = [c for c in module if kinds[type(c)] > 1 and sum(1 for _ in c.modules()) > 3 and not _holds(c)]
        found += blocks
        inside |= {id(m) for block in blocks for m in block.modules()}
    return found


def _holds(module: nn.Module) -> bool:
    """Whether ``module`` is a stage: it has repeated blocks inside, which are the ones to compile."""
    return any(
        isinstance(m, nn.ModuleList | nn.Sequential) and max(Counter(type(c) for c in m).values(), default=0) > 1
        for m in module.modules()
    )
