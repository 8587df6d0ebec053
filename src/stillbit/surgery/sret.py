"""SReT: its blocks, which run twice, and its convolutions by role, which VVTQ keeps at 8 bits.

Attention and MLPs are timm's, and so is their family. Both runs of a block enter the same quantizers, unless a spec
wants ``each_run`` to have its own.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from stillbit.models.sret import RecursiveBlock, Stage, Stem
from stillbit.surgery import timm_vit
from stillbit.surgery.site import Site, below, weight_site


def claim(name: str, module: nn.Module, model: nn.Module) -> list[Site]:
    """The sites of a stem; the site of the convolution between two stages; those of a block that run twice."""
    if type(module) is RecursiveBlock:
        shared = [*timm_vit.claim(below(name, "attn"), module.attn, model)]
        shared += timm_vit.claim(below(name, "mlp"), module.mlp, model)
        return [replace(site, runs=len(module.slices)) for site in shared]
    if type(module) is Stem:
        convs = [f"{i}.conv" for i in range(len(module))]
        return [
            weight_site(below(name, c), module.get_submodule(c), ("stem",), "unsigned" if i else "signed")
            for i, c in enumerate(convs)
        ]
    if type(module) is Stage and isinstance(module.pool, nn.Conv2d):
        return [weight_site(below(name, "pool"), module.pool, ("pool",), "signed")]
    return []
