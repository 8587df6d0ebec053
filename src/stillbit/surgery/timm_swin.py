"""timm's Swin transformers, version 1 and 2."""

from __future__ import annotations

from math import prod
from typing import Any, final

from timm.models.swin_transformer import PatchMerging as PatchMergingV1
from timm.models.swin_transformer import WindowAttention
from timm.models.swin_transformer_v2 import PatchMerging as PatchMergingV2
from timm.models.swin_transformer_v2 import WindowAttention as CosineAttention
from torch import nn

from stillbit.layers.merged_attention import MergedWindowAttention
from stillbit.layers.window_attention import QuantCosineAttention, QuantWindowAttention
from stillbit.surgery.site import Site, below, weight_site
from stillbit.surgery.timm_vit import attention_sites


@final
class QuantSwinAttention(QuantWindowAttention, WindowAttention):
    """Swin's window attention, quantized."""


@final
class QuantSwinV2Attention(QuantCosineAttention, CosineAttention):
    """Swin v2's cosine window attention, quantized."""


@final
class MergedSwinAttention(MergedWindowAttention, WindowAttention):
    """Swin's window attention with query and key merged."""


def claim(name: str, module: nn.Module, model: nn.Module) -> list[Site]:
    """The sites of a window attention or a patch merging; nothing for other modules."""
    if type(module) is WindowAttention:
        return attention_sites(name, module, _area(module), QuantSwinAttention, MergedSwinAttention)
    if type(module) is CosineAttention:
        sites = attention_sites(name, module, _area(module), QuantSwinV2Attention, None)
        return sites + _position_sites(name, module)
    if type(module) in (PatchMergingV1, PatchMergingV2):
        return [weight_site(below(name, "reduction"), module.get_submodule("reduction"), ("reduction",), "signed")]
    return []


def _position_sites(name: str, module: nn.Module) -> list[Site]:
    """The small MLP that makes the position bias: constant input, so at deployment it is a table."""
    first, second = (module.get_submodule(f"cpb_mlp.{i}") for i in (0, 2))
    return [
        weight_site(below(name, "cpb_mlp.0"), first, ("position",), "signed"),
        weight_site(below(name, "cpb_mlp.2"), second, ("position",), "unsigned"),
    ]


def _area(module: Any) -> int:
    return prod(module.window_size)
