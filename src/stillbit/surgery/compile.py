"""Compile a block once and use it for all its twins: a cold start in seconds instead of minutes."""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeVar

import torch
from torch import nn

from stillbit.surgery.settings import settings_of

M = TypeVar("M", bound=nn.Module)


def compile_blocks(model: M, **options: Any) -> M:
    """Compile every repeated block of ``model`` in place and return the model.

    Blocks that differ only in their numbers share one compilation. ``options`` go to `torch.compile`; the defaults here
    are ``fullgraph=True`` and ``dynamic=False``. What stands between the blocks (embedding, norm, head) runs as it is.
    """
    blocks = repeated_blocks(model)
    if not blocks:
        raise ValueError("no repeated blocks in this model: call torch.compile(model) instead")
    # All blocks share one cache, which must have room for every kind of them, in training and in eval mode.
    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, 2 * len({_kind(block) for block in blocks}))
    for block in blocks:
        block.compile(**{"fullgraph": True, "dynamic": False, **options})
    return model


def _kind(block: nn.Module) -> str:
    """What a compilation depends on: the modules with their settings, and the shapes."""
    return f"{[settings_of(m) for m in block.modules()]} {[tuple(p.shape) for p in block.parameters()]}"


def repeated_blocks(model: nn.Module) -> list[nn.Module]:
    """The blocks of every ModuleList and Sequential; where stages hold blocks, those inside, not the stages."""
    return [
        block
        for module in model.modules()
        for block in _twins(module)
        if not any(_twins(inside) for inside in block.modules())
    ]


def block_names(model: nn.Module) -> list[str]:
    """The names of the repeated blocks."""
    blocks = {id(block) for block in repeated_blocks(model)}
    return [name for name, module in model.named_modules() if id(module) in blocks]


def _twins(module: nn.Module) -> list[nn.Module]:
    """Children of one class, two or more of them, that are more than a layer."""
    if not isinstance(module, nn.ModuleList | nn.Sequential):
        return []
    kinds = Counter(type(child) for child in module)
    return [child for child in module if kinds[type(child)] > 1 and sum(1 for _ in child.modules()) > 3]
