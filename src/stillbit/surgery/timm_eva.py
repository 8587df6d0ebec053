"""timm's EVA, DINOv3, RoPE ViTs and BEiT."""

from __future__ import annotations

from typing import final

from timm.layers import AttentionRope, apply_rot_embed_cat
from timm.models.beit import Attention as BeitAttention
from timm.models.eva import EvaAttention
from torch import nn

from stillbit.layers.rotary_attention import QuantBiasedAttention, QuantRotaryAttention
from stillbit.surgery.site import Site
from stillbit.surgery.timm_vit import attention_sites, tokens_of


@final
class QuantEvaAttention(QuantRotaryAttention, EvaAttention):
    """EVA's attention, quantized."""

    rotate = staticmethod(apply_rot_embed_cat)


@final
class QuantRopeAttention(QuantRotaryAttention, AttentionRope):
    """timm's rotary attention, quantized."""

    rotate = staticmethod(apply_rot_embed_cat)


@final
class QuantBeitAttention(QuantBiasedAttention, BeitAttention):
    """BEiT's attention, quantized."""


LAYERS = {
    EvaAttention: QuantEvaAttention,
    AttentionRope: QuantRopeAttention,
    BeitAttention: QuantBeitAttention,
}


def claim(name: str, module: nn.Module, model: nn.Module) -> list[Site]:
    """The sites of an attention of these families; nothing for other modules."""
    layer = LAYERS.get(type(module))
    return [] if layer is None else attention_sites(name, module, tokens_of(model), layer, None)
